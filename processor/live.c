#include "processor/live.h"

/* The last bytes of an id are its most random ones. */
static struct live_list *bucket_of(struct live *l, const struct id *id)
{
	uint32_t h;

	memcpy(&h, id->bytes + ID_LEN - sizeof h, sizeof h);
	return &l->buckets[(h ^ h >> 16) % LIVE_BUCKETS];
}

void live_init(struct live *l)
{
	for (size_t i = 0; i < LIVE_BUCKETS; i++)
		LIST_INIT(&l->buckets[i]);
}

void live_add(struct live *l, struct live_entry *e)
{
	LIST_INSERT_HEAD(bucket_of(l, &e->id), e, link);
}

void live_remove(struct live_entry *e)
{
	LIST_REMOVE(e, link);
}

struct live_entry *live_next(struct live *l, const struct id *id, struct live_entry *e)
{
	e = e ? LIST_NEXT(e, link) : LIST_FIRST(bucket_of(l, id));
	while (e && !id_is_equal(&e->id, id))
		e = LIST_NEXT(e, link);
	return e;
}

struct live_entry *live_find(struct live *l, const struct id *id, uint32_t attempt)
{
	struct live_entry *e = NULL;

	while ((e = live_next(l, id, e)) && e->attempt != attempt)
		;
	return e;
}
