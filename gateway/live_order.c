/*
 * In which order changes of one task are told: by rev, without a gap where that can be had by waiting a little.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/live_internal.h"
#include "runtime/clock.h"

#define HELD_BYTES_MAX ((size_t)1 << 20)

/* ---- holding back ---- */

static int encode(const struct store_task *task, struct buf *out)
{
	struct live_event e;

	live_event_of_task(task, &e);
	return live_event_encode(&e, out);
}

static struct held *held_new(const struct store_task *task)
{
	struct held *h = NULL;
	struct buf bytes;

	buf_init(&bytes, HELD_BYTES_MAX);
	if (encode(task, &bytes) == 0)
		h = malloc(sizeof *h + bytes.len);
	if (h) {
		*h = (struct held){.rev = task->rev, .len = bytes.len};
		memcpy(h->bytes, bytes.data, bytes.len);
	}
	buf_done(&bytes);
	return h;
}

static struct held **find_place(struct watched *w, uint64_t rev)
{
	struct held **at = &w->held;

	while (*at && (*at)->rev < rev)
		at = &(*at)->next;
	return at;
}

static void start_holding(struct watched *w)
{
	struct live *l = w->live;

	w->held_until_ms = clock_mono_ms() + LIVE_HOLD_MS;
	if (TAILQ_EMPTY(&l->holds))
		timer_arm(l->holds_timer, LIVE_HOLD_MS);
	TAILQ_INSERT_TAIL(&l->holds, w, in_holds);
}

static int hold(struct watched *w, const struct store_task *task)
{
	struct held **at = find_place(w, task->rev);
	struct held *h;

	if (*at && (*at)->rev == task->rev)
		return 0;
	if (w->held_len == LIVE_HELD_MAX)
		return -ENOBUFS;
	h = held_new(task);
	if (!h)
		return -ENOMEM;
	h->next = *at;
	*at = h;
	if (w->held_len++ == 0)
		start_holding(w);
	return 0;
}

static struct held *take_first(struct watched *w)
{
	struct held *h = w->held;

	w->held = h->next;
	if (--w->held_len == 0)
		TAILQ_REMOVE(&w->live->holds, w, in_holds);
	return h;
}

void live_drop_held(struct watched *w)
{
	while (w->held)
		free(take_first(w));
}

/* ---- telling ---- */

static void tell_held(struct watched *w, const struct held *h)
{
	struct decode_error error;
	struct live_event e;
	struct store_task task;

	if (h->rev <= w->told || live_event_decode(slice_of(h->bytes, h->len), &e, &error) < 0)
		return;
	live_event_to_task(&e, &task);
	live_tell_started(w, &task);
}

/* Those up to `rev`, whatever is missing between them. */
static void release(struct watched *w, uint64_t rev)
{
	while (w->held && w->held->rev <= rev) {
		struct held *h = take_first(w);

		tell_held(w, h);
		free(h);
	}
}

static void release_next(struct watched *w)
{
	while (w->held && w->held->rev <= w->told + 1)
		release(w, w->held->rev);
}

bool live_is_early(const struct watched *w, const struct store_task *task)
{
	return task->rev > w->told + (task->span ? task->span : 1);
}

void live_offer(struct watched *w, const struct store_task *task)
{
	if (!live_has_started(w) || task->rev <= w->told)
		return;
	if (live_is_early(w, task) && !w->is_cut && hold(w, task) == 0)
		return;
	release(w, task->rev - 1);
	live_tell_started(w, task);
	release_next(w);
}

void live_on_holds(evutil_socket_t fd, short what, void *arg)
{
	struct live *l = arg;
	int64_t now_ms = clock_mono_ms();
	struct watched *w;

	while ((w = TAILQ_FIRST(&l->holds)) && w->held_until_ms <= now_ms) {
		l->stats.gaps++;
		live_enter(l);
		release(w, UINT64_MAX);
		live_leave(l);
	}
	if (w)
		timer_arm(l->holds_timer, w->held_until_ms - now_ms);
}
