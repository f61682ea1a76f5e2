/*
 * Calls that wait for a task to change or to end: followers of the hub (live.h) with a time limit.
 */
#ifndef GATEWAY_WAITER_H
#define GATEWAY_WAITER_H

#include "gateway/live.h"
#include "runtime/loop.h"

struct waiters;
struct waiter;

/* Borrows: loop and live. */
int waiters_new(struct loop *loop, struct live *live, size_t max, struct waiters **out);
/* Before the hub. Waiters that are left end without a callback. */
void waiters_free(struct waiters *w);
/* Ends all with a callback, soon; and so does whoever is added from now on. */
void waiters_stop(struct waiters *w);
size_t waiters_count(const struct waiters *w);

struct wait_for {
	struct id id;
	bool until_end; /* a terminal state; else any rev but this one */
	uint64_t rev;
	int64_t timeout_ms;
	struct share *share; /* whose waiters it is one of; NULL: nobody's. Borrowed */
};

/* has_come: what was waited for is there (read it); false: the time is over, or the service ends. */
typedef void waiter_cb(bool has_come, void *arg);

/* 0 and later exactly one callback unless it is removed before; -EAGAIN over the limit, -EDQUOT over the share's, -ENOMEM. */
int waiter_add(struct waiters *w, const struct wait_for *what, waiter_cb *cb, void *arg, struct waiter **out);
/* Ends it without a callback. Not from its own callback. */
void waiter_remove(struct waiter *waiter);

#endif
