#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/metrics.h"
#include "notifier/sweep.h"
#include "runtime/clock.h"
#include "tests/unit/store_fixture.h"

enum { PAUSE_MS = 200 }; /* the sweep's shortest */

/* A notifier of which only the sweep is there. */
struct rig {
	struct fixture *f;
	struct service_options options;
	struct service service;
	struct metric_definition definitions[NOTIFIER_METRICS_END];
	struct sweep *sweep;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	void *fixture;

	assert_int_equal(fixture_setup(&fixture), 0);
	r->f = fixture;
	r->options.store = (struct store_section){.result_ttl_ms = 1, .task_ttl_ms = 1};
	for (size_t i = 0; i < NOTIFIER_METRICS_END; i++)
		r->definitions[i] = (struct metric_definition){
			"postback_swept_total", METRIC_COUNTER, {"what"}, "Swept."};
	r->service = (struct service){.loop = r->f->loop, .options = &r->options};
	assert_int_equal(metrics_new(r->definitions, NOTIFIER_METRICS_END, &r->service.metrics), 0);
	assert_int_equal(sweep_new(&r->service, r->f->store, &r->sweep), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	void *fixture = r->f;

	clock_shift(0);
	sweep_free(r->sweep);
	metrics_free(r->service.metrics);
	fixture_teardown(&fixture);
	free(r);
	return 0;
}

static void run_for(struct rig *r, int64_t ms)
{
	int64_t until_ms = clock_mono_ms() + ms;

	while (clock_mono_ms() < until_ms)
		event_base_loop(loop_base(r->f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static bool is_there(struct rig *r, const struct id *id)
{
	const struct store_task *task;

	assert_int_equal(get_task(r->f, id, 0, &task), 0);
	return task->presence == STORE_PRESENT;
}

static struct id finished_task(struct rig *r)
{
	int64_t now_ms = clock_wall_ms();
	struct id id = new_id(r->f, now_ms);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, now_ms);
	struct store_applied applied;

	assert_int_equal(apply_one(r->f, &e, &applied), 0);
	return id;
}

static void a_clock_that_leapt_removes_nothing_at_once(void **state)
{
	struct rig *r = *state;
	struct id id = finished_task(r);
	struct sweep *restarted;

	sweep_set_store(r->sweep, true);
	run_for(r, PAUSE_MS / 2);
	assert_true(is_there(r, &id));
	clock_shift(30 * DAY_MS);
	run_for(r, 3 * PAUSE_MS);
	assert_true(is_there(r, &id));
	/* Who is started now knows no other time. */
	assert_int_equal(sweep_new(&r->service, r->f->store, &restarted), 0);
	sweep_set_store(restarted, true);
	for (int i = 0; i < 1000 && is_there(r, &id); i++)
		run_for(r, PAUSE_MS / 10);
	assert_false(is_there(r, &id));
	sweep_free(restarted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_clock_that_leapt_removes_nothing_at_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
