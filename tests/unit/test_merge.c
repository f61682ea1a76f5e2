#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "store/merge.h"

static bool is_same(const struct merge_position *a, const struct merge_position *b)
{
	return a->exists == b->exists && a->state == b->state && a->attempt == b->attempt &&
	       a->rank == b->rank && a->seq == b->seq;
}

static struct store_event event_of(enum store_event_kind kind, uint32_t attempt, uint64_t seq)
{
	return (struct store_event){.kind = kind, .attempt = attempt, .seq = seq};
}

static struct merge_position position_of(const struct store_event *events, size_t len)
{
	struct merge_position at = {0};

	for (size_t i = 0; i < len; i++)
		merge_event(&at, &events[i], &at);
	return at;
}

static void swap(struct store_event *a, struct store_event *b)
{
	struct store_event kept = *a;

	*a = *b;
	*b = kept;
}

/* Heap's algorithm; calls `check` with each order. */
static void permute(struct store_event *events, size_t n, size_t len,
	void (*check)(const struct store_event *events, size_t len, const struct merge_position *want),
	const struct merge_position *want)
{
	if (n <= 1) {
		check(events, len, want);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		permute(events, n - 1, len, check, want);
		swap(&events[n % 2 ? 0 : i], &events[n - 1]);
	}
}

static void expect_same(const struct store_event *events, size_t len, const struct merge_position *want)
{
	struct merge_position at = position_of(events, len);

	assert_true(is_same(&at, want));
}

static void expect_same_end(const struct store_event *events, size_t len, const struct merge_position *want)
{
	assert_int_equal(position_of(events, len).state, want->state);
}

static void every_order_of_running_events_leads_to_the_same_place(void **state)
{
	struct store_event events[] = {
		event_of(STORE_EVENT_STARTED, 1, 1),
		event_of(STORE_EVENT_PROGRESS, 1, 2),
		event_of(STORE_EVENT_PROGRESS, 1, 3),
		event_of(STORE_EVENT_RETRY, 1, 4),
		event_of(STORE_EVENT_STARTED, 2, 1),
		event_of(STORE_EVENT_PROGRESS, 2, 2),
	};
	const struct merge_position want = {
		.state = TASK_RUNNING, .attempt = 2, .rank = 2, .seq = 2, .exists = true};

	permute(events, 6, 6, expect_same, &want);
}

static void every_order_with_one_end_leads_to_that_end(void **state)
{
	for (int kind = STORE_EVENT_SUCCEEDED; kind <= STORE_EVENT_DEAD; kind++) {
		for (uint32_t attempt = kind == STORE_EVENT_DEAD ? 3 : 1; attempt <= 3; attempt++) {
			struct store_event events[] = {
				event_of((enum store_event_kind)kind, attempt, 9),
				event_of(STORE_EVENT_STARTED, 1, 1),
				event_of(STORE_EVENT_PROGRESS, 1, 2),
				event_of(STORE_EVENT_RETRY, 1, 3),
				event_of(STORE_EVENT_STARTED, 2, 1),
				event_of(STORE_EVENT_RETRY, 2, 2),
			};
			struct merge_position want = position_of(events, 6);

			assert_true(task_state_is_terminal(want.state));
			permute(events, 6, 6, expect_same_end, &want);
		}
	}
}

static void a_dead_letter_ends_a_task_whose_attempt_it_was(void **state)
{
	static const enum store_event_kind before[] = {STORE_EVENT_STARTED, STORE_EVENT_PROGRESS};
	struct store_event dead = event_of(STORE_EVENT_DEAD, 2, 0);
	struct merge_position queued = {.state = TASK_QUEUED, .attempt = 2, .exists = true};

	assert_true(merge_event(&queued, &dead, &queued));
	for (size_t i = 0; i < 2; i++) {
		for (uint32_t attempt = 1; attempt <= 2; attempt++) {
			struct store_event e = event_of(before[i], attempt, 1);
			struct merge_position at = {0};

			assert_true(merge_event(&at, &e, &at));
			assert_true(merge_event(&at, &dead, &at));
			assert_int_equal(at.state, TASK_DEAD);
		}
	}
}

