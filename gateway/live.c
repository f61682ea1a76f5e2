#include "gateway/live_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/clock.h"
#include "service/status.h"

enum {
	TICK_MS = 1000,
	CHECK_CONNECTED_MS = 10000, /* of a task not spoken of for so long the store is asked */
	LAGS_MAX = 3,
};
#define DOCUMENT_MAX  ((size_t)256 << 20)
#define DOCUMENT_KEPT ((size_t)1 << 20)

/* ---- tasks that are watched ---- */

struct watched *live_find(struct live *l, const struct id *id)
{
	unsigned shard = live_shard_of(slice_of(id->bytes, ID_LEN));
	struct watched *w;

	LIST_FOREACH (w, &l->shards[shard].watched, in_shard)
		if (id_is_equal(&w->id, id))
			return w;
	return NULL;
}

struct watched *live_watch(struct live *l, const struct id *id)
{
	struct watched *w = live_find(l, id);

	if (w)
		return w;
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->live = l;
	w->id = *id;
	w->shard = live_shard_of(slice_of(id->bytes, ID_LEN));
	w->checked_ms = clock_mono_ms();
	LIST_INSERT_HEAD(&l->shards[w->shard].watched, w, in_shard);
	TAILQ_INSERT_TAIL(&l->all, w, all);
	if (!evtimer_pending(l->tick, NULL))
		timer_arm(l->tick, TICK_MS);
	return w;
}

static void watched_free(struct watched *w)
{
	live_read_cancel(w);
	live_drop_held(w);
	TAILQ_REMOVE(&w->live->all, w, all);
	LIST_REMOVE(w, in_shard);
	free(w);
}

/* ---- callbacks ---- */

/* One that is in no list. */
static void follower_drop(struct live_follower *f)
{
	f->live->followers_len--;
	share_give(f->share, SHARE_FOLLOWERS);
	live_shard_unref(f->live, f->shard);
	free(f->tenant);
	free(f->task);
	free(f);
}

static void follower_free(struct live_follower *f)
{
	struct watched *w = f->watched;

	LIST_REMOVE(f, link);
	f->live->tenants_len -= !w;
	follower_drop(f);
	if (w && LIST_EMPTY(&w->followers) && !w->tenants_want)
		watched_free(w);
}

void live_enter(struct live *l)
{
	l->depth++;
}

/* Whoever was unfollowed by a callback goes when the last one has returned. */
void live_leave(struct live *l)
{
	struct live_follower *f;

	if (--l->depth > 0)
		return;
	while ((f = l->dead)) {
		l->dead = f->next_dead;
		follower_free(f);
	}
}

static void tell(struct live_follower *f, const struct live_change *change)
{
	if (f->is_dead || f->is_over)
		return;
	f->is_new = false;
	f->rev = change->rev;
	f->is_over = change->is_last && f->watched;
	f->cb(change, f->arg);
}

void live_unfollow(struct live_follower *f)
{
	if (!f || f->is_dead)
		return;
	f->is_dead = true;
	if (f->live->depth == 0) {
		follower_free(f);
		return;
	}
	f->next_dead = f->live->dead;
	f->live->dead = f;
}

/* ---- what is told ---- */

static struct live_change change_of(struct live *l, const struct store_task *task)
{
	struct live_change change = {
		.task = task, .rev = task->rev, .is_last = task_state_is_terminal(task->state)};

	if (l->document.cap > DOCUMENT_KEPT) {
		buf_done(&l->document);
		buf_init(&l->document, DOCUMENT_MAX);
	}
	buf_reset(&l->document);
	status_render(task, &l->document);
	if (l->document.error == 0)
		change.document = buf_slice(&l->document);
	return change;
}

/* A document that there is no memory for is told when there is: the next reading finds that it is still to be told. */
static bool is_telling(const struct live_change *change)
{
	return slice_is_set(change->document);
}

void live_tell_started(struct watched *w, const struct store_task *task)
{
	struct live_change change = change_of(w->live, task);
	struct live_follower *f;

	if (!is_telling(&change))
		return;
	w->told = task->rev;
	live_enter(w->live);
	LIST_FOREACH (f, &w->followers, link)
		if (!f->is_new && f->rev < task->rev)
			tell(f, &change);
	live_leave(w->live);
}

