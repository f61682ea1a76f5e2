/*
 * Tasks that connected clients follow: each change is told to every follower once, in the order of `rev`, as soon as some
 * service has committed it. Events come over the broker (service/live.h); the store is read when somebody begins to
 * follow and after a connection was lost, so that nothing is missed in between.
 */
#ifndef GATEWAY_LIVE_H
#define GATEWAY_LIVE_H

#include "service/service.h"

struct live;
struct live_follower;

/* One change as followers see it; borrowed until the callback returns. */
struct live_change {
	const struct store_task *task;
	struct slice document; /* the status document as of this rev, as JSON; rendered once for all followers */
	uint64_t rev;	       /* 0: genuine, but nothing is known of it yet (queued) */
	bool is_last;	       /* a terminal state, or gone: nothing follows */
};
/* May unfollow, and free what follows, inside. */
typedef void live_cb(const struct live_change *change, void *arg);

/*
 * Follows one task: first what it is now, unless its rev is `seen` (0: always told), then every change. `id` must be known
 * to be the tenant's own (gateway/known.h). 0, -EAGAIN (limit of followers), -ENOMEM. No callback comes inside the call.
 */
int live_follow(struct live *l, const struct id *id, uint64_t seen, live_cb *cb, void *arg,
	struct live_follower **out);
/*
 * Every change of a tenant's tasks from now on; `task`: only those of this name, unset: all. Copied. As above.
 */
int live_follow_tenant(struct live *l, struct slice tenant, struct slice task, live_cb *cb, void *arg,
	struct live_follower **out);
/* No callback comes after. Safe inside its own callback; NULL is fine. */
void live_unfollow(struct live_follower *f);

#endif
