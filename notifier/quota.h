/*
 * How much each tenant may send through a channel: a token bucket for each (runtime/rate.h). What passes it is put off,
 * each to a time of its own, so that a queue of thousands is not looked at again and again for each one that goes out.
 * Pure: the time is handed in.
 */
#ifndef NOTIFIER_QUOTA_H
#define NOTIFIER_QUOTA_H

#include "base/slice.h"

struct quota;

/* `per_minute`: 0: no limit. 0 or -ENOMEM. */
int quota_new(double per_minute, struct quota **out);
void quota_free(struct quota *q);

/*
 * True: one may be sent at `now_ms` (monotonic, above 0), and is counted. False: *wait_ms says when to come again, from 1
 * to QUOTA_WAIT_MAX_MS; the rate is kept whether it does or not. Also false when memory runs out.
 */
#define QUOTA_WAIT_MAX_MS (3600 * 1000)
bool quota_take(struct quota *q, struct slice tenant, int64_t now_ms, int64_t *wait_ms);

#endif
