#include <sys/queue.h>

#include "gateway/waiter.h"

#include <errno.h>
#include <stdlib.h>

#include <event2/event_struct.h>

struct waiter {
	LIST_ENTRY(waiter) link;
	struct waiters *all;
	struct live_follower *follower;
	struct event timer;
	struct wait_for what;
	waiter_cb *cb;
	void *arg;
};

struct waiters {
	struct loop *loop;
	struct live *live;
	LIST_HEAD(, waiter) list;
	size_t len, max;
	bool is_stopping;
};

void waiter_remove(struct waiter *waiter)
{
	event_del(&waiter->timer);
	live_unfollow(waiter->follower);
	LIST_REMOVE(waiter, link);
	waiter->all->len--;
	share_give(waiter->what.share, SHARE_WAITERS);
	free(waiter);
}

static void end(struct waiter *waiter, bool has_come)
{
	waiter_cb *cb = waiter->cb;
	void *arg = waiter->arg;

	waiter_remove(waiter);
	cb(has_come, arg);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	end(arg, false);
}

/* What it has seen may come once more, where nothing is known of the task yet. */
static void on_change(const struct live_change *change, void *arg)
{
	struct waiter *waiter = arg;
	const struct wait_for *what = &waiter->what;

	if (change->is_last || (!what->until_end && change->rev != what->rev))
		end(waiter, true);
}

int waiter_add(struct waiters *w, const struct wait_for *what, waiter_cb *cb, void *arg, struct waiter **out)
{
	struct waiter *waiter;
	int rc;

	if (w->len >= w->max)
		return -EAGAIN;
	waiter = calloc(1, sizeof *waiter);
	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){.all = w, .what = *what, .cb = cb, .arg = arg};
	/* It counts as a waiter: the limits of followers have room for all of those. */
	rc = live_follow(w->live, NULL, &what->id, what->rev, on_change, waiter, &waiter->follower);
	if (rc == 0 && !share_take(what->share, SHARE_WAITERS)) {
		live_unfollow(waiter->follower);
		rc = -EDQUOT;
	}
	if (rc < 0) {
		free(waiter);
		return rc;
	}
	evtimer_assign(&waiter->timer, loop_base(w->loop), on_time, waiter);
	timer_arm(&waiter->timer, w->is_stopping ? 0 : what->timeout_ms);
	LIST_INSERT_HEAD(&w->list, waiter, link);
	w->len++;
	*out = waiter;
	return 0;
}

size_t waiters_count(const struct waiters *w)
{
	return w->len;
}

void waiters_stop(struct waiters *w)
{
	struct waiter *waiter;

	w->is_stopping = true;
	LIST_FOREACH (waiter, &w->list, link)
		timer_arm(&waiter->timer, 0);
}

int waiters_new(struct loop *loop, struct live *live, size_t max, struct waiters **out)
{
	struct waiters *w = calloc(1, sizeof *w);

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->live = live;
	w->max = max;
	LIST_INIT(&w->list);
	*out = w;
	return 0;
}

void waiters_free(struct waiters *w)
{
	if (!w)
		return;
	while (!LIST_EMPTY(&w->list))
		waiter_remove(LIST_FIRST(&w->list));
	free(w);
}
