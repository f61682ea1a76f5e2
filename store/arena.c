#include "store/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { CHUNK_LEN = 8192 - 64 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, cap;
	alignas(max_align_t) uint8_t bytes[];
};

void arena_done(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
	*a = (struct arena){0};
}

/* What is larger than a chunk gets one of its own behind the current one, which stays in use. */
static struct arena_chunk *add_chunk(struct arena *a, size_t len)
{
	size_t cap = len > CHUNK_LEN ? len : CHUNK_LEN;
	struct arena_chunk *c = malloc(sizeof *c + cap);

	if (!c)
		return NULL;
	c->used = 0;
	c->cap = cap;
	if (a->chunks && len > CHUNK_LEN) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
	}
	return c;
}

static void *take(struct arena *a, size_t len)
{
	size_t room = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_chunk *c = a->chunks;
	void *p;

	if (room < len || room > SIZE_MAX - sizeof *c)
		goto fail;
	if (!c || c->cap - c->used < room)
		c = add_chunk(a, room);
	if (!c)
		goto fail;
	p = c->bytes + c->used;
	c->used += room;
	a->total += room;
	return p;
fail:
	a->has_failed = true;
	return NULL;
}

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
	size_t len;
	void *p;

	if (__builtin_mul_overflow(count, size, &len)) {
		a->has_failed = true;
		return NULL;
	}
	p = take(a, len ? len : 1);
	if (p)
		memset(p, 0, len);
	return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	uint8_t *p;

	if (!slice_is_set(s))
		return s;
	p = take(a, s.len ? s.len : 1);
	if (!p)
		return slice_of(NULL, 0);
	if (s.len > 0)
		memcpy(p, s.data, s.len);
	return slice_of(p, s.len);
}
