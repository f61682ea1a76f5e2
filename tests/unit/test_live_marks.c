#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/live_marks.h"

static struct live_marks marks;

static bool note(uint64_t publisher, uint16_t shard, uint32_t count)
{
	struct live_publisher *p = live_marks_publisher(&marks, publisher);

	assert_non_null(p);
	return live_marks_note(p, &(struct live_mark){shard, count});
}

static int teardown(void **state)
{
	live_marks_done(&marks);
	return 0;
}

static void every_number_in_turn_is_no_loss(void **state)
{
	for (uint32_t count = 5; count < 10; count++)
		assert_false(note(1, 7, count));
	assert_false(note(1, 8, 100));
	assert_false(note(2, 7, 1));
}

static void a_number_left_out_is_a_loss_and_told_once(void **state)
{
	assert_false(note(1, 7, 5));
	assert_true(note(1, 7, 7));
	assert_false(note(1, 7, 8));
}

static void the_first_one_heard_may_have_any_number(void **state)
{
	assert_false(note(1, 7, 1000));
	live_marks_forget(&marks, 7);
	assert_false(note(1, 7, 2000));
}

static void counting_past_the_end_is_no_loss(void **state)
{
	assert_false(note(1, 7, UINT32_MAX));
	assert_false(note(1, 7, 0));
	assert_false(note(1, 7, 1));
}

static void a_shard_that_is_none_is_let_go(void **state)
{
	assert_false(note(1, TOPOLOGY_EVENT_SHARDS, 1));
	assert_false(note(1, UINT16_MAX, 3));
}

static void of_too_many_publishers_the_one_not_heard_of_goes(void **state)
{
	for (uint64_t p = 1; p <= LIVE_PUBLISHERS_MAX; p++)
		assert_false(note(p, 7, 1));
	assert_false(note(1, 7, 2));
	assert_false(note(1000, 7, 1));
	assert_true(note(1, 7, 9));
	/* 2 was the one that went. */
	assert_false(note(2, 7, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_number_in_turn_is_no_loss, teardown),
		cmocka_unit_test_teardown(a_number_left_out_is_a_loss_and_told_once, teardown),
		cmocka_unit_test_teardown(the_first_one_heard_may_have_any_number, teardown),
		cmocka_unit_test_teardown(counting_past_the_end_is_no_loss, teardown),
		cmocka_unit_test_teardown(a_shard_that_is_none_is_let_go, teardown),
		cmocka_unit_test_teardown(of_too_many_publishers_the_one_not_heard_of_goes, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
