#include "notifier/sweep.h"

#include <errno.h>
#include <stdlib.h>

#include "notifier/leap.h"
#include "notifier/metrics.h"
#include "runtime/clock.h"

enum { ROWS_MAX = 500, MORE_MS = 20, EVERY_MIN_MS = 200, EVERY_MAX_MS = 10000 };

struct sweep {
	struct service *service;
	struct store *store;
	struct event *timer;
	struct leap leap;
	bool is_up, is_sweeping;
};

/* A tenth of the shortest lifetime, within bounds: nothing stays much longer than it may. */
static int64_t pause_ms(const struct sweep *w)
{
	const struct store_section *store = &w->service->options->store;
	int64_t ms =
		(store->result_ttl_ms < store->task_ttl_ms ? store->result_ttl_ms : store->task_ttl_ms) / 10;

	return ms < EVERY_MIN_MS ? EVERY_MIN_MS : ms > EVERY_MAX_MS ? EVERY_MAX_MS : ms;
}

static void on_swept(int rc, const struct store_sweep *swept, void *arg)
{
	struct sweep *w = arg;
	struct metrics *m = w->service->metrics;

	w->is_sweeping = false;
	if (rc < 0) {
		timer_arm(w->timer, pause_ms(w));
		return;
	}
	metrics_add(m, NOTIFIER_SWEPT, (double)swept->expired, "expired");
	metrics_add(m, NOTIFIER_SWEPT, (double)swept->forgotten, "forgotten");
	metrics_add(m, NOTIFIER_SWEPT, (double)swept->died, "died");
	timer_arm(w->timer, swept->has_more ? MORE_MS : pause_ms(w));
}

/* Dead tasks and dropped results do not come back when a clock is set right. */
static bool may_believe_clock(struct sweep *w)
{
	bool was_leapt = w->leap.has_leapt;
	int64_t wait_ms = leap_wait_ms(&w->leap, clock_wall_ms(), clock_mono_ms());

	if (w->leap.has_leapt && !was_leapt)
		log_warn("clock_leapt", LOG_INT("by_s", (w->leap.leapt_to_ms - w->leap.ahead_ms) / 1000),
			LOG_INT("wait_s", wait_ms / 1000),
			LOG_TEXT("why",
				"nothing is expired or removed meanwhile: set the clock right, or restart the "
				"notifier if it is"));
	return wait_ms == 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sweep *w = arg;

	if (!w->is_up || w->is_sweeping)
		return;
	w->is_sweeping =
		may_believe_clock(w) && store_sweep(w->store, clock_wall_ms(), ROWS_MAX, on_swept, w) == 0;
	if (!w->is_sweeping)
		timer_arm(w->timer, pause_ms(w));
}

void sweep_set_store(struct sweep *w, bool is_up)
{
	w->is_up = is_up;
	if (is_up)
		timer_arm(w->timer, 0);
}

int sweep_new(struct service *s, struct store *store, struct sweep **out)
{
	struct sweep *w = calloc(1, sizeof *w);

	if (!w)
		return -ENOMEM;
	w->service = s;
	w->store = store;
	w->timer = loop_timer(s->loop, on_timer, w);
	if (!w->timer) {
		sweep_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void sweep_free(struct sweep *w)
{
	if (!w)
		return;
	if (w->timer)
		event_free(w->timer);
	free(w);
}
