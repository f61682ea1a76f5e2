#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/endpoint.h"

#define HOUR ((int64_t)3600 * 1000)
#define NOW  ((int64_t)1700000000000)

/* ---- which outcomes ---- */

static bool wants(const char *tasks, uint32_t outcomes, const char *task, enum task_state state)
{
	return endpoint_wants(slice_text(tasks), outcomes, slice_text(task), state);
}

static void patterns_match_names_and_beginnings_of_names(void **state)
{
	static const struct {
		const char *tasks, *task;
		bool is_wanted;
	} cases[] = {
		{"", "echo", true},
		{NULL, "echo", true},
		{"echo", "echo", true},
		{"echo", "echo2", false},
		{"echo", "ech", false},
		{"echo", "Echo", false},
		{"*", "echo", true},
		{"e*", "echo", true},
		{"echo*", "echo", true},
		{"echo*", "echo.large", true},
		{"echo.*", "echo", false},
		{"echo*", "ech", false},
		{"img.*,echo", "echo", true},
		{"img.*,echo", "img.small", true},
		{"img.*,echo", "img", false},
		{"a,b,c*", "cat", true},
		{"a,b,c*", "b", true},
		{"a,b,c*", "bb", false},
		{"a*b", "aXb", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (wants(cases[i].tasks, 0, cases[i].task, TASK_SUCCEEDED) != cases[i].is_wanted)
			fail_msg("%s on %s", cases[i].tasks, cases[i].task);
}

static void outcomes_are_those_named_or_all(void **state)
{
	for (int s = TASK_SUCCEEDED; s <= TASK_DEAD; s++) {
		enum task_state state_now = (enum task_state)s;

		assert_true(wants("", 0, "echo", state_now));
		assert_true(wants("", 1u << s, "echo", state_now));
		assert_false(wants("", ~(1u << s), "echo", state_now));
		assert_false(wants("img.*", 1u << s, "echo", state_now));
	}
}

static void patterns_are_taken_off_one_by_one(void **state)
{
	struct slice rest = slice_text("a,b.*,c"), pattern;

	assert_true(endpoint_next_pattern(&rest, &pattern));
	assert_true(slice_is_text(pattern, "a"));
	assert_true(endpoint_next_pattern(&rest, &pattern));
	assert_true(slice_is_text(pattern, "b.*"));
	assert_true(endpoint_next_pattern(&rest, &pattern));
	assert_true(slice_is_text(pattern, "c"));
	assert_false(endpoint_next_pattern(&rest, &pattern));
	rest = slice_text("");
	assert_false(endpoint_next_pattern(&rest, &pattern));
}

/* ---- when it is disabled ---- */

static enum endpoint_verdict judge(
	enum store_due_end how, int32_t status, int64_t failing_for_ms, int64_t disable_after_ms)
{
	const struct store_due_result r = {
		.how = how, .status = status, .at_ms = NOW, .disable_after_ms = disable_after_ms};

	return endpoint_judge(&r, failing_for_ms < 0 ? 0 : NOW - failing_for_ms);
}

static void only_a_success_says_that_it_works(void **state)
{
	assert_int_equal(judge(STORE_DUE_DONE, 200, 1000 * HOUR, HOUR), ENDPOINT_WORKS);
	assert_int_equal(judge(STORE_DUE_DONE, 410, -1, HOUR), ENDPOINT_WORKS);
	assert_int_equal(judge(STORE_DUE_AGAIN, 200, -1, HOUR), ENDPOINT_FAILS);
}

static void one_that_fails_for_long_enough_has_failed(void **state)
{
	static const enum store_due_end ends[] = {STORE_DUE_AGAIN, STORE_DUE_DEAD};

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(judge(ends[i], 500, -1, HOUR), ENDPOINT_FAILS);
		assert_int_equal(judge(ends[i], 500, 0, HOUR), ENDPOINT_FAILS);
		assert_int_equal(judge(ends[i], 500, HOUR - 1, HOUR), ENDPOINT_FAILS);
		assert_int_equal(judge(ends[i], 0, HOUR, HOUR), ENDPOINT_FAILED);
		assert_int_equal(judge(ends[i], 500, 1000 * HOUR, 0), ENDPOINT_FAILS);
	}
}

static void one_that_says_it_is_gone_is_believed(void **state)
{
	assert_int_equal(judge(STORE_DUE_DEAD, 410, -1, HOUR), ENDPOINT_IS_GONE);
	assert_int_equal(judge(STORE_DUE_DEAD, 410, -1, 0), ENDPOINT_IS_GONE);
	assert_int_equal(judge(STORE_DUE_AGAIN, 410, -1, HOUR), ENDPOINT_FAILS);
	assert_true(*endpoint_verdict_text(ENDPOINT_IS_GONE));
	assert_true(*endpoint_verdict_text(ENDPOINT_FAILED));
}

/* ---- secrets ---- */

static void expect_rotated(const char *old, const char *to, int64_t until_ms, const char *wanted)
{
	const struct store_endpoint e = {.secret = slice_text("now"), .old_secrets = slice_text(old)};
	struct buf out;

	buf_init(&out, 200);
	assert_int_equal(endpoint_rotate(&e, slice_text(to), until_ms, 1000, &out), 0);
	assert_true(slice_is_text(buf_slice(&out), wanted));
	buf_done(&out);
}

static void a_rotation_cuts_no_secret_off_that_was_to_be_valid(void **state)
{
	expect_rotated("", "new", 2000, "2000 now");
	expect_rotated("1500 a", "new", 2000, "2000 now,1500 a");
	expect_rotated("1500 a,1200 b", "new", 2000, "2000 now,1500 a,1200 b");
	/* its time has passed */
	expect_rotated("1500 a,1000 b,900 c", "new", 2000, "2000 now,1500 a");
	/* none is valid for longer than the one before the new one */
	expect_rotated("9000 a,1200 b", "new", 2000, "2000 now,2000 a,1200 b");
	expect_rotated("9000 a,1200 b", "new", 1000, "");
	expect_rotated("9000 a,1200 b", "new", 0, "");
	/* back to one that was there, and to the one that is there */
	expect_rotated("1500 a,1200 b", "a", 2000, "2000 now,1200 b");
	expect_rotated("1500 a,1200 b", "now", 2000, "1500 a,1200 b");
	expect_rotated("1500 a,1200 b", "now", 1000, "");
}

static void only_so_many_secrets_are_valid(void **state)
{
	struct store_endpoint e = {
		.secret = slice_text("now"), .old_secrets = slice_text("9 a,9 b,9 c,9 d,9 e,9 f")};
	struct buf out;

	buf_init(&out, 200);
	assert_int_equal(endpoint_rotate(&e, slice_text("new"), 9, 1, &out), 0);
	e.old_secrets = slice_text("9 a,9 b,9 c,9 d,9 e,9 f,9 g");
	buf_reset(&out);
	assert_int_equal(endpoint_rotate(&e, slice_text("new"), 9, 1, &out), -ENOSPC);
	buf_reset(&out);
	assert_int_equal(endpoint_rotate(&e, slice_text("new"), 1, 1, &out), 0);
	buf_done(&out);
	e.old_secrets = slice_text("");
	buf_init(&out, 4);
	assert_int_equal(endpoint_rotate(&e, slice_text("new"), 9, 8, &out), -EMSGSIZE);
	buf_done(&out);
}

static void old_secrets_are_taken_off_one_by_one(void **state)
{
	struct slice rest = slice_text("1700000000000 whsec_a,5 whsec_b"), secret;
	int64_t until_ms;

	assert_true(endpoint_next_old_secret(&rest, &secret, &until_ms));
	assert_true(slice_is_text(secret, "whsec_a"));
	assert_int_equal(until_ms, 1700000000000);
	assert_true(endpoint_next_old_secret(&rest, &secret, &until_ms));
	assert_true(slice_is_text(secret, "whsec_b"));
	assert_int_equal(until_ms, 5);
	assert_false(endpoint_next_old_secret(&rest, &secret, &until_ms));
}

/* ---- changes ---- */

static void disabling_twice_keeps_the_first_reason(void **state)
{
	struct store_endpoint e = {.is_enabled = true, .failing_since_ms = NOW};
	struct store_endpoint_change off = {
		.has_enabled = true, .reason = slice_text("first"), .now_ms = NOW + 1};

	endpoint_apply(&e, &off);
	off.reason = slice_text("second");
	off.now_ms = NOW + 2;
	endpoint_apply(&e, &off);
	assert_false(e.is_enabled);
	assert_true(slice_is_text(e.disabled_reason, "first"));
	assert_int_equal(e.disabled_at_ms, NOW + 1);
	assert_int_equal(e.updated_at_ms, NOW + 2);
	assert_int_equal(e.failing_since_ms, NOW);
	off.is_enabled = true;
	endpoint_apply(&e, &off);
	assert_true(e.is_enabled);
	assert_int_equal(e.failing_since_ms, 0);
	assert_int_equal(e.disabled_at_ms, 0);
	assert_false(slice_is_set(e.disabled_reason));
}

static void a_change_of_nothing_changes_nothing_but_its_time(void **state)
{
	struct store_endpoint e = {.url = slice_text("http://a/"),
		.description = slice_text("mine"),
		.tasks = slice_text("echo"),
		.outcomes = 8,
		.is_enabled = true,
		.failing_since_ms = NOW};
	const struct store_endpoint_change nothing = {.now_ms = NOW + 1};

	endpoint_apply(&e, &nothing);
	assert_true(slice_is_text(e.url, "http://a/"));
	assert_true(slice_is_text(e.description, "mine"));
	assert_true(slice_is_text(e.tasks, "echo"));
	assert_int_equal(e.outcomes, 8);
	assert_true(e.is_enabled);
	assert_int_equal(e.failing_since_ms, NOW);
	assert_int_equal(e.updated_at_ms, NOW + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_names_and_beginnings_of_names),
		cmocka_unit_test(outcomes_are_those_named_or_all),
		cmocka_unit_test(patterns_are_taken_off_one_by_one),
		cmocka_unit_test(only_a_success_says_that_it_works),
		cmocka_unit_test(one_that_fails_for_long_enough_has_failed),
		cmocka_unit_test(one_that_says_it_is_gone_is_believed),
		cmocka_unit_test(a_rotation_cuts_no_secret_off_that_was_to_be_valid),
		cmocka_unit_test(only_so_many_secrets_are_valid),
		cmocka_unit_test(old_secrets_are_taken_off_one_by_one),
		cmocka_unit_test(disabling_twice_keeps_the_first_reason),
		cmocka_unit_test(a_change_of_nothing_changes_nothing_but_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
