/*
 * What a store tells of its own commits, for those who follow tasks.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/store_fixture.h"

/* "running/2 succeeded/3": what was told since it was last looked at. */
static struct buf told;
static struct store_task last;

static void on_change(const struct store_task *tasks, size_t len, void *arg)
{
	for (size_t i = 0; i < len; i++)
		buf_printf(&told, "%s%s/%d%s", told.len ? " " : "", task_state_name(tasks[i].state),
			(int)tasks[i].rev, tasks[i].span > 1 ? "&before" : "");
	last = tasks[len - 1];
}

static void assert_told(const char *expected)
{
	assert_string_equal(buf_text(&told), expected);
	buf_reset(&told);
}

static int setup(void **state)
{
	int rc = fixture_setup(state);
	struct fixture *f = *state;

	buf_init(&told, 65536);
	if (rc == 0)
		store_on_change(f->store, on_change, NULL);
	return rc;
}

static int teardown(void **state)
{
	buf_done(&told);
	return fixture_teardown(state);
}

static void apply_kinds(
	struct fixture *f, const struct id *id, const enum store_event_kind *kinds, size_t len)
{
	struct store_event events[STORE_EVENTS_MAX];
	struct store_applied applied[STORE_EVENTS_MAX];

	for (size_t i = 0; i < len; i++) {
		events[i] = event_of(kinds[i], id, 1, T0 + 10);
		events[i].seq = i;
		events[i].retry_at_ms = T0 + 1000;
	}
	assert_int_equal(apply_all(f, events, len, applied), 0);
}

static void every_event_of_a_batch_is_told_in_order(void **state)
{
	static const enum store_event_kind kinds[] = {
		STORE_EVENT_STARTED, STORE_EVENT_PROGRESS, STORE_EVENT_PROGRESS, STORE_EVENT_SUCCEEDED};
	struct fixture *f = *state;
	struct id id = new_id(f, T0);

	apply_kinds(f, &id, kinds, 4);
	assert_told("running/1 running/2 running/3 succeeded/4");
	assert_true(id_is_equal(&last.id, &id));
}

static void a_change_says_what_the_store_says(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_STARTED, &id, 1, T0 + 10);
	const struct store_task *t;
	struct store_applied a;

	e.started_at_ms = T0 + 5;
	e.metadata = slice_text("{\"k\":1}");
	e.worker = slice_text("w1");
	assert_int_equal(apply_one(f, &e, &a), 0);
	assert_int_equal(get_task(f, &id, STORE_WITH_JSON, &t), 0);
	assert_int_equal(last.rev, t->rev);
	assert_int_equal(last.started_at_ms, t->started_at_ms);
	assert_int_equal(last.created_at_ms, t->created_at_ms);
	assert_int_equal(last.attempt, t->attempt);
	assert_int_equal(last.due_at_ms, t->due_at_ms);
}

static void a_small_json_result_comes_along_and_a_large_one_does_not(void **state)
{
	struct fixture *f = *state;
	size_t sizes[] = {2, STORE_CHANGE_RESULT_MAX, STORE_CHANGE_RESULT_MAX + 1};
	char *text = malloc(STORE_CHANGE_RESULT_MAX + 1);

	assert_non_null(text);
	memset(text, '1', STORE_CHANGE_RESULT_MAX + 1);
	for (size_t i = 0; i < 3; i++) {
		struct id id = new_id(f, T0);
		struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0 + 10);
		struct store_applied a;

		e.result = slice_of(text, sizes[i]);
		e.result_is_json = true;
		e.content_type = slice_text("application/json");
		assert_int_equal(apply_one(f, &e, &a), 0);
		assert_int_equal(last.result_len, sizes[i]);
		assert_int_equal(slice_is_set(last.result), sizes[i] <= STORE_CHANGE_RESULT_MAX);
	}
	free(text);
}

