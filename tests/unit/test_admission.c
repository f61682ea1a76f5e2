#include "processor/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void inline_goes_first(void **state)
{
	struct admission a = {.slots = 2, .waiting = {1, 1, 1}};

	assert_int_equal(admission_next(&a), WAITING_INLINE);
	a.waiting[WAITING_INLINE] = 0;
	assert_int_equal(admission_next(&a), WAITING_REDELIVERED);
	a.waiting[WAITING_REDELIVERED] = 0;
	assert_int_equal(admission_next(&a), WAITING_FRESH);
	a.waiting[WAITING_FRESH] = 0;
	assert_int_equal(admission_next(&a), WAITING_NONE);
}

static void nothing_starts_without_a_slot(void **state)
{
	struct admission a = {.slots = 2, .running = 2, .waiting = {1, 1, 1}};

	assert_int_equal(admission_next(&a), WAITING_NONE);
}

static void a_redelivered_one_waits_for_the_durable_ones_that_run(void **state)
{
	struct admission a = {.slots = 4, .running = 2, .running_durable = 1, .waiting = {0, 1, 1}};

	assert_int_equal(admission_next(&a), WAITING_NONE);
	a.running_durable = 0;
	assert_int_equal(admission_next(&a), WAITING_REDELIVERED);
}

static void beside_a_redelivered_one_only_inline_starts(void **state)
{
	struct admission a = {
		.slots = 4, .running = 1, .running_durable = 1, .is_alone = true, .waiting = {0, 1, 1}};

	assert_int_equal(admission_next(&a), WAITING_NONE);
	a.waiting[WAITING_INLINE] = 1;
	assert_int_equal(admission_next(&a), WAITING_INLINE);
}

static void it_is_careful_until_a_fresh_one_comes(void **state)
{
	struct admission a = {.slots = 4, .is_careful = true};

	assert_int_equal(admission_prefetch(&a, 32, 0), 1);
	assert_int_equal(admission_prefetch(&a, 32, 3), 4);
	assert_int_equal(admission_prefetch(&a, 3, 9), 3);
	admission_arrived(&a, true);
	assert_int_equal(admission_prefetch(&a, 32, 0), 1);
	admission_arrived(&a, false);
	assert_int_equal(admission_prefetch(&a, 32, 0), 32);
	admission_arrived(&a, true);
	assert_int_equal(admission_prefetch(&a, 32, 0), 1);
}

static void a_fresh_one_prefetched_before_does_not_end_the_care(void **state)
{
	struct admission a = {.slots = 4, .is_careful = true, .waiting = {0, 1, 0}};

	admission_arrived(&a, false);
	assert_true(a.is_careful);
	a.waiting[WAITING_REDELIVERED] = 0;
	a.is_alone = true;
	admission_arrived(&a, false);
	assert_true(a.is_careful);
}

static void prefetch_fits_the_protocol(void **state)
{
	struct admission a = {.slots = 10000};

	assert_int_equal(admission_prefetch(&a, 1000000, 0), UINT16_MAX);
}

static void slow_runs_take_one_ahead_and_fast_ones_many(void **state)
{
	assert_int_equal(admission_ahead(4, 30 * 1000000, 100, 1000), 5);
	assert_int_equal(admission_ahead(4, 50 * 1000, 100, 1000), 8);
	assert_int_equal(admission_ahead(1, 1000, 100, 1000), 33);
	assert_int_equal(admission_ahead(1, 0, 0, 10000), 1025);
	assert_int_equal(admission_ahead(1, 0, 0, 60), 60);
	assert_int_equal(admission_ahead(1, 0, 8 * 1024 * 1024, 10000), 5);
	assert_int_equal(admission_ahead(1, 0, 64 * 1024 * 1024, 10000), 2);
}

static void the_last_of_those_unacked_ends_before_the_consumer_timeout(void **state)
{
	for (int64_t timeout = 1; timeout < 4000000; timeout = timeout * 3 + 1) {
		for (size_t slots = 1; slots < 100; slots += 13) {
			size_t most = admission_most(slots, timeout, 1800000);

			assert_true(most % slots == 0 || most == UINT16_MAX);
			assert_true((int64_t)(most / slots) * timeout <= 1800000);
		}
	}
	assert_int_equal(admission_most(4, 1800000, 1800000), 0);
	assert_int_equal(admission_most(4, 1700000, 1800000), 4);
}

static void a_request_may_ask_for_what_still_fits(void **state)
{
	for (size_t prefetch = 1; prefetch < 50; prefetch++) {
		int64_t longest = admission_longest_ms(5, prefetch, 1800000);

		assert_true(admission_most(5, longest, 1800000) >= prefetch);
	}
	assert_int_equal(admission_longest_ms(5, 0, 1800000), 890000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inline_goes_first),
		cmocka_unit_test(nothing_starts_without_a_slot),
		cmocka_unit_test(a_redelivered_one_waits_for_the_durable_ones_that_run),
		cmocka_unit_test(beside_a_redelivered_one_only_inline_starts),
		cmocka_unit_test(it_is_careful_until_a_fresh_one_comes),
		cmocka_unit_test(a_fresh_one_prefetched_before_does_not_end_the_care),
		cmocka_unit_test(prefetch_fits_the_protocol),
		cmocka_unit_test(slow_runs_take_one_ahead_and_fast_ones_many),
		cmocka_unit_test(the_last_of_those_unacked_ends_before_the_consumer_timeout),
		cmocka_unit_test(a_request_may_ask_for_what_still_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
