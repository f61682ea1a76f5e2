#include "processor/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void a_failure_is_tried_again_while_attempts_are_left(void **state)
{
	bool retryable;

	for (uint32_t max = 1; max <= 4; max++) {
		for (uint32_t attempt = 1; attempt <= 6; attempt++) {
			enum reply_kind kind = verdict_of(OUTCOME_RETRY, false, attempt, max, &retryable);

			assert_int_equal(kind, attempt < max ? REPLY_RETRY : REPLY_FAILED);
			assert_true(retryable);
			assert_int_equal(
				verdict_of(OUTCOME_RETRY, true, attempt, max, &retryable), REPLY_FAILED);
			assert_true(retryable);
		}
	}
}

static void what_is_final_stays_so(void **state)
{
	bool retryable;

	assert_int_equal(verdict_of(OUTCOME_SUCCEEDED, false, 1, 3, &retryable), REPLY_SUCCEEDED);
	assert_int_equal(verdict_of(OUTCOME_CANCELED, false, 1, 3, &retryable), REPLY_CANCELED);
	assert_int_equal(verdict_of(OUTCOME_FAILED, false, 1, 3, &retryable), REPLY_FAILED);
	assert_false(retryable);
}

static void a_request_overrides_its_handler(void **state)
{
	struct handler_options o = {.timeout_ms = 30000, .retry = {3, 1000, 600000}};
	struct request silent = {.attempt = 1};
	struct request speaking = {.max_attempts = 9, .timeout_ms = 500, .has_retry = true, .retry = {7, 8}};
	struct terms t = terms_of(&silent, &o, 60000);

	assert_int_equal(t.max_attempts, 3);
	assert_int_equal(t.timeout_ms, 30000);
	assert_int_equal(t.retry.base_ms, 1000);
	assert_int_equal(t.retry.cap_ms, 600000);
	t = terms_of(&speaking, &o, 60000);
	assert_int_equal(t.max_attempts, 9);
	assert_int_equal(t.timeout_ms, 500);
	assert_int_equal(t.retry.base_ms, 7);
	assert_int_equal(t.retry.cap_ms, 8);
}

static void a_request_gets_no_more_than_fits_the_broker(void **state)
{
	struct handler_options o = {.timeout_ms = 30000, .retry = {3, 1000, 600000}};
	struct request greedy = {.timeout_ms = UINT32_MAX};

	assert_int_equal(terms_of(&greedy, &o, 60000).timeout_ms, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_is_tried_again_while_attempts_are_left),
		cmocka_unit_test(what_is_final_stays_so),
		cmocka_unit_test(a_request_overrides_its_handler),
		cmocka_unit_test(a_request_gets_no_more_than_fits_the_broker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
