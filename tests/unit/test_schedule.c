#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/schedule.h"

static const struct schedule some = {.waits_ms = {0, 5000, 300000}, .len = 3};

static int parse(const char *const *texts, size_t len, struct schedule *out)
{
	return schedule_parse((char *const *)texts, len, out);
}

static void durations_are_read(void **state)
{
	const char *const texts[] = {"0s", "5s", "5m", "24h"};
	struct schedule s;

	assert_int_equal(parse(texts, 4, &s), 0);
	assert_int_equal(s.len, 4);
	assert_int_equal(s.waits_ms[0], 0);
	assert_int_equal(s.waits_ms[1], 5000);
	assert_int_equal(s.waits_ms[3], 24 * 3600 * 1000);
}

static void what_is_no_schedule_is_refused(void **state)
{
	const char *wrong[] = {"1s", "soon"}, *negative[] = {"-1s"}, *long_one[] = {"8d"};
	const char *many[SCHEDULE_MAX + 1];
	struct schedule s;

	for (size_t i = 0; i <= SCHEDULE_MAX; i++)
		many[i] = "1s";
	assert_int_equal(parse(many, SCHEDULE_MAX, &s), 0);
	assert_int_equal(parse(many, SCHEDULE_MAX + 1, &s), -EINVAL);
	assert_int_equal(parse(many, 0, &s), -EINVAL);
	assert_int_equal(parse(wrong, 2, &s), -EINVAL);
	assert_int_equal(parse(negative, 1, &s), -EINVAL);
	assert_int_equal(parse(long_one, 1, &s), -EINVAL);
}

static void each_failure_leads_to_the_next_wait_and_the_last_to_none(void **state)
{
	int64_t wait_ms = -1;

	assert_true(schedule_next(&some, 1, 0, UINT32_MAX / 2, &wait_ms));
	assert_in_range(wait_ms, 4999, 5001);
	assert_true(schedule_next(&some, 2, 0, UINT32_MAX / 2, &wait_ms));
	assert_in_range(wait_ms, 299999, 300001);
	assert_false(schedule_next(&some, 3, 0, 0, &wait_ms));
	assert_false(schedule_next(&some, 4, 0, 0, &wait_ms));
	assert_false(schedule_next(&some, UINT32_MAX, 1000, 0, &wait_ms));
}

static void the_jitter_is_a_fifth_either_way(void **state)
{
	int64_t least, most, wait_ms;

	assert_true(schedule_next(&some, 1, 0, 0, &least));
	assert_true(schedule_next(&some, 1, 0, UINT32_MAX, &most));
	assert_int_equal(least, 4000);
	assert_in_range(most, 5999, 6000);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(schedule_next(&some, 1, 0, i * 4294967u, &wait_ms));
		assert_in_range(wait_ms, least, most);
	}
}

static void a_receiver_may_ask_for_more_and_never_for_less(void **state)
{
	int64_t wait_ms;

	assert_true(schedule_next(&some, 1, 60000, 0, &wait_ms));
	assert_int_equal(wait_ms, 60000);
	assert_true(schedule_next(&some, 1, 1, 0, &wait_ms));
	assert_int_equal(wait_ms, 4000);
	assert_false(schedule_next(&some, 3, 60000, 0, &wait_ms));
}

static void attempts_have_their_places_after_the_beginning(void **state)
{
	const struct schedule at_once = {.waits_ms = {0}, .len = 1};

	assert_int_equal(schedule_offset(&some, 0), 0);
	assert_int_equal(schedule_offset(&some, 1), 0);
	assert_int_equal(schedule_offset(&some, 2), 5000);
	assert_int_equal(schedule_offset(&some, 3), 305000);
	assert_int_equal(schedule_offset(&some, 4), 605000);
	assert_int_equal(schedule_offset(&some, UINT32_MAX), 605000);
	assert_int_equal(schedule_offset(&at_once, 2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(what_is_no_schedule_is_refused),
		cmocka_unit_test(each_failure_leads_to_the_next_wait_and_the_last_to_none),
		cmocka_unit_test(the_jitter_is_a_fifth_either_way),
		cmocka_unit_test(a_receiver_may_ask_for_more_and_never_for_less),
		cmocka_unit_test(attempts_have_their_places_after_the_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