bool live_has_started(const struct watched *w)
{
	const struct live_follower *f;

	LIST_FOREACH (f, &w->followers, link)
		if (!f->is_new && !f->is_dead && !f->is_over)
			return true;
	return false;
}

/* Those who are new hear what it is now, unless they know. */
static void welcome(struct watched *w, const struct store_task *task)
{
	struct live_change change = change_of(w->live, task);
	struct live_follower *f;

	if (!w->has_new || !is_telling(&change))
		return;
	if (!live_has_started(w))
		w->told = task->rev;
	w->has_new = false;
	live_enter(w->live);
	LIST_FOREACH (f, &w->followers, link) {
		if (!f->is_new)
			continue;
		if (f->rev && f->rev == task->rev && !change.is_last)
			f->is_new = false;
		else
			tell(f, &change);
	}
	live_leave(w->live);
}

static void tell_gone(struct watched *w)
{
	const struct store_task task = {.presence = STORE_TOMBSTONE, .id = w->id};
	const struct live_change change = {.task = &task, .is_last = true};
	struct live_follower *f;

	w->has_new = false;
	live_enter(w->live);
	LIST_FOREACH (f, &w->followers, link)
		tell(f, &change);
	live_leave(w->live);
}

/* ---- those who follow a tenant ---- */

static bool is_for(const struct live_follower *f, const struct store_task *task)
{
	return slice_is_text(task->tenant, f->tenant) && (!f->task || slice_is_text(task->task, f->task));
}

static bool has_tenant_followers(const struct live *l, const struct store_task *task)
{
	const struct live_follower *f;

	LIST_FOREACH (f, &l->shards[live_shard_of(task->tenant)].tenants, link)
		if (!f->is_dead && is_for(f, task))
			return true;
	return false;
}

/* The last bytes of an id are as good as random. */
static struct recent *recent_of(struct live *l, const struct id *id)
{
	unsigned at = id->bytes[ID_LEN - 1] | id->bytes[ID_LEN - 2] << 8;

	return &l->recents[at % LIVE_RECENTS];
}

/* Nothing backwards and nothing twice, as far as that can be known of any number of tasks. */
static bool is_news(struct live *l, const struct store_task *task)
{
	struct recent *r = recent_of(l, &task->id);

	if (id_is_equal(&r->id, &task->id) && task->rev <= r->rev)
		return false;
	*r = (struct recent){task->id, task->rev};
	return true;
}

static void tell_tenants(struct live *l, const struct store_task *task)
{
	struct live_change change;
	struct live_follower *f;

	if (!has_tenant_followers(l, task) || !is_news(l, task))
		return;
	change = change_of(l, task);
	if (!is_telling(&change))
		return;
	live_enter(l);
	LIST_FOREACH (f, &l->shards[live_shard_of(task->tenant)].tenants, link)
		if (!f->is_new && is_for(f, task))
			tell(f, &change);
	live_leave(l);
}

void live_tell_start(struct live *l, unsigned shard)
{
	const struct live_change change = {.task = NULL};
	struct live_follower *f;

	live_enter(l);
	LIST_FOREACH (f, &l->shards[shard].tenants, link)
		tell(f, &change);
	live_leave(l);
}

/* ---- events ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* There is more to it than an event can hold. */
static void want_whole(struct live *l, struct watched *w, const struct store_task *task, bool tenants_want)
{
	if (!w && tenants_want)
		w = live_watch(l, &task->id);
	if (!w)
		return;
	w->tenants_want |= tenants_want;
	w->wanted = larger(w->wanted, task->rev);
	/* Nothing is missing before it, and what the store says then is told at once. */
	w->is_cut |= !live_is_early(w, task);
	live_want(w, LIVE_READ_WHOLE);
}

/* Others in its shard are followed, but not this one. */
static bool is_of_nobody(struct live *l, struct slice bytes)
{
	struct id id;

	return l->tenants_len == 0 && live_event_id(bytes, &id) && !live_find(l, &id);
}

void live_on_event(struct live *l, struct slice bytes)
{
	struct decode_error error;
	struct live_event e;
	struct store_task task;
	struct watched *w;

	l->stats.events++;
	if (is_of_nobody(l, bytes) || live_event_decode(bytes, &e, &error) < 0)
		return;
	live_event_to_task(&e, &task);
	w = live_find(l, &task.id);
	if (w) {
		w->heard = larger(w->heard, task.rev);
		w->checked_ms = clock_mono_ms();
	}
	if (e.is_partial) {
		want_whole(l, w, &task, has_tenant_followers(l, &task));
		return;
	}
	if (w)
		live_offer(w, &task);
	tell_tenants(l, &task);
}

