#include "gateway/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "runtime/clock.h"

enum { TICK_MS = 25, NO_SLOT = -1 };

struct waiter {
	LIST_ENTRY(waiter) link;
	struct waiters *all;
	struct wait_for what;
	int64_t ends_ms; /* monotonic */
	waiter_cb *cb;
	void *arg;
	bool needs_read; /* the store may know something new of its task */
	bool has_come;
	int slot; /* in waiters.asked */
};

LIST_HEAD(waiter_list, waiter);

struct waiters {
	struct store *store;
	struct event *timer;
	struct waiter_list list;
	size_t len, max;
	uint64_t version; /* of the store, when it was last asked */
	bool is_asking;	  /* one question at a time */
	bool is_stopping;
	struct waiter *asked[STORE_READ_MAX]; /* NULL: gone meanwhile */
	size_t asked_len;
};

/* ---- who waits ---- */

static void take_out(struct waiter *waiter)
{
	LIST_REMOVE(waiter, link);
	waiter->all->len--;
	if (waiter->slot != NO_SLOT)
		waiter->all->asked[waiter->slot] = NULL;
}

void waiter_remove(struct waiter *waiter)
{
	take_out(waiter);
	free(waiter);
}

int waiter_add(struct waiters *w, const struct wait_for *what, waiter_cb *cb, void *arg, struct waiter **out)
{
	struct waiter *waiter;

	if (w->len >= w->max)
		return -EAGAIN;
	waiter = calloc(1, sizeof *waiter);
	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){
		.all = w,
		.what = *what,
		.ends_ms = clock_mono_ms() + (w->is_stopping ? 0 : what->timeout_ms),
		.cb = cb,
		.arg = arg,
		.needs_read = true,
		.slot = NO_SLOT,
	};
	LIST_INSERT_HEAD(&w->list, waiter, link);
	w->len++;
	if (!event_pending(w->timer, EV_TIMEOUT, NULL))
		timer_arm(w->timer, TICK_MS);
	*out = waiter;
	return 0;
}

size_t waiters_count(const struct waiters *w)
{
	return w->len;
}

/* ---- ends ---- */

/* A callback may remove and add others: those that end are set apart first. */
static void end_where(
	struct waiters *w, bool (*is_over)(const struct waiter *, int64_t now_ms), bool has_come)
{
	struct waiter_list over = LIST_HEAD_INITIALIZER(over);
	int64_t now_ms = clock_mono_ms();
	struct waiter *next;

	for (struct waiter *waiter = LIST_FIRST(&w->list); waiter; waiter = next) {
		next = LIST_NEXT(waiter, link);
		if (is_over(waiter, now_ms)) {
			LIST_REMOVE(waiter, link);
			LIST_INSERT_HEAD(&over, waiter, link);
		}
	}
	while (!LIST_EMPTY(&over)) {
		struct waiter *waiter = LIST_FIRST(&over);

		take_out(waiter);
		waiter->cb(has_come, waiter->arg);
		free(waiter);
	}
}

static bool time_is_over(const struct waiter *waiter, int64_t now_ms)
{
	return now_ms >= waiter->ends_ms;
}

static bool it_has_come(const struct waiter *waiter, int64_t now_ms)
{
	return waiter->has_come;
}

void waiters_stop(struct waiters *w)
{
	struct waiter *waiter;

	w->is_stopping = true;
	LIST_FOREACH(waiter, &w->list, link)
	waiter->ends_ms = 0;
	timer_arm(w->timer, 0);
}

/* ---- asking the store ---- */

static void read_next(struct waiters *w);

static bool is_what_was_wanted(const struct wait_for *what, const struct store_task *task)
{
	switch (task->presence) {
	case STORE_ABSENT: return false;
	case STORE_TOMBSTONE: return true;
	case STORE_PRESENT: break;
	}
	return task_state_is_terminal(task->state) || (!what->until_end && task->rev != what->rev);
}

/* `task`: NULL when it could not be read, and has to be read again. */
static void settle(struct waiter *waiter, const struct store_task *task)
{
	if (!waiter)
		return;
	waiter->slot = NO_SLOT;
	if (task)
		waiter->has_come = is_what_was_wanted(&waiter->what, task);
	else
		waiter->needs_read = true;
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct waiters *w = arg;

	for (size_t i = 0; i < w->asked_len; i++)
		settle(w->asked[i], rc < 0 ? NULL : &tasks[i]);
	w->asked_len = 0;
	end_where(w, it_has_come, true);
	if (rc < 0)
		w->is_asking = false;
	else
		read_next(w);
}

static void ask_for(struct waiters *w, struct waiter *waiter, struct id *id)
{
	waiter->needs_read = false;
	waiter->slot = (int)w->asked_len;
	w->asked[w->asked_len++] = waiter;
	*id = waiter->what.id;
}

static void read_next(struct waiters *w)
{
	struct id ids[STORE_READ_MAX];
	struct waiter *waiter;
	int rc = -ENODATA;

	LIST_FOREACH(waiter, &w->list, link)
	if (waiter->needs_read && w->asked_len < STORE_READ_MAX)
		ask_for(w, waiter, &ids[w->asked_len]);
	if (w->asked_len)
		rc = store_tasks_get(w->store, ids, w->asked_len, 0, on_tasks, w);
	if (rc < 0) {
		for (size_t i = 0; i < w->asked_len; i++)
			settle(w->asked[i], NULL);
		w->asked_len = 0;
		w->is_asking = false;
	}
}

static void on_version(int rc, uint64_t version, void *arg)
{
	struct waiters *w = arg;
	struct waiter *waiter;

	if (rc < 0) {
		w->is_asking = false;
		return;
	}
	if (version != w->version)
		LIST_FOREACH(waiter, &w->list, link)
	waiter->needs_read = true;
	w->version = version;
	read_next(w);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct waiters *w = arg;

	end_where(w, time_is_over, false);
	if (LIST_EMPTY(&w->list))
		return;
	timer_arm(w->timer, TICK_MS);
	if (!w->is_asking)
		w->is_asking = store_version(w->store, on_version, w) == 0;
}

/* ---- life ---- */

int waiters_new(struct loop *loop, struct store *store, size_t max, struct waiters **out)
{
	struct waiters *w = calloc(1, sizeof *w);

	if (!w)
		return -ENOMEM;
	w->store = store;
	w->max = max;
	LIST_INIT(&w->list);
	w->timer = loop_timer(loop, on_tick, w);
	if (!w->timer) {
		free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void waiters_free(struct waiters *w)
{
	if (!w)
		return;
	while (!LIST_EMPTY(&w->list))
		waiter_remove(LIST_FIRST(&w->list));
	event_free(w->timer);
	free(w);
}
