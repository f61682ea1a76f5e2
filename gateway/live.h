/*
 * Tasks that connected clients follow: each change is told to every follower once, in the order of `rev`, as soon as some
 * service has committed it. Events come over the broker (service/live_out.h); the store is read when somebody begins to
 * follow, after a connection was lost, where something is missing, and of a task of which nothing was heard for a while,
 * so that nothing is missed in between. While no events come the store is read every second.
 *
 * A change that comes before the one that precedes it is held back for a moment. Where one was lost, what is told next is
 * what the store says: a newer state, never an older one.
 */
#ifndef GATEWAY_LIVE_H
#define GATEWAY_LIVE_H

#include "gateway/share.h"
#include "service/service.h"

struct live;
struct live_follower;

struct live_config {
	struct service *service;
	struct store *store;
	size_t followers_max;
	int64_t lifetime_ms; /* gateway_lifetime_ms */
};

/* Borrows what the config points to. 0 or a negative errno. */
int live_new(const struct live_config *config, struct live **out);
/* After the store. Followers that are left end without a word, and their handles with them. */
void live_free(struct live *l);

/* One change as followers see it; borrowed until the callback returns. */
struct live_change {
	const struct store_task *task; /* NULL only for followers of a tenant, see below */
	struct slice
		document; /* the status document as of this rev, as JSON; rendered once for all followers; unset: gone */
	uint64_t rev; /* 0: genuine, but nothing is known of it yet (queued); or gone */
	bool is_last; /* a terminal state, or gone: nothing follows */
};
/* May unfollow, and free what follows, inside. */
typedef void live_cb(const struct live_change *change, void *arg);

/*
 * Follows one task: first what it is now, unless its rev is `seen` (0: always told; an end is told in any case), then
 * every change. `id` must be known to be the tenant's own (gateway/ids.h). It is of the share's followers;
 * NULL: of nobody's. 0, -EAGAIN (limit of followers), -EDQUOT (the share's), -ENOMEM. No callback comes inside the call,
 * and none after the one that is_last. Borrows: share.
 */
int live_follow(struct live *l, struct share *share, const struct id *id, uint64_t seen, live_cb *cb,
	void *arg, struct live_follower **out);
/*
 * Every change of a tenant's tasks from now on; `task`: only those of this name, unset: all. Copied. As above, but it
 * goes on after what is the last of a task. A change without a task says that everything is told from here on: once at
 * first, and again whenever something before it may have been missed.
 */
int live_follow_tenant(struct live *l, struct share *share, struct slice tenant, struct slice task,
	live_cb *cb, void *arg, struct live_follower **out);
/* No callback comes after. Safe inside its own callback; NULL is fine. */
void live_unfollow(struct live_follower *f);

struct live_stats {
	size_t followers; /* of tasks and of tenants */
	size_t shards;	  /* bound, or about to be */
	uint64_t events;  /* that came */
	uint64_t gaps;	  /* where some were lost */
	uint64_t reads;	  /* tasks read from the store */
	bool is_connected;
};
void live_stats(const struct live *l, struct live_stats *out);

#endif