/* ---- readings ---- */

/*
 * It is behind what an event has said: a little later it is not, unless the event said what never was. Then what there is
 * has to do, and is looked at again soon.
 */
static bool is_behind(struct watched *w, const struct store_task *task, bool is_whole)
{
	uint64_t least = larger(w->wanted, w->has_new ? w->heard : 0);

	if (task->rev >= least) {
		w->lags = 0;
		return false;
	}
	if (++w->lags > LAGS_MAX) {
		w->lags = 0;
		w->wanted = w->heard = 0;
		w->checked_ms -= CHECK_CONNECTED_MS - TICK_MS;
		return false;
	}
	live_want(w, is_whole ? LIVE_READ_WHOLE : LIVE_READ_ROW);
	return true;
}

static bool has_json_result(const struct store_task *task)
{
	return task->result_is_json && task->result_len > 0;
}

static void on_known(struct watched *w, const struct store_task *task, bool is_whole)
{
	if (is_behind(w, task, is_whole))
		return;
	if (!w->has_new && !w->tenants_want && task->rev <= w->told) {
		w->is_cut = false;
		return;
	}
	if (!is_whole && has_json_result(task)) {
		live_want(w, LIVE_READ_WHOLE);
		return;
	}
	w->wanted = 0;
	welcome(w, task);
	live_offer(w, task);
	w->is_cut = false;
	if (w->tenants_want)
		tell_tenants(w->live, task);
	w->tenants_want = false;
}

void live_on_read(struct watched *w, const struct store_task *task, bool is_whole)
{
	struct live *l = w->live;
	struct store_task queued;
	bool is_unused;

	w->checked_ms = clock_mono_ms();
	live_enter(l);
	switch (status_presence(task, clock_wall_ms(), l->config.lifetime_ms)) {
	case STATUS_KNOWN: on_known(w, task, is_whole); break;
	case STATUS_QUEUED:
		queued = status_queued(&task->id);
		if (!is_behind(w, &queued, is_whole))
			welcome(w, &queued);
		w->is_cut = false;
		break;
	case STATUS_GONE:
		w->tenants_want = false;
		tell_gone(w);
		break;
	}
	/* With followers it goes when the last one does, which may be now. */
	is_unused = LIST_EMPTY(&w->followers) && !w->tenants_want;
	live_leave(l);
	if (is_unused)
		watched_free(w);
}

/* ---- time ---- */

static int64_t check_after_ms(const struct watched *w)
{
	const struct live *l = w->live;

	return l->is_connected && l->shards[w->shard].state == SHARD_BOUND ? CHECK_CONNECTED_MS : TICK_MS;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct live *l = arg;
	int64_t now_ms = clock_mono_ms();
	struct watched *w;

	TAILQ_FOREACH (w, &l->all, all) {
		if (now_ms - w->checked_ms < check_after_ms(w))
			continue;
		w->checked_ms = now_ms;
		w->is_cut |= !l->is_connected;
		live_want(w, LIVE_READ_ROW);
	}
	live_pump(l);
	if (live_shards_tidy(l, now_ms) || !TAILQ_EMPTY(&l->all))
		timer_arm(l->tick, TICK_MS);
}

/* ---- following ---- */

static int follower_new(struct live *l, struct share *share, unsigned shard, live_cb *cb, void *arg,
	struct live_follower **out)
{
	struct live_follower *f;
	int rc;

	if (l->followers_len >= l->config.followers_max)
		return -EAGAIN;
	if (!share_take(share, SHARE_FOLLOWERS))
		return -EDQUOT;
	f = calloc(1, sizeof *f);
	rc = f ? live_shard_ref(l, shard) : -ENOMEM;
	if (rc < 0) {
		share_give(share, SHARE_FOLLOWERS);
		free(f);
		return rc;
	}
	*f = (struct live_follower){
		.live = l, .share = share, .shard = shard, .cb = cb, .arg = arg, .is_new = true};
	l->followers_len++;
	*out = f;
	return 0;
}

