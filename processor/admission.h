/*
 * Which waiting request of a handler starts next, and how many may be unacked. Pure.
 *
 * A request that was delivered before may have killed a processor, and everything that a processor holds unacked when it
 * dies is counted against the delivery limit. So a redelivered request runs alone on its durable lane; and until a
 * connection has brought a fresh request, and after each redelivered one, the lane takes one request at a time. Then the
 * poisonous one reaches the limit by itself.
 *
 * The inline lane goes first and runs beside anything: its requests are counted by no limit and never run twice.
 */
#ifndef PROCESSOR_ADMISSION_H
#define PROCESSOR_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum waiting { WAITING_INLINE, WAITING_REDELIVERED, WAITING_FRESH, WAITING_NONE };
#define WAITING_LINES 3

struct admission {
	size_t slots;		/* the handler's concurrency, over both lanes */
	size_t running;		/* of both lanes */
	size_t running_durable; /* of those */
	bool is_alone;		/* a redelivered one runs */
	bool is_careful;	/* one at a time, until a fresh one comes */
	size_t waiting[WAITING_LINES];
};

/* From which line the next one may start now. */
enum waiting admission_next(const struct admission *a);
/* A durable request came. */
void admission_arrived(struct admission *a, bool is_redelivered);
/*
 * The prefetch of the durable lane: `full`, or while careful 1 beside the `joined` deliveries of requests that run
 * already, which are no new risk.
 */
uint16_t admission_prefetch(const struct admission *a, size_t full, size_t joined);

/*
 * How many a lane should have unacked so that its slots never wait for the broker, and not many more, as what waits here
 * cannot run elsewhere: about 50 ms of work ahead. `mean_us` and `mean_bytes` describe the latest runs; `max` is the
 * most that the broker's consumer timeout allows. Changes come in doubles, so that they are few.
 */
size_t admission_ahead(size_t slots, uint64_t mean_us, uint64_t mean_bytes, size_t max);

/*
 * The most that may be unacked when each run may take `timeout_ms`, `slots` at a time, and the last one must be acked
 * within `consumer_timeout_ms`. 0: not even one.
 */
size_t admission_most(size_t slots, int64_t timeout_ms, int64_t consumer_timeout_ms);

/*
 * The longest run that still fits when a request may wait here for others: `prefetch` unacked (0: hardly more than the
 * slots). The counterpart of admission_most.
 */
int64_t admission_longest_ms(size_t slots, size_t prefetch, int64_t consumer_timeout_ms);

#endif