/* It asked for the next attempt before, whose message or row is there. */
static void the_dead_letter_of_an_attempt_that_is_over_ends_nothing(void **state)
{
	struct store_event retry = event_of(STORE_EVENT_RETRY, 2, 1);
	struct merge_position scheduled = {0}, queued = {.state = TASK_QUEUED, .attempt = 3, .exists = true};

	assert_true(merge_event(&scheduled, &retry, &scheduled));
	for (uint32_t attempt = 1; attempt <= 2; attempt++) {
		struct store_event dead = event_of(STORE_EVENT_DEAD, attempt, 9);
		struct merge_position kept = scheduled;

		assert_false(merge_event(&scheduled, &dead, &scheduled));
		assert_true(is_same(&scheduled, &kept));
		assert_false(merge_event(&queued, &dead, &queued));
	}
	retry = event_of(STORE_EVENT_DEAD, 3, 1);
	assert_true(merge_event(&scheduled, &retry, &scheduled));
	assert_true(merge_event(&queued, &retry, &queued));
}

/* A result is one, whichever copy of the request it came from. */
static void another_end_of_an_attempt_that_is_over_counts(void **state)
{
	for (int kind = STORE_EVENT_SUCCEEDED; kind <= STORE_EVENT_CANCELED; kind++) {
		struct store_event retry = event_of(STORE_EVENT_RETRY, 2, 1);
		struct store_event end = event_of((enum store_event_kind)kind, 1, 1);
		struct merge_position at = {0};

		assert_true(merge_event(&at, &retry, &at));
		assert_true(merge_event(&at, &end, &at));
		assert_true(task_state_is_terminal(at.state));
	}
}

static void the_first_end_stays(void **state)
{
	for (int first = STORE_EVENT_SUCCEEDED; first <= STORE_EVENT_DEAD; first++) {
		for (int second = 0; second <= STORE_EVENT_DEAD; second++) {
			struct store_event a = event_of((enum store_event_kind)first, 1, 1);
			struct store_event b = event_of((enum store_event_kind)second, 2, 9);
			struct merge_position at = {0}, kept;

			assert_true(merge_event(&at, &a, &at));
			kept = at;
			assert_false(merge_event(&at, &b, &at));
			assert_true(is_same(&at, &kept));
		}
	}
}

static void a_repeated_event_changes_nothing(void **state)
{
	for (int kind = 0; kind <= STORE_EVENT_DEAD; kind++) {
		struct store_event e = event_of((enum store_event_kind)kind, 1, 1);
		struct merge_position at = {0};

		assert_true(merge_event(&at, &e, &at));
		assert_false(merge_event(&at, &e, &at));
	}
}

static void the_attempt_never_goes_back(void **state)
{
	struct store_event late = event_of(STORE_EVENT_SUCCEEDED, 1, 1);
	struct store_event retry = event_of(STORE_EVENT_RETRY, 3, 1);
	struct merge_position at = {0};

	assert_true(merge_event(&at, &retry, &at));
	assert_true(merge_event(&at, &late, &at));
	assert_int_equal(at.attempt, 3);
	assert_int_equal(at.state, TASK_SUCCEEDED);
}

/* Whatever comes in whatever order: a position only ever rises, and an end is never left. */
static void random_events_only_ever_rise(void **state)
{
	for (int round = 0; round < 20000; round++) {
		struct merge_position at = {0};

		for (int i = 0; i < 12; i++) {
			struct store_event e = event_of((enum store_event_kind)(random_u32() % 7),
				1 + random_u32() % 3, random_u32() % 4);
			struct merge_position before = at;
			bool counts = merge_event(&at, &e, &at);

			if (!counts)
				assert_true(is_same(&at, &before));
			else if (before.exists)
				assert_false(task_state_is_terminal(before.state));
			assert_true(at.attempt >= before.attempt);
			if (counts && at.attempt == before.attempt && before.exists)
				assert_true(at.rank > before.rank ||
					    (at.rank == before.rank && at.seq > before.seq) ||
					    task_state_is_terminal(at.state));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order_of_running_events_leads_to_the_same_place),
		cmocka_unit_test(every_order_with_one_end_leads_to_that_end),
		cmocka_unit_test(a_dead_letter_ends_a_task_whose_attempt_it_was),
		cmocka_unit_test(the_dead_letter_of_an_attempt_that_is_over_ends_nothing),
		cmocka_unit_test(another_end_of_an_attempt_that_is_over_counts),
		cmocka_unit_test(the_first_end_stays),
		cmocka_unit_test(a_repeated_event_changes_nothing),
		cmocka_unit_test(the_attempt_never_goes_back),
		cmocka_unit_test(random_events_only_ever_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
