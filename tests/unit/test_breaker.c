#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "notifier/breaker.h"

static const struct breaker_policy policy = {.failures = 3, .open_ms = 1000, .open_max_ms = 5000};
enum { T0 = 1000000 };

static void fail_times(struct breaker *b, int times, int64_t now_ms)
{
	for (int i = 0; i < times; i++)
		breaker_failed(b, &policy, now_ms);
}

static enum breaker_pass ask(struct breaker *b, int64_t now_ms)
{
	int64_t wait_ms = -1;
	enum breaker_pass pass = breaker_ask(b, &policy, now_ms, &wait_ms);

	if (pass == BREAKER_WAIT)
		assert_true(wait_ms > 0);
	return pass;
}

static void it_opens_after_failures_in_a_row(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 2, T0);
	assert_int_equal(ask(&b, T0), BREAKER_CALL);
	assert_false(breaker_is_open(&b));
	assert_false(breaker_is_fresh(&b));
	fail_times(&b, 1, T0);
	assert_true(breaker_is_open(&b));
	assert_int_equal(ask(&b, T0), BREAKER_WAIT);
	assert_int_equal(ask(&b, T0 + 999), BREAKER_WAIT);
}

static void an_answer_between_starts_the_count_again(void **state)
{
	struct breaker b = {0};

	for (int i = 0; i < 10; i++) {
		fail_times(&b, 2, T0);
		breaker_answered(&b);
		assert_true(breaker_is_fresh(&b));
	}
	assert_int_equal(ask(&b, T0), BREAKER_CALL);
}

static void half_open_lets_one_through(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, T0);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_PROBE);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_WAIT);
	assert_int_equal(ask(&b, T0 + 100000), BREAKER_WAIT);
	breaker_answered(&b);
	assert_int_equal(ask(&b, T0 + 1001), BREAKER_CALL);
	assert_int_equal(ask(&b, T0 + 1001), BREAKER_CALL);
}

static void each_probe_that_fails_opens_it_for_longer_up_to_a_bound(void **state)
{
	static const int64_t open_ms[] = {1000, 2000, 4000, 5000, 5000, 5000};
	struct breaker b = {0};
	int64_t now_ms = T0;

	fail_times(&b, 3, now_ms);
	for (size_t i = 0; i < sizeof open_ms / sizeof open_ms[0]; i++) {
		int64_t wait_ms;

		assert_int_equal(breaker_ask(&b, &policy, now_ms, &wait_ms), BREAKER_WAIT);
		assert_int_equal(wait_ms, open_ms[i]);
		now_ms += wait_ms;
		assert_int_equal(ask(&b, now_ms), BREAKER_PROBE);
		breaker_failed(&b, &policy, now_ms);
	}
	for (int i = 0; i < 100000; i++) {
		now_ms += 5000;
		assert_int_equal(ask(&b, now_ms), BREAKER_PROBE);
		breaker_failed(&b, &policy, now_ms);
	}
	assert_int_equal(ask(&b, now_ms + 4999), BREAKER_WAIT);
	assert_int_equal(ask(&b, now_ms + 5000), BREAKER_PROBE);
}

static void calls_that_were_under_way_do_not_lengthen_it(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, T0);
	fail_times(&b, 20, T0 + 900);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_PROBE);
}

static void an_answer_that_comes_late_closes_it(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, T0);
	breaker_answered(&b);
	assert_int_equal(ask(&b, T0 + 1), BREAKER_CALL);
}

static void a_dropped_probe_leaves_the_next_one_its_place(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, T0);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_PROBE);
	breaker_dropped(&b);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_PROBE);
	assert_int_equal(ask(&b, T0 + 1000), BREAKER_WAIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_after_failures_in_a_row),
		cmocka_unit_test(an_answer_between_starts_the_count_again),
		cmocka_unit_test(half_open_lets_one_through),
		cmocka_unit_test(each_probe_that_fails_opens_it_for_longer_up_to_a_bound),
		cmocka_unit_test(calls_that_were_under_way_do_not_lengthen_it),
		cmocka_unit_test(an_answer_that_comes_late_closes_it),
		cmocka_unit_test(a_dropped_probe_leaves_the_next_one_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
