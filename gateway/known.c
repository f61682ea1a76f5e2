#include "gateway/known.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

struct known_name {
	int64_t seen_ms; /* 0: not seen */
	char task[NAME_MAX_LEN + 1];
};

struct known {
	void *tree; /* of struct known_name, by name */
	size_t len;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct known_name *)a)->task, ((const struct known_name *)b)->task);
}

int known_new(struct known **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : -ENOMEM;
}

void known_free(struct known *k)
{
	if (!k)
		return;
	tdestroy(k->tree, free);
	free(k);
}

static struct known_name key_of(const char *task)
{
	struct known_name key = {0};

	strncpy(key.task, task, NAME_MAX_LEN);
	return key;
}

static struct known_name *find(const struct known *k, const char *task)
{
	struct known_name key = key_of(task);
	struct known_name **node = tfind(&key, &k->tree, compare);

	return node ? *node : NULL;
}

static struct known_name *add(struct known *k, const char *task)
{
	struct known_name *e = k->len < KNOWN_MAX ? malloc(sizeof *e) : NULL;

	if (!e)
		return NULL;
	*e = key_of(task);
	if (!tsearch(e, &k->tree, compare)) {
		free(e);
		return NULL;
	}
	k->len++;
	return e;
}

void known_saw(struct known *k, const char *task, int64_t now_ms)
{
	struct known_name *e = find(k, task);

	if (!e)
		e = add(k, task);
	if (e && now_ms)
		e->seen_ms = now_ms;
}

void known_missed(struct known *k, const char *task)
{
	struct known_name *e = find(k, task);

	if (e)
		e->seen_ms = 0;
}

bool known_is_fresh(const struct known *k, const char *task, int64_t now_ms)
{
	const struct known_name *e = find(k, task);

	return e && e->seen_ms && now_ms - e->seen_ms < KNOWN_FRESH_MS;
}

struct walk {
	known_each_cb *cb;
	void *arg;
};

static void visit(const void *node, VISIT when, void *arg)
{
	const struct known_name *e = *(const struct known_name *const *)node;
	struct walk *w = arg;

	if (when == postorder || when == leaf)
		w->cb(e->task, w->arg);
}

void known_each(const struct known *k, known_each_cb *cb, void *arg)
{
	struct walk w = {cb, arg};

	twalk_r(k->tree, visit, &w);
}
