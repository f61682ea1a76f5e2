/*
 * The runs that have not settled yet, by id and attempt. Intrusive: what is in it embeds a live_entry. Pure.
 */
#ifndef PROCESSOR_LIVE_H
#define PROCESSOR_LIVE_H

#include <sys/queue.h>

#include "proto/id.h"

#define LIVE_BUCKETS 4096

struct live_entry {
	LIST_ENTRY(live_entry) link;
	struct id id;
	uint32_t attempt;
};

LIST_HEAD(live_list, live_entry);

struct live {
	struct live_list buckets[LIVE_BUCKETS]; /* by id alone, so that all attempts of a task are together */
};

void live_init(struct live *l);
/* Borrows the entry until it is removed. */
void live_add(struct live *l, struct live_entry *e);
void live_remove(struct live_entry *e);
struct live_entry *live_find(struct live *l, const struct id *id, uint32_t attempt);
/* The next one with this id, whatever attempt, after `e` (NULL: the first). Not removed meanwhile. */
struct live_entry *live_next(struct live *l, const struct id *id, struct live_entry *e);

#endif