static void what_a_task_that_ends_sets_off_is_told_too(void **state)
{
	static const enum store_event_kind succeeded[] = {STORE_EVENT_SUCCEEDED};
	static const enum store_event_kind failed[] = {STORE_EVENT_FAILED};
	struct fixture *f = *state;
	struct id first = new_id(f, T0), second = new_id(f, T0), third = new_id(f, T0);
	struct store_later later[] = {later_of(&second, T0, 0), later_of(&third, T0, 0)};

	later[0].waits = later[1].waits = STORE_WAITS_TASK;
	later[0].waits_for = first;
	later[1].waits_for = second;
	assert_int_equal(insert_later(f, later, 2), 0);
	assert_told("scheduled/1 scheduled/1");
	apply_kinds(f, &first, succeeded, 1);
	assert_told("succeeded/1 scheduled/2");
	apply_kinds(f, &second, failed, 1);
	assert_told("failed/3 canceled/2");
	assert_true(id_is_equal(&last.id, &third));
}

static void a_cancel_and_what_becomes_due_are_told(void **state)
{
	struct fixture *f = *state;
	struct id one = new_id(f, T0), other = new_id(f, T0);
	struct store_later later[] = {later_of(&one, T0, T0 + 10), later_of(&other, T0, T0 + 10)};
	struct store_due_result r = {.how = STORE_DUE_DONE, .at_ms = T0 + 20};
	const struct store_due *due;
	enum store_cancel what;
	size_t len;

	assert_int_equal(insert_later(f, later, 2), 0);
	assert_int_equal(cancel_task(f, &one, T0 + 1, &what), 0);
	assert_int_equal(what, STORE_CANCEL_DONE);
	assert_told("scheduled/1 scheduled/1 canceled/2");
	assert_int_equal(claim_due(f, 7, NULL, T0 + 20, 1000, 10, &due, &len, NULL), 0);
	assert_int_equal(len, 1);
	r.row = due[0].row;
	assert_int_equal(end_due(f, 7, &r, 1), 0);
	assert_told("queued/2");
}

static void on_replayed(int rc, size_t count, bool has_more, void *arg)
{
	*(bool *)arg = rc == 0 && count == 2;
}

/* Deliveries that end together change their task once; what the database alone knows is read at the end, when there may be more. */
static void one_change_may_stand_for_others_in_the_transaction(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0 + 10);
	const struct store_replay replay = {
		.tenant = TENANT, .until_ms = INT64_MAX, .limit = 10, .now_ms = T0 + 30};
	struct store_due_result results[2];
	const struct store_due *due;
	struct store_applied applied;
	bool is_replayed = false;
	size_t len;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a\"}},"
			       "{\"channel\":\"webhook\",\"target\":{\"url\":\"http://b\"}}]");
	assert_int_equal(apply_one(f, &e, &applied), 0);
	assert_int_equal(claim_due(f, 7, NULL, T0 + 20, 1000, 10, &due, &len, NULL), 0);
	assert_int_equal(len, 2);
	for (size_t i = 0; i < 2; i++)
		results[i] =
			(struct store_due_result){.row = due[i].row, .how = STORE_DUE_DEAD, .at_ms = T0 + 20};
	assert_int_equal(end_due(f, 7, results, 2), 0);
	assert_told("succeeded/1 succeeded/2");
	assert_int_equal(last.deliveries_dead, 2);
	assert_int_equal(store_deliveries_replay(f->store, &replay, on_replayed, &is_replayed), 0);
	fixture_await(f, &is_replayed);
	assert_told("succeeded/4&before");
	assert_int_equal(last.span, 2);
}

static void what_changes_nothing_is_told_as_it_is(void **state)
{
	static const enum store_event_kind kinds[] = {STORE_EVENT_SUCCEEDED};
	struct fixture *f = *state;
	struct id id = new_id(f, T0);

	apply_kinds(f, &id, kinds, 1);
	apply_kinds(f, &id, kinds, 1);
	assert_told("succeeded/1 succeeded/1");
}

static void reading_tells_nothing(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_task *t;

	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_told("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_event_of_a_batch_is_told_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_change_says_what_the_store_says, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_small_json_result_comes_along_and_a_large_one_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_task_that_ends_sets_off_is_told_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cancel_and_what_becomes_due_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_change_may_stand_for_others_in_the_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(what_changes_nothing_is_told_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(reading_tells_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
