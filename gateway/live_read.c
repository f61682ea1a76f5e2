/*
 * What followers are told out of the store: first the rows, many at once; then, of those that have one, the JSON results,
 * a few MiB at once.
 */
#include "gateway/live_internal.h"
#include "runtime/clock.h"

enum { AGAIN_MS = 500 };

static struct reader *reader_of(struct live *l, enum live_read kind)
{
	return kind == LIVE_READ_ROW ? &l->rows : &l->wholes;
}

static void enqueue(struct watched *w, enum live_read kind)
{
	w->queued = kind;
	TAILQ_INSERT_TAIL(&reader_of(w->live, kind)->queue, w, in_queue);
}

static void dequeue(struct watched *w)
{
	if (w->queued == LIVE_READ_NOTHING)
		return;
	TAILQ_REMOVE(&reader_of(w->live, w->queued)->queue, w, in_queue);
	w->queued = LIVE_READ_NOTHING;
}

void live_want(struct watched *w, enum live_read kind)
{
	if (w->reading != LIVE_READ_NOTHING) {
		if (kind > w->again)
			w->again = kind;
		return;
	}
	if (kind <= w->queued)
		return;
	dequeue(w);
	enqueue(w, kind);
}

void live_read_cancel(struct watched *w)
{
	dequeue(w);
	if (w->reading != LIVE_READ_NOTHING)
		reader_of(w->live, w->reading)->asked[w->slot] = NULL;
	w->reading = w->again = LIVE_READ_NOTHING;
}

/* ---- answers ---- */

static struct watched *take_asked(struct reader *r, size_t slot)
{
	struct watched *w = r->asked[slot];

	r->asked[slot] = NULL;
	if (w)
		w->reading = LIVE_READ_NOTHING;
	return w;
}

/* It waits its turn once more. */
static void put_back(struct reader *r)
{
	struct watched *w;

	for (size_t i = 0; i < r->asked_len; i++)
		if ((w = take_asked(r, i)))
			live_want(w, w->again > r->kind ? w->again : r->kind);
	r->asked_len = 0;
	if (!evtimer_pending(r->live->tick, NULL))
		timer_arm(r->live->tick, AGAIN_MS);
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct reader *r = arg;
	struct watched *w;

	if (rc < 0) {
		put_back(r);
		return;
	}
	for (size_t i = 0; i < r->asked_len; i++) {
		enum live_read again;

		if (!(w = take_asked(r, i)))
			continue;
		again = w->again;
		w->again = LIVE_READ_NOTHING;
		if (again != LIVE_READ_NOTHING)
			live_want(w, again);
		r->live->stats.reads++;
		live_on_read(w, &tasks[i], r->kind == LIVE_READ_WHOLE);
	}
	r->asked_len = 0;
	live_pump(r->live);
}

/* ---- questions ---- */

/* As many results as a few, since nobody knows how large they are before the row was read. */
static size_t most_at_once(const struct reader *r)
{
	enum { WHOLES_AT_ONCE = 8 };

	return r->kind == LIVE_READ_ROW ? STORE_READ_MAX : WHOLES_AT_ONCE;
}

static void ask(struct reader *r)
{
	struct id ids[STORE_READ_MAX];
	size_t most = most_at_once(r);
	struct watched *w;

	if (r->asked_len > 0)
		return;
	while (r->asked_len < most && (w = TAILQ_FIRST(&r->queue))) {
		dequeue(w);
		w->reading = r->kind;
		w->slot = r->asked_len;
		ids[r->asked_len] = w->id;
		r->asked[r->asked_len++] = w;
	}
	if (r->asked_len > 0 && store_tasks_get(r->live->config.store, ids, r->asked_len,
					r->kind == LIVE_READ_WHOLE ? STORE_WITH_JSON : 0, on_tasks, r) < 0)
		put_back(r);
}

void live_pump(struct live *l)
{
	ask(&l->rows);
	ask(&l->wholes);
}

static void reader_init(struct reader *r, struct live *l, enum live_read kind)
{
	*r = (struct reader){.live = l, .kind = kind};
	TAILQ_INIT(&r->queue);
}

void live_readers_init(struct live *l)
{
	reader_init(&l->rows, l, LIVE_READ_ROW);
	reader_init(&l->wholes, l, LIVE_READ_WHOLE);
}
