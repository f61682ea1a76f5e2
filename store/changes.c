#include "store/changes.h"

#include <stdlib.h>

enum { CAP_FIRST = 64 };

static bool make_room(struct changes *c)
{
	size_t cap = c->cap ? 2 * c->cap : CAP_FIRST;
	struct store_task *grown;

	if (c->len < c->cap)
		return true;
	grown = reallocarray(c->items, cap, sizeof *grown);
	if (!grown)
		return false;
	c->items = grown;
	c->cap = cap;
	return true;
}

void changes_add(struct changes *c, const struct store_task *task)
{
	if (!c->arena.has_failed && make_room(c))
		c->items[c->len++] = *task;
	c->arena.has_failed = false;
}

void changes_add_copy(struct changes *c, const struct store_task *task)
{
	struct store_task copy = *task;
	struct slice *const parts[] = {&copy.tenant, &copy.task, &copy.progress, &copy.metadata, &copy.worker,
		&copy.error.type, &copy.error.message, &copy.error.data, &copy.content_type, &copy.result};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		*parts[i] = arena_copy(&c->arena, *parts[i]);
	changes_add(c, &copy);
}

void changes_add_unread(struct changes *c, const struct id *id)
{
	size_t cap = c->unread_cap ? 2 * c->unread_cap : CAP_FIRST;
	struct id *grown;

	if (c->unread_len == c->unread_cap) {
		grown = reallocarray(c->unread, cap, sizeof *grown);
		if (!grown)
			return;
		c->unread = grown;
		c->unread_cap = cap;
	}
	c->unread[c->unread_len++] = *id;
}

size_t changes_len(const struct changes *c)
{
	return c ? c->len : 0;
}

void changes_cut(struct changes *c, size_t len)
{
	if (c && c->len > len)
		c->len = len;
}

const struct store_task *changes_take(struct changes *c, struct arena *to, size_t *len)
{
	struct store_task *items;

	*to = c->arena;
	c->arena = (struct arena){0};
	*len = c->len;
	c->len = 0;
	items = *len ? arena_alloc(to, *len, sizeof *items) : NULL;
	if (items)
		memcpy(items, c->items, *len * sizeof *items);
	return items;
}

void changes_done(struct changes *c)
{
	arena_done(&c->arena);
	free(c->items);
	free(c->unread);
	*c = (struct changes){0};
}
