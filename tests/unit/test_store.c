/*
 * What every store promises, by store.h alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store_fixture.h"

/* ---- keys ---- */

static void the_first_start_mints_a_key_and_it_stays(void **state)
{
	struct fixture *f = *state;
	struct id_key before[STORE_KEYS_MAX], after[STORE_KEYS_MAX], zero = {{0}};
	size_t len;

	assert_int_equal(get_keys(f, before, &len), 0);
	assert_int_equal(len, 1);
	assert_memory_not_equal(&before[0], &zero, sizeof zero);
	fixture_stop_store(f);
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(get_keys(f, after, &len), 0);
	assert_int_equal(len, 1);
	assert_memory_equal(&before[0], &after[0], sizeof zero);
}

static void a_new_key_comes_first_and_the_newest_are_kept(void **state)
{
	struct fixture *f = *state;
	struct id_key keys[STORE_KEYS_MAX], key = {{0}};
	size_t len;

	for (uint8_t i = 1; i <= 20; i++) {
		key.bytes[0] = i;
		assert_int_equal(add_key(f, &key, keys, &len), 0);
		assert_int_equal(len, i < STORE_KEYS_MAX ? i + 1 : STORE_KEYS_MAX);
		assert_int_equal(keys[0].bytes[0], i);
	}
	key.bytes[0] = 15;
	assert_int_equal(add_key(f, &key, keys, &len), 0);
	assert_int_equal(len, STORE_KEYS_MAX);
	assert_int_equal(keys[0].bytes[0], 15);
	assert_int_equal(keys[1].bytes[0], 20);
}

/* ---- tasks ---- */

static void an_unknown_task_is_absent(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_task *t;

	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_int_equal(t->presence, STORE_ABSENT);
	assert_true(id_is_equal(&t->id, &id));
}

static void a_result_comes_back_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0 + 50);
	const struct store_task *t;
	struct store_applied a;

	e.result = slice_of("{\"a\": 1.10}\0x", 13);
	e.content_type = slice_text("application/json");
	e.result_is_json = true;
	e.metadata = slice_text("{\"k\":1}");
	e.worker = slice_text("w1");
	assert_int_equal(apply_one(f, &e, &a), 0);
	assert_int_equal(a.rc, 0);
	assert_true(a.has_changed);
	assert_int_equal(a.rev, 1);
	assert_int_equal(a.state, TASK_SUCCEEDED);
	assert_int_equal(get_task(f, &id, STORE_WITH_RESULT, &t), 0);
	assert_int_equal(t->presence, STORE_PRESENT);
	assert_int_equal(t->state, TASK_SUCCEEDED);
	assert_true(slice_is_equal(t->result, e.result));
	assert_true(slice_is_equal(t->content_type, e.content_type));
	assert_true(slice_is_equal(t->metadata, e.metadata));
	assert_true(slice_is_equal(t->worker, e.worker));
	assert_true(slice_is_equal(t->tenant, TENANT));
	assert_true(slice_is_equal(t->task, TASK));
	assert_int_equal(t->result_len, 13);
	assert_true(t->result_is_json);
	assert_int_equal(t->created_at_ms, T0);
	assert_int_equal(t->finished_at_ms, T0 + 50);
	assert_int_equal(t->attempt, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_start_mints_a_key_and_it_stays),
		TEST(a_new_key_comes_first_and_the_newest_are_kept),
		TEST(an_unknown_task_is_absent),
		TEST(a_result_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
