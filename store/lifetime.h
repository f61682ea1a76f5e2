/*
 * How long things are kept. Pure: the time comes from the caller, in milliseconds since the epoch.
 */
#ifndef STORE_LIFETIME_H
#define STORE_LIFETIME_H

#include "proto/id.h"

struct lifetime {
	int64_t task_ttl_ms;
	int64_t result_ttl_ms;
};

/*
 * Added wherever the store decides by itself, so that the broker's own expiry comes first and clocks of several
 * machines may differ.
 */
#define LIFETIME_MARGIN_MS	((int64_t)3600 * 1000)
#define LIFETIME_DEAD_LETTER_MS ((int64_t)30 * 86400 * 1000)
/* When what could not be decided yet is looked at again. */
#define LIFETIME_RECHECK_MS ((int64_t)3600 * 1000)

/* An unfinished task is dead from then on: `since_ms` is when it became due or last gave a sign of life. */
int64_t lifetime_of_unfinished(const struct lifetime *l, int64_t since_ms);
/* The content of a finished task is dropped then. */
int64_t lifetime_of_content(const struct lifetime *l, int64_t finished_ms);
/* From then on "never heard of it" is an answer as true as "it is gone". */
int64_t lifetime_of_id(const struct lifetime *l, const struct id *id);

#endif
