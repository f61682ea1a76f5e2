/*
 * From a message to what the store is told of it. Pure: bytes, the time and a random number in, an event out.
 */
#ifndef NOTIFIER_EVENT_H
#define NOTIFIER_EVENT_H

#include "proto/context.h"
#include "proto/decode.h"
#include "store/store.h"

/* The event's slices point into the message and into the two buffers: keep all three until the store has answered. */
struct event {
	struct store_event store;
	struct buf progress; /* JSON text made from the reply's progress */
	struct buf data;     /* JSON text made from the error's data */
	bool is_inline; /* the reply of an inline request that came to the wrong queue: nothing to keep */
};

/* Safe on a zeroed struct. */
void event_done(struct event *e);

struct event_seam {
	int64_t now_ms;
	uint32_t random; /* for the jitter of the next attempt */
};

/*
 * A reply as it stands on the wire. A `retry` that cannot run again (no request with it, another id in it, no attempts
 * left) becomes a failure. 0, -EBADMSG with *error (also when its context is not ours), -ENOMEM.
 */
int event_from_reply(
	struct slice message, const struct event_seam *seam, struct event *out, struct decode_error *error);

/*
 * A request that the broker dead-lettered; `reason` is the broker's word: "expired", "delivery_limit", "rejected".
 * As above.
 */
int event_from_dead_letter(struct slice message, struct slice reason, const struct event_seam *seam,
	struct event *out, struct decode_error *error);

#endif
