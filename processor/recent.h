/*
 * A bounded set of ids (with a number each) that forgets: the oldest first when it is full, everything after its time.
 * Remembers the runs that ended and the tasks that were canceled. Allocates once; never reads a clock.
 */
#ifndef PROCESSOR_RECENT_H
#define PROCESSOR_RECENT_H

#include "proto/id.h"

struct recent;

/* At most `max` entries, each for `ttl_ms`. 0 or -ENOMEM. */
int recent_new(size_t max, int64_t ttl_ms, struct recent **out);
void recent_free(struct recent *r);
/* Adding what is there already is nothing. `now_ms` of any clock that does not step back. */
void recent_add(struct recent *r, const struct id *id, uint32_t number, int64_t now_ms);
bool recent_has(const struct recent *r, const struct id *id, uint32_t number, int64_t now_ms);

#endif
