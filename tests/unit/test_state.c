#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/state.h"

static void every_name_parses_back(void **state)
{
	for (unsigned i = 0; i < TASK_STATES; i++) {
		enum task_state parsed;

		assert_int_equal(
			task_state_parse(slice_text(task_state_name((enum task_state)i)), &parsed), 0);
		assert_int_equal(parsed, i);
	}
}

static void other_words_are_refused(void **state)
{
	static const char *const words[] = {"", "Queued", "queue", "queued ", "cancelled", "done"};
	enum task_state parsed = TASK_RUNNING;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		assert_int_equal(task_state_parse(slice_text(words[i]), &parsed), -EINVAL);
	assert_int_equal(parsed, TASK_RUNNING);
}

static void four_states_are_terminal(void **state)
{
	assert_false(task_state_is_terminal(TASK_SCHEDULED));
	assert_false(task_state_is_terminal(TASK_QUEUED));
	assert_false(task_state_is_terminal(TASK_RUNNING));
	assert_true(task_state_is_terminal(TASK_SUCCEEDED));
	assert_true(task_state_is_terminal(TASK_FAILED));
	assert_true(task_state_is_terminal(TASK_CANCELED));
	assert_true(task_state_is_terminal(TASK_DEAD));
}

static void nothing_follows_a_terminal_state(void **state)
{
	for (unsigned from = 0; from < TASK_STATES; from++) {
		for (unsigned to = 0; to < TASK_STATES; to++) {
			if (task_state_is_terminal((enum task_state)from))
				assert_false(
					task_state_may_become((enum task_state)from, (enum task_state)to));
		}
	}
}

static void every_unfinished_state_may_end_in_every_terminal_one(void **state)
{
	for (unsigned from = 0; from < TASK_STATES; from++) {
		for (unsigned to = 0; to < TASK_STATES; to++) {
			if (!task_state_is_terminal((enum task_state)from) &&
				task_state_is_terminal((enum task_state)to))
				assert_true(
					task_state_may_become((enum task_state)from, (enum task_state)to));
		}
	}
}

static void a_task_goes_forward_and_back_to_scheduled_for_another_attempt(void **state)
{
	assert_true(task_state_may_become(TASK_SCHEDULED, TASK_QUEUED));
	assert_true(task_state_may_become(TASK_QUEUED, TASK_RUNNING));
	assert_true(task_state_may_become(TASK_RUNNING, TASK_SCHEDULED));
	assert_true(task_state_may_become(TASK_QUEUED, TASK_SCHEDULED));
	assert_false(task_state_may_become(TASK_RUNNING, TASK_QUEUED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_parses_back),
		cmocka_unit_test(other_words_are_refused),
		cmocka_unit_test(four_states_are_terminal),
		cmocka_unit_test(nothing_follows_a_terminal_state),
		cmocka_unit_test(every_unfinished_state_may_end_in_every_terminal_one),
		cmocka_unit_test(a_task_goes_forward_and_back_to_scheduled_for_another_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