int live_follow(struct live *l, struct share *share, const struct id *id, uint64_t seen, live_cb *cb,
	void *arg, struct live_follower **out)
{
	unsigned shard = live_shard_of(slice_of(id->bytes, ID_LEN));
	struct live_follower *f;
	struct watched *w;
	int rc = follower_new(l, share, shard, cb, arg, &f);

	if (rc < 0)
		return rc;
	w = live_watch(l, id);
	if (!w) {
		follower_drop(f);
		return -ENOMEM;
	}
	f->watched = w;
	f->rev = seen;
	LIST_INSERT_HEAD(&w->followers, f, link);
	w->has_new = true;
	/* Else it is read when its shard is bound. */
	if (l->shards[shard].state == SHARD_BOUND || !l->is_connected) {
		live_want(w, LIVE_READ_ROW);
		live_pump(l);
	}
	*out = f;
	return 0;
}

static char *copy(struct slice text)
{
	char *out = malloc(text.len + 1);

	if (!out)
		return NULL;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return out;
}

/* One that comes to a shard that is bound already need not wait to be told so. */
static void start_soon(struct live *l, unsigned shard)
{
	if (l->shards[shard].state == SHARD_BOUND)
		timer_arm(l->start_timer, 0);
}

int live_follow_tenant(struct live *l, struct share *share, struct slice tenant, struct slice task,
	live_cb *cb, void *arg, struct live_follower **out)
{
	unsigned shard = live_shard_of(tenant);
	struct live_follower *f;
	int rc = follower_new(l, share, shard, cb, arg, &f);

	if (rc < 0)
		return rc;
	f->tenant = copy(tenant);
	f->task = slice_is_set(task) ? copy(task) : NULL;
	LIST_INSERT_HEAD(&l->shards[shard].tenants, f, link);
	l->tenants_len++;
	if (!f->tenant || (slice_is_set(task) && !f->task)) {
		live_unfollow(f);
		return -ENOMEM;
	}
	start_soon(l, shard);
	*out = f;
	return 0;
}

/* Timer: those who follow a tenant since a moment ago. */
static void on_start(evutil_socket_t fd, short what, void *arg)
{
	const struct live_change change = {.task = NULL};
	struct live *l = arg;
	struct live_follower *f;

	live_enter(l);
	for (size_t i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		LIST_FOREACH (f, &l->shards[i].tenants, link)
			if (f->is_new && l->shards[i].state == SHARD_BOUND)
				tell(f, &change);
	live_leave(l);
}

/* ---- life ---- */

void live_stats(const struct live *l, struct live_stats *out)
{
	*out = l->stats;
	out->followers = l->followers_len;
	out->shards = l->shards_len;
	out->is_connected = l->is_connected;
}

int live_new(const struct live_config *config, struct live **out)
{
	struct live *l = calloc(1, sizeof *l);
	struct loop *loop = config->service->loop;
	int rc = -ENOMEM;

	if (!l)
		return rc;
	l->config = *config;
	TAILQ_INIT(&l->all);
	TAILQ_INIT(&l->holds);
	live_readers_init(l);
	buf_init(&l->document, DOCUMENT_MAX);
	l->tick = loop_timer(loop, on_tick, l);
	l->holds_timer = loop_timer(loop, live_on_holds, l);
	l->start_timer = loop_timer(loop, on_start, l);
	if (l->tick && l->holds_timer && l->start_timer)
		rc = live_connect(l);
	if (rc < 0) {
		live_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

static void free_timer(struct event *timer)
{
	if (timer)
		event_free(timer);
}

void live_free(struct live *l)
{
	struct watched *w;

	if (!l)
		return;
	while ((w = TAILQ_FIRST(&l->all))) {
		w->tenants_want = false;
		while (!LIST_EMPTY(&w->followers)) {
			struct live_follower *f = LIST_FIRST(&w->followers);

			LIST_REMOVE(f, link);
			free(f);
		}
		watched_free(w);
	}
	for (size_t i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		while (!LIST_EMPTY(&l->shards[i].tenants))
			live_unfollow(LIST_FIRST(&l->shards[i].tenants));
	free_timer(l->tick);
	free_timer(l->holds_timer);
	free_timer(l->start_timer);
	buf_done(&l->document);
	live_marks_done(&l->marks);
	free(l);
}
