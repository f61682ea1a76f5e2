/*
 * Calls that wait for a task to change or to end: one timer asks the store whether anything changed at all, and only then
 * are the tasks read that somebody waits for, many at once.
 */
#ifndef GATEWAY_WAITER_H
#define GATEWAY_WAITER_H

#include "runtime/loop.h"
#include "store/store.h"

struct waiters;
struct waiter;

/* Borrows: loop and store. */
int waiters_new(struct loop *loop, struct store *store, size_t max, struct waiters **out);
/* Waiters that are left end without a callback. */
void waiters_free(struct waiters *w);
/* Ends all with a callback; whoever is added from now on ends at once. */
void waiters_stop(struct waiters *w);
size_t waiters_count(const struct waiters *w);

struct wait_for {
	struct id id;
	bool until_end; /* a terminal state; else any rev but this one */
	uint64_t rev;
	int64_t timeout_ms;
};

/* has_come: what was waited for is there (read it); false: the time is over, or the service ends. */
typedef void waiter_cb(bool has_come, void *arg);

/* 0 and later exactly one callback unless it is removed before; -EAGAIN over the limit, -ENOMEM. */
int waiter_add(struct waiters *w, const struct wait_for *what, waiter_cb *cb, void *arg, struct waiter **out);
/* Ends it without a callback. Not from its own callback. */
void waiter_remove(struct waiter *waiter);

#endif
