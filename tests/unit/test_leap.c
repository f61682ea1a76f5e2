#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/leap.h"

#define WALL INT64_C(1700000000000)
#define DAY  (INT64_C(24) * 3600 * 1000)

static int64_t wait_at(struct leap *l, int64_t mono_ms, int64_t shift_ms)
{
	return leap_wait_ms(l, WALL + mono_ms + shift_ms, mono_ms);
}

static void a_clock_that_runs_is_believed(void **state)
{
	struct leap l = {0};

	for (int64_t at = 5; at < 30 * DAY; at += 3600 * 1000)
		assert_int_equal(
			wait_at(&l, at, at / 2000), 0); /* half a second in a thousand, as it is slewed */
}

static void the_first_clock_is_believed_whatever_it_says(void **state)
{
	struct leap l = {0};

	assert_int_equal(wait_at(&l, 0, 10000 * DAY), 0);
	assert_int_equal(wait_at(&l, 1000, 10000 * DAY), 0);
}

static void small_steps_and_steps_back_are_believed(void **state)
{
	struct leap l = {0};

	assert_int_equal(wait_at(&l, 0, 0), 0);
	assert_int_equal(wait_at(&l, 1000, LEAP_MS), 0);
	assert_int_equal(wait_at(&l, 2000, 2 * LEAP_MS), 0);
	assert_int_equal(wait_at(&l, 3000, -300 * DAY), 0);
}

static void a_leap_is_waited_for(void **state)
{
	struct leap l = {0};

	assert_int_equal(wait_at(&l, 0, 0), 0);
	assert_int_equal(wait_at(&l, 1000, LEAP_MS + 1), LEAP_WAIT_MS);
	assert_int_equal(wait_at(&l, 61000, LEAP_MS + 1), LEAP_WAIT_MS - 60000);
	assert_int_equal(wait_at(&l, 999 + LEAP_WAIT_MS, LEAP_MS + 1), 1);
	assert_int_equal(wait_at(&l, 1000 + LEAP_WAIT_MS, LEAP_MS + 1), 0);
	assert_int_equal(wait_at(&l, 2000 + LEAP_WAIT_MS, LEAP_MS + 1), 0);
}

static void a_clock_that_was_set_back_is_believed_at_once(void **state)
{
	struct leap l = {0};

	assert_int_equal(wait_at(&l, 0, 0), 0);
	assert_int_equal(wait_at(&l, 1000, 30 * DAY), LEAP_WAIT_MS);
	assert_int_equal(wait_at(&l, 2000, 1), 0);
	assert_int_equal(wait_at(&l, 3000, 30 * DAY), LEAP_WAIT_MS);
}

static void a_second_leap_is_waited_for_anew(void **state)
{
	struct leap l = {0};

	assert_int_equal(wait_at(&l, 0, 0), 0);
	assert_int_equal(wait_at(&l, 1000, DAY), LEAP_WAIT_MS);
	assert_int_equal(wait_at(&l, 3001000, DAY), LEAP_WAIT_MS - 3000000);
	assert_int_equal(wait_at(&l, 3001000, 3 * DAY), LEAP_WAIT_MS);
	assert_int_equal(wait_at(&l, 3001000 + LEAP_WAIT_MS, 3 * DAY), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clock_that_runs_is_believed),
		cmocka_unit_test(the_first_clock_is_believed_whatever_it_says),
		cmocka_unit_test(small_steps_and_steps_back_are_believed),
		cmocka_unit_test(a_leap_is_waited_for),
		cmocka_unit_test(a_clock_that_was_set_back_is_believed_at_once),
		cmocka_unit_test(a_second_leap_is_waited_for_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
