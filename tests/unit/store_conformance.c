/*
 * What every store promises, by store.h alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/context.h"
#include "tests/unit/store_conformance.h"
#include "tests/unit/store_fixture.h"

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

/* Shorthand for the tests below: the task as it is now, with everything. */
static const struct store_task *task_now(struct fixture *f, const struct id *id)
{
	const struct store_task *t;

	assert_int_equal(get_task(f, id, STORE_WITH_RESULT | STORE_WITH_REQUEST, &t), 0);
	return t;
}

static struct store_applied apply(struct fixture *f, const struct store_event *e)
{
	struct store_applied a;

	assert_int_equal(apply_one(f, e, &a), 0);
	assert_int_equal(a.rc, 0);
	return a;
}

static struct store_applied apply_kind(
	struct fixture *f, enum store_event_kind kind, const struct id *id, uint32_t attempt, int64_t at_ms)
{
	struct store_event e = event_of(kind, id, attempt, at_ms);

	return apply(f, &e);
}

static size_t claim(
	struct fixture *f, uint64_t owner, const char *channels, int64_t now_ms, const struct store_due **due)
{
	size_t len;

	assert_int_equal(claim_due(f, owner, channels, now_ms, 30000, STORE_DUE_MAX, due, &len, NULL), 0);
	return len;
}

static int64_t next_due(struct fixture *f, int64_t now_ms)
{
	const struct store_due *due;
	size_t len;
	int64_t next_ms;

	assert_int_equal(claim_due(f, 99, NULL, now_ms, 30000, 0, &due, &len, &next_ms), 0);
	assert_int_equal(len, 0);
	return next_ms;
}

static void end_one(struct fixture *f, uint64_t owner, const struct id *row, enum store_due_end how,
	int64_t at_ms, int64_t again_at_ms)
{
	const struct store_due_result r = {
		.row = *row, .how = how, .at_ms = at_ms, .again_at_ms = again_at_ms};

	assert_int_equal(end_due(f, owner, &r, 1), 0);
}

static struct store_sweep sweep(struct fixture *f, int64_t now_ms)
{
	struct store_sweep swept, sum = {0};

	do {
		assert_int_equal(sweep_store(f, now_ms, 100, &swept), 0);
		sum.expired += swept.expired;
		sum.forgotten += swept.forgotten;
		sum.died += swept.died;
	} while (swept.has_more);
	return sum;
}

/* ---- results and requests ---- */

static void an_empty_result_is_not_a_missing_one(void **state)
{
	struct fixture *f = *state;
	struct id with = new_id(f, T0), without = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &with, 1, T0);

	e.result = slice_text("");
	e.content_type = slice_text("text/plain");
	apply(f, &e);
	apply_kind(f, STORE_EVENT_SUCCEEDED, &without, 1, T0);
	assert_true(slice_is_set(task_now(f, &with)->result));
	assert_true(slice_is_set(task_now(f, &with)->content_type));
	assert_int_equal(task_now(f, &with)->result.len, 0);
	assert_false(slice_is_set(task_now(f, &without)->result));
	assert_false(slice_is_set(task_now(f, &without)->content_type));
}

static void a_result_that_is_not_json_comes_only_when_asked_for(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_task *t;

	e.result = slice_of("\xff\x00\xd8", 3);
	e.content_type = slice_text("image/jpeg");
	apply(f, &e);
	assert_int_equal(get_task(f, &id, STORE_WITH_JSON, &t), 0);
	assert_false(slice_is_set(t->result));
	assert_int_equal(t->result_len, 3);
	assert_int_equal(get_task(f, &id, STORE_WITH_RESULT, &t), 0);
	assert_true(slice_is_equal(t->result, e.result));
}

static void a_large_result_and_a_large_request_come_back_whole(void **state)
{
	struct fixture *f = *state;
	struct id ok = new_id(f, T0), failed = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &ok, 1, T0);
	size_t len = 15 << 20;
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	e.result = slice_of(bytes, len);
	apply(f, &e);
	e = event_of(STORE_EVENT_FAILED, &failed, 1, T0);
	e.request = slice_of(bytes, len);
	apply(f, &e);
	assert_true(slice_is_equal(task_now(f, &ok)->result, slice_of(bytes, len)));
	assert_true(slice_is_equal(task_now(f, &failed)->request, slice_of(bytes, len)));
	free(bytes);
}

static void the_request_is_kept_as_long_as_it_may_run_again(void **state)
{
	struct fixture *f = *state;

	for (int kind = STORE_EVENT_RETRY; kind <= STORE_EVENT_DEAD; kind++) {
		bool is_kept = kind != STORE_EVENT_SUCCEEDED && kind != STORE_EVENT_CANCELED;
		struct id id = new_id(f, T0);
		struct store_event e = event_of(STORE_EVENT_RETRY, &id, 1, T0);

		apply(f, &e);
		e = event_of((enum store_event_kind)kind, &id, 2, T0 + 10);
		e.request = slice_text("as it ran last");
		apply(f, &e);
		if (is_kept)
			assert_true(slice_is_text(task_now(f, &id)->request, "as it ran last"));
		else
			assert_false(slice_is_set(task_now(f, &id)->request));
	}
}

static void an_error_comes_back_with_all_its_parts(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_FAILED, &id, 2, T0);
	const struct store_task *t;

	e.error = (struct store_error){.type = slice_text("handler"),
		.message = slice_text("no"),
		.retryable = true,
		.status = 422,
		.data = slice_text("{\"detail\":[1.10]}")};
	apply(f, &e);
	t = task_now(f, &id);
	assert_true(slice_is_text(t->error.type, "handler"));
	assert_true(slice_is_text(t->error.message, "no"));
	assert_true(slice_is_text(t->error.data, "{\"detail\":[1.10]}"));
	assert_true(t->error.retryable);
	assert_int_equal(t->error.status, 422);
	assert_int_equal(t->attempt, 2);
}

/* ---- the merge ---- */

static void the_next_attempt_begins_without_the_progress_of_the_last(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_PROGRESS, &id, 1, T0);

	e.progress = slice_text("{\"percent\":50}");
	apply(f, &e);
	assert_true(slice_is_text(task_now(f, &id)->progress, "{\"percent\":50}"));
	e = event_of(STORE_EVENT_RETRY, &id, 1, T0 + 10);
	e.error.type = slice_text("timeout");
	assert_int_equal(apply(f, &e).state, TASK_SCHEDULED);
	assert_true(slice_is_set(task_now(f, &id)->progress));
	assert_true(slice_is_text(task_now(f, &id)->error.type, "timeout"));
	assert_int_equal(apply_kind(f, STORE_EVENT_STARTED, &id, 2, T0 + 20).rev, 3);
	assert_false(slice_is_set(task_now(f, &id)->progress));
	assert_false(slice_is_set(task_now(f, &id)->error.type));
	assert_int_equal(task_now(f, &id)->started_at_ms, T0 + 20 - 100);
}

static void what_is_stale_or_repeated_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_FAILED, &id, 2, T0);
	struct store_applied a;

	e.request = slice_text("kept");
	assert_int_equal(apply(f, &e).rev, 1);
	for (int kind = 0; kind <= STORE_EVENT_DEAD; kind++) {
		a = apply_kind(f, (enum store_event_kind)kind, &id, 3, T0 + 1);
		assert_false(a.has_changed);
		assert_false(a.has_due);
		assert_int_equal(a.rev, 1);
		assert_int_equal(a.state, TASK_FAILED);
	}
	assert_true(slice_is_text(task_now(f, &id)->request, "kept"));
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

static void swap(struct store_event *a, struct store_event *b)
{
	struct store_event kept = *a;

	*a = *b;
	*b = kept;
}

static void apply_all_orders(struct fixture *f, struct store_event *e, size_t n, size_t len, unsigned *orders)
{
	if (n > 1) {
		for (size_t i = 0; i < n; i++) {
			apply_all_orders(f, e, n - 1, len, orders);
			swap(&e[n % 2 ? 0 : i], &e[n - 1]);
		}
		return;
	}
	struct id id = new_id(f, T0);

	for (size_t i = 0; i < len; i++)
		e[i].id = id;
	if (++*orders % 2)
		assert_int_equal(apply_all(f, e, len, NULL), 0);
	else
		for (size_t i = 0; i < len; i++)
			apply(f, &e[i]);
	assert_int_equal(task_now(f, &id)->state, TASK_SUCCEEDED);
	assert_true(slice_is_text(task_now(f, &id)->result, "42"));
	assert_int_equal(task_now(f, &id)->deliveries_pending, 1);
	assert_false(slice_is_set(task_now(f, &id)->request));
}

static void every_order_of_events_ends_in_the_same_outcome(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e[] = {
		event_of(STORE_EVENT_STARTED, &id, 1, T0),
		event_of(STORE_EVENT_RETRY, &id, 1, T0),
		event_of(STORE_EVENT_PROGRESS, &id, 2, T0),
		event_of(STORE_EVENT_SUCCEEDED, &id, 2, T0),
		event_of(STORE_EVENT_STARTED, &id, 2, T0),
	};
	const struct store_due *due;
	unsigned orders = 0;

	for (size_t i = 0; i < 5; i++)
		e[i].deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://x\"}}]");
	e[3].result = slice_text("42");
	apply_all_orders(f, e, 5, 5, &orders);
	assert_int_equal(orders, 120);
	assert_int_equal(claim(f, 1, "task", T0 + DAY_MS, &due), 0);
	assert_int_equal(claim(f, 1, "webhook", T0 + DAY_MS, &due), 120);
}

static void an_event_that_cannot_be_stored_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct store_event e[4];
	struct store_applied a[4];
	struct id ids[4];

	for (size_t i = 0; i < 4; i++) {
		ids[i] = new_id(f, T0);
		e[i] = event_of(STORE_EVENT_SUCCEEDED, &ids[i], 1, T0);
		e[i].result = slice_text("1");
	}
	e[1].deliver = slice_text("[{\"channel\":\"webhook\"}]");
	e[2].tenant = slice_of(NULL, 0);
	assert_int_equal(apply_all(f, e, 4, a), 0);
	assert_int_equal(a[0].rc, 0);
	assert_int_equal(a[1].rc, -EBADMSG);
	assert_int_equal(a[2].rc, -EBADMSG);
	assert_int_equal(a[3].rc, 0);
	assert_int_equal(task_now(f, &ids[0])->presence, STORE_PRESENT);
	assert_int_equal(task_now(f, &ids[1])->presence, STORE_ABSENT);
	assert_int_equal(task_now(f, &ids[2])->presence, STORE_ABSENT);
	assert_int_equal(task_now(f, &ids[3])->presence, STORE_PRESENT);
}

static void a_call_that_cannot_be_done_takes_no_other_along(void **state)
{
	struct fixture *f = *state;
	struct id good = new_id(f, T0), bad = new_id(f, T0);
	struct store_later later[] = {later_of(&good, T0, T0), later_of(&bad, T0, T0)};
	struct store_later alone = later[0];

	later[1].tenant = slice_of(NULL, 0);
	assert_int_equal(insert_later(f, later, 2), -EIO);
	assert_int_equal(task_now(f, &good)->presence, STORE_ABSENT);
	assert_true(store_is_up(f->store));
	assert_int_equal(insert_later(f, &alone, 1), 0);
}

static void many_tasks_are_read_in_the_order_asked_for(void **state)
{
	struct fixture *f = *state;
	struct store_event e[STORE_EVENTS_MAX];
	struct id ids[STORE_READ_MAX];
	const struct store_task *t;

	for (size_t i = 0; i < STORE_READ_MAX; i++) {
		ids[i] = new_id(f, T0);
		e[i] = event_of(i % 2 ? STORE_EVENT_FAILED : STORE_EVENT_STARTED, &ids[i], 1, T0);
	}
	swap(&e[3], &e[200]);
	assert_int_equal(apply_all(f, e, STORE_EVENTS_MAX, NULL), 0);
	ids[7] = new_id(f, T0);
	assert_int_equal(get_tasks(f, ids, STORE_READ_MAX, 0, &t), 0);
	for (size_t i = 0; i < STORE_READ_MAX; i++) {
		assert_true(id_is_equal(&t[i].id, &ids[i]));
		assert_int_equal(t[i].presence, i == 7 ? STORE_ABSENT : STORE_PRESENT);
		if (i != 7)
			assert_int_equal(t[i].state, i % 2 ? TASK_FAILED : TASK_RUNNING);
	}
}

/* ---- retries and publishing ---- */

static void a_retry_is_due_at_its_time_and_queued_once_published(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_due *due;

	assert_true(apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0).has_due);
	assert_int_equal(task_now(f, &id)->due_at_ms, T0 + 1000);
	assert_int_equal(next_due(f, T0), T0 + 1000);
	assert_int_equal(claim(f, 1, "task", T0 + 999, &due), 0);
	assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
	assert_true(id_is_equal(&due->task_id, &id));
	assert_true(slice_is_text(due->channel, "task"));
	assert_int_equal(due->attempt, 2);
	assert_int_equal(due->due_at_ms, T0 + 1000);
	assert_false(slice_is_set(due->target));
	assert_true(slice_is_text(due->task.request, "the request"));
	assert_int_equal(due->task.state, TASK_SCHEDULED);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 1001, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_QUEUED);
	assert_int_equal(task_now(f, &id)->attempt, 2);
	assert_int_equal(task_now(f, &id)->rev, 2);
	assert_int_equal(next_due(f, T0), INT64_MAX);
	assert_true(apply_kind(f, STORE_EVENT_STARTED, &id, 2, T0 + 1002).has_changed);
	assert_true(apply_kind(f, STORE_EVENT_RETRY, &id, 2, T0 + 1003).has_due);
	assert_int_equal(claim(f, 1, "task", T0 + 9000, &due), 1);
	assert_int_equal(due->attempt, 3);
}

static void a_reply_that_comes_before_the_publish_has_ended_stays(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum store_event_kind kind;
		enum task_state state;
	} cases[] = {
		{STORE_EVENT_STARTED, TASK_RUNNING},
		{STORE_EVENT_SUCCEEDED, TASK_SUCCEEDED},
		{STORE_EVENT_RETRY, TASK_SCHEDULED},
		{STORE_EVENT_DEAD, TASK_DEAD},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct id id = new_id(f, T0);
		const struct store_due *due;

		apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0);
		assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
		apply_kind(f, cases[i].kind, &id, 2, T0 + 1001);
		end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 1002, 0);
		assert_int_equal(task_now(f, &id)->state, cases[i].state);
		if (cases[i].kind == STORE_EVENT_RETRY) {
			assert_int_equal(claim(f, 1, "task", T0 + DAY_MS, &due), 1);
			assert_int_equal(due->attempt, 3);
			end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + DAY_MS, 0);
		}
		assert_int_equal(claim(f, 1, "task", T0 + DAY_MS, &due), 0);
	}
}

static void a_publish_can_be_put_off_and_given_up(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_due *due;
	struct store_due_result r = {
		.how = STORE_DUE_DEAD, .at_ms = T0 + 7000, .error = slice_text("no queue")};

	apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0);
	assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_AGAIN, T0 + 1001, T0 + 5000);
	assert_int_equal(next_due(f, T0), T0 + 5000);
	assert_int_equal(claim(f, 1, "task", T0 + 4999, &due), 0);
	assert_int_equal(claim(f, 1, "task", T0 + 5000, &due), 1);
	assert_int_equal(due->due_at_ms, T0 + 1000);
	r.row = due->row;
	assert_int_equal(end_due(f, 1, &r, 1), 0);
	assert_int_equal(task_now(f, &id)->state, TASK_DEAD);
	assert_true(slice_is_text(task_now(f, &id)->error.message, "no queue"));
	assert_true(slice_is_text(task_now(f, &id)->request, "the request"));
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

static void a_row_of_a_crashed_owner_is_claimed_again_after_the_lease(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_due *due;
	struct id row;

	apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0);
	assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
	row = due->row;
	assert_int_equal(claim(f, 2, "task", T0 + 30999, &due), 0);
	assert_int_equal(next_due(f, T0 + 1000), T0 + 31000);
	assert_int_equal(claim(f, 2, "task", T0 + 31000, &due), 1);
	assert_true(id_is_equal(&due->row, &row));
	end_one(f, 1, &row, STORE_DUE_DEAD, T0 + 31001, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_SCHEDULED);
	end_one(f, 2, &row, STORE_DUE_DONE, T0 + 31001, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_QUEUED);
	end_one(f, 2, &row, STORE_DUE_DEAD, T0 + 31002, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_QUEUED);
}

static void an_owner_that_is_late_but_alone_still_counts(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	const struct store_due *due;

	apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0);
	assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + DAY_MS, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_QUEUED);
}

static void another_retry_of_the_same_attempt_leaves_a_claimed_row_alone(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event again = event_of(STORE_EVENT_RETRY, &id, 1, T0 + 1001);
	const struct store_due *due;

	apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0);
	assert_int_equal(claim(f, 1, "task", T0 + 1000, &due), 1);
	again.seq = 7;
	apply(f, &again);
	assert_int_equal(claim(f, 2, "task", T0 + 5000, &due), 0);
}

static void rows_come_oldest_first_and_no_more_than_asked_for(void **state)
{
	struct fixture *f = *state;
	const struct store_due *due;
	int64_t next_ms;
	size_t len;

	for (int i = 9; i >= 0; i--) {
		struct id id = new_id(f, T0);

		apply_kind(f, STORE_EVENT_RETRY, &id, 1, T0 + i * 10);
	}
	assert_int_equal(claim_due(f, 1, NULL, T0 + 2000, 30000, 4, &due, &len, &next_ms), 0);
	assert_int_equal(len, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(due[i].due_at_ms, T0 + 1000 + i * 10);
	assert_int_equal(next_ms, T0 + 1040);
	assert_int_equal(claim_due(f, 2, NULL, T0 + 2000, 30000, 100, &due, &len, &next_ms), 0);
	assert_int_equal(len, 6);
	assert_int_equal(next_ms, T0 + 32000);
}

/* ---- tasks that run later ---- */

static struct id insert_delayed(struct fixture *f, int64_t at_ms, int64_t due_ms)
{
	struct id id = new_id(f, at_ms);
	struct store_later later = later_of(&id, at_ms, due_ms);

	assert_int_equal(insert_later(f, &later, 1), 0);
	return id;
}

static struct store_later after(struct fixture *f, const struct id *previous, enum store_wait waits)
{
	struct id id = new_id(f, T0);
	struct store_later later = later_of(&id, T0, 0);

	later.waits = waits;
	later.waits_for = *previous;
	later.wants_previous = waits == STORE_WAITS_BATCH;
	return later;
}

static struct id insert_after(struct fixture *f, const struct id *previous, bool wants_previous)
{
	struct store_later later = after(f, previous, STORE_WAITS_TASK);

	later.wants_previous = wants_previous;
	assert_int_equal(insert_later(f, &later, 1), 0);
	return later.id;
}

static void a_delayed_task_is_due_at_its_time(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0 + HOUR_MS);
	const struct store_due *due;

	assert_int_equal(task_now(f, &id)->state, TASK_SCHEDULED);
	assert_int_equal(task_now(f, &id)->due_at_ms, T0 + HOUR_MS);
	assert_int_equal(task_now(f, &id)->created_at_ms, T0);
	assert_int_equal(task_now(f, &id)->rev, 1);
	assert_int_equal(claim(f, 1, NULL, T0 + HOUR_MS - 1, &due), 0);
	assert_int_equal(claim(f, 1, NULL, T0 + HOUR_MS, &due), 1);
	assert_int_equal(due->attempt, 1);
	assert_false(due->wants_previous);
	assert_true(slice_is_text(due->task.request, "the request"));
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + HOUR_MS, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_QUEUED);
	assert_true(apply_kind(f, STORE_EVENT_STARTED, &id, 1, T0 + HOUR_MS).has_changed);
}

static void inserting_twice_inserts_once(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0 + 1000);
	struct store_later again = later_of(&id, T0, T0 + 5000);

	again.request = slice_text("another");
	assert_int_equal(insert_later(f, &again, 1), 0);
	assert_int_equal(task_now(f, &id)->due_at_ms, T0 + 1000);
	assert_true(slice_is_text(task_now(f, &id)->request, "the request"));
	assert_int_equal(next_due(f, T0), T0 + 1000);
}

static void inserting_twice_what_has_ended_meanwhile_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct id bad = new_id(f, T0);
	struct store_later later = after(f, &bad, STORE_WAITS_TASK);

	assert_int_equal(insert_later(f, &later, 1), 0);
	apply_kind(f, STORE_EVENT_FAILED, &bad, 1, T0);
	assert_int_equal(task_now(f, &later.id)->state, TASK_CANCELED);
	assert_int_equal(insert_later(f, &later, 1), 0);
	assert_int_equal(task_now(f, &later.id)->state, TASK_CANCELED);
}

static void what_is_undone_was_never_there_but_what_ran_stays(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct id gone = insert_after(f, &first, false), ran = insert_delayed(f, T0, T0);
	struct id ids[] = {gone, ran};
	const struct store_due *due;

	assert_int_equal(claim(f, 1, NULL, T0, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0, 0);
	assert_int_equal(undo_later(f, ids, 2), 0);
	assert_int_equal(task_now(f, &gone)->presence, STORE_ABSENT);
	assert_int_equal(task_now(f, &ran)->state, TASK_QUEUED);
	apply_kind(f, STORE_EVENT_SUCCEEDED, &first, 1, T0);
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

static void undoing_what_was_released_meanwhile_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct id next = insert_after(f, &first, false);

	apply_kind(f, STORE_EVENT_SUCCEEDED, &first, 1, T0);
	assert_int_equal(undo_later(f, &next, 1), 0);
	assert_int_equal(task_now(f, &next)->state, TASK_SCHEDULED);
	assert_int_equal(next_due(f, T0), T0);
}

static void the_next_step_runs_after_success_with_what_came_before(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct id next = insert_after(f, &first, true);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &first, 1, T0 + 50);
	const struct store_due *due;

	assert_int_equal(task_now(f, &next)->due_at_ms, 0);
	assert_true(id_is_equal(&task_now(f, &next)->waits_for, &first));
	assert_int_equal(next_due(f, T0), INT64_MAX);
	e.result = slice_text("[1.10]");
	e.result_is_json = true;
	e.has_next = true;
	assert_true(apply(f, &e).has_due);
	assert_int_equal(task_now(f, &next)->due_at_ms, T0 + 50);
	assert_int_equal(claim(f, 1, "task", T0 + 50, &due), 1);
	assert_true(id_is_equal(&due->task_id, &next));
	assert_true(due->wants_previous);
	assert_int_equal(due->previous.presence, STORE_PRESENT);
	assert_true(id_is_equal(&due->previous.id, &first));
	assert_true(slice_is_text(due->previous.result, "[1.10]"));
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 51, 0);
	/* The request that comes back with a retry has it in it already. */
	apply_kind(f, STORE_EVENT_RETRY, &next, 1, T0 + 60);
	assert_int_equal(claim(f, 1, "task", T0 + 9000, &due), 1);
	assert_false(due->wants_previous);
}

static void all_further_steps_are_canceled_when_one_fails(void **state)
{
	struct fixture *f = *state;
	enum { STEPS = 300 };
	static const enum store_event_kind ends[] = {
		STORE_EVENT_FAILED, STORE_EVENT_CANCELED, STORE_EVENT_DEAD};

	for (size_t i = 0; i < 3; i++) {
		struct store_later steps[STEPS];
		struct id first = new_id(f, T0), last = first;

		for (size_t j = 0; j < STEPS; j++) {
			steps[j] = after(f, &last, STORE_WAITS_TASK);
			last = steps[j].id;
		}
		assert_int_equal(insert_later(f, steps, STEPS), 0);
		apply_kind(f, ends[i], &first, 1, T0 + 50);
		for (size_t j = 0; j < STEPS; j += 23) {
			const struct store_task *t = task_now(f, &steps[j].id);

			assert_int_equal(t->state, TASK_CANCELED);
			assert_int_equal(t->finished_at_ms, T0 + 50);
			assert_true(slice_is_text(t->error.type, "previous_failed"));
			assert_int_equal(t->rev, 2);
			assert_false(slice_is_set(t->request));
		}
		assert_int_equal(task_now(f, &last)->state, TASK_CANCELED);
	}
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

static void what_waits_for_something_ended_is_decided_at_once(void **state)
{
	struct fixture *f = *state;
	struct id good = new_id(f, T0), bad = new_id(f, T0), runs;
	struct id after_good, after_bad;

	apply_kind(f, STORE_EVENT_SUCCEEDED, &good, 1, T0);
	apply_kind(f, STORE_EVENT_FAILED, &bad, 1, T0);
	after_good = insert_after(f, &good, false);
	after_bad = insert_after(f, &bad, false);
	assert_int_equal(task_now(f, &after_good)->due_at_ms, T0);
	assert_int_equal(next_due(f, T0), T0);
	assert_int_equal(task_now(f, &after_bad)->state, TASK_CANCELED);
	runs = new_id(f, T0);
	apply_kind(f, STORE_EVENT_STARTED, &runs, 1, T0);
	assert_int_equal(task_now(f, &runs)->state, TASK_RUNNING);
}

static struct store_later needing(struct fixture *f, const struct id *previous, enum store_wait waits)
{
	struct store_later later = after(f, previous, waits);

	later.wants_previous = true;
	later.needs_awaited = true;
	return later;
}

static void what_needs_something_that_is_known_runs_with_it(void **state)
{
	struct fixture *f = *state;
	struct id good = new_id(f, T0), batch = id_mint(&f->minter, ID_BATCH, TENANT, (uint64_t)T0);
	struct store_later later[] = {
		needing(f, &good, STORE_WAITS_TASK), needing(f, &batch, STORE_WAITS_BATCH)};
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &good, 1, T0);
	const struct store_due *due;

	e.result = slice_text("1");
	e.batch = batch;
	assert_int_equal(insert_batch(f, &batch, T0), 0);
	apply(f, &e);
	assert_int_equal(seal_batch(f, &batch, &good, 1, T0), 0);
	assert_int_equal(insert_later(f, later, 2), 0);
	assert_int_equal(claim(f, 1, "task", T0, &due), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(due[i].wants_previous);
		if (id_is_equal(&due[i].task_id, &later[0].id))
			assert_true(slice_is_text(due[i].previous.result, "1"));
		else
			assert_int_equal(due[i].previous_counts[TASK_SUCCEEDED], 1);
	}
}

static void what_needs_something_that_is_gone_is_not_inserted(void **state)
{
	struct fixture *f = *state;
	struct id there = new_id(f, T0), buried = new_id(f, T0), unknown = new_id(f, T0);
	struct store_later later[2];

	apply_kind(f, STORE_EVENT_SUCCEEDED, &buried, 1, T0);
	sweep(f, T0 + DAY_MS);
	apply_kind(f, STORE_EVENT_SUCCEEDED, &there, 1, T0);
	for (int i = 0; i < 3; i++) {
		later[0] = needing(f, &there, STORE_WAITS_TASK);
		later[1] = needing(
			f, i == 0 ? &buried : &unknown, i == 2 ? STORE_WAITS_BATCH : STORE_WAITS_TASK);
		assert_int_equal(insert_later(f, later, 2), -ENOENT);
		assert_int_equal(task_now(f, &later[0].id)->presence, STORE_ABSENT);
		assert_int_equal(task_now(f, &later[1].id)->presence, STORE_ABSENT);
	}
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

/* ---- canceling ---- */

static void a_scheduled_task_is_canceled_with_what_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0 + HOUR_MS);
	struct id next = insert_after(f, &id, false), last = insert_after(f, &next, false);
	const struct store_due *due;
	enum store_cancel what;

	assert_int_equal(cancel_task(f, &id, T0 + 5, &what), 0);
	assert_int_equal(what, STORE_CANCEL_DONE);
	assert_int_equal(task_now(f, &id)->state, TASK_CANCELED);
	assert_int_equal(task_now(f, &next)->state, TASK_CANCELED);
	assert_int_equal(task_now(f, &last)->state, TASK_CANCELED);
	assert_int_equal(claim(f, 1, NULL, T0 + DAY_MS, &due), 0);
	assert_int_equal(cancel_task(f, &id, T0 + 6, &what), 0);
	assert_int_equal(what, STORE_CANCEL_TOO_LATE);
}

static void what_is_queued_or_runs_is_not_the_stores_to_cancel(void **state)
{
	struct fixture *f = *state;
	struct id unknown = new_id(f, T0), runs = new_id(f, T0), done = new_id(f, T0);
	enum store_cancel what;

	apply_kind(f, STORE_EVENT_STARTED, &runs, 1, T0);
	apply_kind(f, STORE_EVENT_SUCCEEDED, &done, 1, T0);
	assert_int_equal(cancel_task(f, &unknown, T0, &what), 0);
	assert_int_equal(what, STORE_CANCEL_NOT_HERE);
	assert_int_equal(cancel_task(f, &runs, T0, &what), 0);
	assert_int_equal(what, STORE_CANCEL_NOT_HERE);
	assert_int_equal(cancel_task(f, &done, T0, &what), 0);
	assert_int_equal(what, STORE_CANCEL_TOO_LATE);
}

static void what_is_being_published_is_not_canceled_behind_its_back(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0);
	const struct store_due *due;
	enum store_cancel what;

	assert_int_equal(claim(f, 1, NULL, T0, &due), 1);
	assert_int_equal(cancel_task(f, &id, T0 + 1, &what), 0);
	assert_int_equal(what, STORE_CANCEL_NOT_HERE);
	assert_int_equal(cancel_task(f, &id, T0 + 30001, &what), 0);
	assert_int_equal(what, STORE_CANCEL_DONE);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 30002, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_CANCELED);
}

/* ---- deliveries ---- */

#define DELIVER                                                                                \
	"[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"}},"                       \
	"{\"channel\":\"email\",\"target\":{\"to\":\"a@b\"},\"on\":[\"failed\",\"dead\"]},"    \
	"{\"channel\":\"webhook\",\"target\":{\"url\":\"http://b/\"},\"on\":[\"succeeded\"]}," \
	"{\"channel\":\"sms\",\"target\":{\"to\":\"+1\"},\"on\":[]}]"

static void deliveries_are_made_for_the_outcomes_that_they_name(void **state)
{
	struct fixture *f = *state;
	struct id good = new_id(f, T0), bad = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &good, 1, T0);
	const struct store_due *due;

	e.deliver = slice_text(DELIVER);
	e.result = slice_text("{\"x\":1}");
	e.result_is_json = true;
	assert_true(apply(f, &e).has_due);
	assert_int_equal(task_now(f, &good)->deliveries_pending, 2);
	assert_int_equal(claim(f, 1, "email,sms", T0, &due), 0);
	assert_int_equal(claim(f, 1, "email,webhook", T0, &due), 2);
	assert_true(slice_is_text(due[0].target, "{\"url\":\"http://a/\"}"));
	assert_true(slice_is_text(due[1].target, "{\"url\":\"http://b/\"}"));
	assert_true(slice_is_text(due[0].task.result, "{\"x\":1}"));
	assert_int_equal(due[0].attempt, 0);
	e = event_of(STORE_EVENT_FAILED, &bad, 1, T0);
	e.deliver = slice_text(DELIVER);
	apply(f, &e);
	assert_int_equal(claim(f, 1, NULL, T0, &due), 2);
	assert_true(slice_is_text(due[0].channel, "email"));
	assert_true(slice_is_text(due[1].channel, "webhook"));
}

static void a_delivery_is_tried_again_until_it_ends(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_due *due;
	const struct store_task *t;

	e.deliver = slice_text(DELIVER);
	apply(f, &e);
	assert_int_equal(claim(f, 1, NULL, T0, &due), 2);
	end_one(f, 1, &due[0].row, STORE_DUE_DONE, T0 + 1, 0);
	end_one(f, 1, &due[1].row, STORE_DUE_AGAIN, T0 + 1, T0 + 5000);
	t = task_now(f, &id);
	assert_int_equal(t->deliveries_pending, 1);
	assert_int_equal(t->deliveries_delivered, 1);
	assert_int_equal(t->rev, 2);
	assert_int_equal(claim(f, 1, NULL, T0 + 5000, &due), 1);
	assert_int_equal(due->attempt, 1);
	end_one(f, 1, &due[0].row, STORE_DUE_DEAD, T0 + 5001, 0);
	t = task_now(f, &id);
	assert_int_equal(t->deliveries_pending, 0);
	assert_int_equal(t->deliveries_dead, 1);
	assert_int_equal(t->state, TASK_SUCCEEDED);
	/* Ended once is ended. */
	end_one(f, 1, &due[0].row, STORE_DUE_DONE, T0 + 5002, 0);
	assert_int_equal(task_now(f, &id)->deliveries_delivered, 1);
	assert_int_equal(claim(f, 1, NULL, T0 + DAY_MS, &due), 0);
}

static void a_row_put_off_untried_counts_no_try(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_due *due;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
	apply(f, &e);
	assert_int_equal(claim(f, 1, NULL, T0, &due), 1);
	end_one(f, 1, &due[0].row, STORE_DUE_LATER, T0 + 1, T0 + 5000);
	assert_int_equal(task_now(f, &id)->deliveries_pending, 1);
	assert_int_equal(claim(f, 1, NULL, T0 + 4999, &due), 0);
	assert_int_equal(claim(f, 1, NULL, T0 + 5000, &due), 1);
	assert_int_equal(due->attempt, 0);
	assert_int_equal(due->due_at_ms, T0);
	/* Somebody else's, by now. */
	end_one(f, 2, &due[0].row, STORE_DUE_LATER, T0 + 5001, T0 + 5001);
	assert_int_equal(claim(f, 1, NULL, T0 + 5002, &due), 0);
}

static void what_is_put_off_untried_is_no_try(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_due *due;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
	apply(f, &e);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(claim(f, 1, NULL, T0 + i * 10, &due), 1);
		assert_int_equal(due->attempt, 0);
		end_one(f, 1, &due->row, STORE_DUE_LATER, T0 + i * 10, T0 + i * 10 + 10);
	}
	assert_int_equal(task_now(f, &id)->deliveries_pending, 1);
}

/* 91 MiB of requests are due: the first claim takes what it may have in memory, the next one the rest. */
static void a_claim_takes_no_more_than_fits_into_memory(void **state)
{
	enum { LEN = 13 << 20, N = 7 };
	struct fixture *f = *state;
	uint8_t *bytes = calloc(1, LEN);
	const struct store_due *due;
	size_t first, second;

	for (int i = 0; i < N; i++) {
		struct id id = new_id(f, T0);
		struct store_later later = later_of(&id, T0, T0 + i);

		later.request = slice_of(bytes, LEN);
		assert_int_equal(insert_later(f, &later, 1), 0);
	}
	first = claim(f, 1, NULL, T0 + 100, &due);
	assert_int_equal(first, 5);
	assert_int_equal(due[4].task.request.len, LEN);
	second = claim(f, 1, NULL, T0 + 100, &due);
	assert_int_equal(first + second, N);
	free(bytes);
}

static void deliveries_asked_for_by_an_earlier_event_are_made_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_STARTED, &id, 1, T0);

	e.deliver = slice_text(DELIVER);
	apply(f, &e);
	assert_int_equal(task_now(f, &id)->deliveries_pending, 0);
	apply_kind(f, STORE_EVENT_DEAD, &id, 1, T0 + 1);
	assert_int_equal(task_now(f, &id)->deliveries_pending, 2);
}

/* A real request, as its deliveries travel in its context. */
static void encode_request(const struct id *id, const char *deliver, struct buf *out)
{
	struct context context = {.tenant = TENANT, .task = TASK, .deliver = slice_text(deliver)};
	struct request request = {.id = *id,
		.task = TASK,
		.payload = slice_text("{}"),
		.content_type = slice_text("application/json"),
		.created_at_ms = T0,
		.attempt = 1};
	struct buf bytes;

	buf_init(&bytes, 4096);
	buf_init(out, 8192);
	assert_int_equal(context_encode(&context, &bytes), 0);
	request.context = buf_slice(&bytes);
	assert_int_equal(request_encode(&request, out), 0);
	buf_done(&bytes);
}

static void a_task_that_never_ran_still_delivers_its_end(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct store_later next = after(f, &first, STORE_WAITS_TASK);
	const struct store_due *due;
	struct buf request;

	encode_request(&next.id, "[{\"channel\":\"webhook\",\"target\":{},\"on\":[\"canceled\"]}]", &request);
	next.request = buf_slice(&request);
	assert_int_equal(insert_later(f, &next, 1), 0);
	apply_kind(f, STORE_EVENT_FAILED, &first, 1, T0);
	assert_int_equal(task_now(f, &next.id)->deliveries_pending, 1);
	assert_int_equal(claim(f, 1, "webhook", T0, &due), 1);
	assert_true(id_is_equal(&due->task_id, &next.id));
	assert_int_equal(due->task.state, TASK_CANCELED);
	buf_done(&request);
}

static void broken_deliveries_are_refused_whatever_is_wrong(void **state)
{
	struct fixture *f = *state;
	static const char *const broken[] = {"", "{}", "[1]", "[{}]", "[{\"channel\":1,\"target\":{}}]",
		"[{\"channel\":\"webhook\",\"target\":\"x\"}]",
		"[{\"channel\":\"webhook\",\"target\":{},\"on\":\"failed\"}]", "[",
		"[{\"channel\":\"a\"}] x"};

	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct id id = new_id(f, T0);
		struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
		struct store_applied a;

		e.deliver = slice_text(broken[i]);
		assert_int_equal(apply_one(f, &e, &a), 0);
		assert_int_equal(a.rc, -EBADMSG);
		assert_int_equal(task_now(f, &id)->presence, STORE_ABSENT);
	}
}

/* ---- batches ---- */

static struct id new_batch(struct fixture *f)
{
	struct id id = id_mint(&f->minter, ID_BATCH, TENANT, (uint64_t)T0);

	assert_int_equal(insert_batch(f, &id, T0), 0);
	return id;
}

static void end_item(
	struct fixture *f, const struct id *id, const struct id *batch, enum store_event_kind kind)
{
	struct store_event e = event_of(kind, id, 1, T0 + 5);

	e.batch = *batch;
	apply(f, &e);
}

static void a_batch_counts_each_of_its_items_once(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), items[4];
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	const struct store_batch *b;
	uint32_t by_state[TASK_STATES];
	const struct store_due *due;

	for (size_t i = 0; i < 4; i++)
		items[i] = new_id(f, T0);
	assert_int_equal(insert_later(f, &then, 1), 0);
	end_item(f, &items[0], &batch, STORE_EVENT_SUCCEEDED);
	assert_int_equal(seal_batch(f, &batch, items, 4, T0 + 5), 0);
	end_item(f, &items[1], &batch, STORE_EVENT_FAILED);
	end_item(f, &items[1], &batch, STORE_EVENT_FAILED);
	end_item(f, &items[2], &batch, STORE_EVENT_STARTED);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_true(b->found);
	assert_true(b->sealed);
	assert_int_equal(b->total, 4);
	assert_int_equal(b->done, 2);
	assert_true(slice_is_text(b->document, "[\"document\"]"));
	assert_true(slice_is_equal(b->ids, slice_of(items, sizeof items)));
	assert_int_equal(by_state[TASK_SUCCEEDED], 1);
	assert_int_equal(by_state[TASK_FAILED], 1);
	assert_int_equal(by_state[TASK_RUNNING], 1);
	assert_int_equal(by_state[TASK_QUEUED], 1);
	assert_int_equal(next_due(f, T0), INT64_MAX);
	end_item(f, &items[2], &batch, STORE_EVENT_CANCELED);
	end_item(f, &items[3], &batch, STORE_EVENT_DEAD);
	assert_int_equal(claim(f, 1, NULL, T0 + 10, &due), 1);
	assert_true(id_is_equal(&due->task_id, &then.id));
	assert_true(id_is_equal(&due->previous_batch, &batch));
	assert_int_equal(due->previous_counts[TASK_SUCCEEDED], 1);
	assert_int_equal(due->previous_counts[TASK_DEAD], 1);
	assert_int_equal(due->previous_counts[TASK_QUEUED], 0);
}

static void a_batch_whose_items_all_ended_is_complete_when_sealed(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), item = new_id(f, T0), stranger = new_id(f, T0);
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH), late = then;

	assert_int_equal(insert_later(f, &then, 1), 0);
	end_item(f, &item, &batch, STORE_EVENT_SUCCEEDED);
	end_item(f, &stranger, &batch, STORE_EVENT_SUCCEEDED);
	assert_int_equal(next_due(f, T0), INT64_MAX);
	assert_int_equal(seal_batch(f, &batch, &item, 1, T0 + 9), 0);
	assert_int_equal(next_due(f, T0), T0 + 9);
	late.id = new_id(f, T0);
	assert_int_equal(insert_later(f, &late, 1), 0);
	assert_int_equal(task_now(f, &late.id)->due_at_ms, T0);
}

static void what_was_not_accepted_does_not_complete_a_batch(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), items[2] = {new_id(f, T0), new_id(f, T0)}, unknown = new_id(f, T0);
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	const struct store_batch *b;
	uint32_t by_state[TASK_STATES];

	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(seal_batch(f, &batch, items, 2, T0), 0);
	end_item(f, &unknown, &batch, STORE_EVENT_SUCCEEDED);
	end_item(f, &items[0], &batch, STORE_EVENT_SUCCEEDED);
	assert_int_equal(next_due(f, T0), INT64_MAX);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_int_equal(b->done, 1);
	end_item(f, &items[1], &batch, STORE_EVENT_SUCCEEDED);
	assert_int_equal(next_due(f, T0), T0 + 5);
}

static void a_delayed_item_that_is_canceled_counts_too(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), id = new_id(f, T0);
	struct store_later item = later_of(&id, T0, T0 + HOUR_MS), then = after(f, &batch, STORE_WAITS_BATCH);
	enum store_cancel what;

	item.batch = batch;
	assert_int_equal(insert_later(f, &item, 1), 0);
	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(seal_batch(f, &batch, &id, 1, T0), 0);
	assert_int_equal(cancel_task(f, &id, T0 + 3, &what), 0);
	assert_int_equal(task_now(f, &then.id)->due_at_ms, T0 + 3);
}

static void an_empty_batch_is_complete_and_an_unknown_one_not_found(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), unknown = new_id(f, T0);
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	const struct store_batch *b;
	uint32_t by_state[TASK_STATES];

	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(seal_batch(f, &batch, NULL, 0, T0 + 1), 0);
	assert_int_equal(next_due(f, T0), T0 + 1);
	assert_int_equal(get_batch(f, &unknown, &b, by_state), 0);
	assert_false(b->found);
}

/* ---- idempotency ---- */

static struct store_claim claim_of(struct fixture *f, uint8_t hash, int64_t now_ms)
{
	return (struct store_claim){
		.tenant = TENANT,
		.key = slice_text("k1"),
		.hash = {hash},
		.id = new_id(f, now_ms),
		.now_ms = now_ms,
		.lease_ms = 10000,
		.keep_ms = DAY_MS,
	};
}

static enum store_claim_state try_claim(
	struct fixture *f, uint8_t hash, int64_t now_ms, struct id *id, struct slice *answer)
{
	struct store_claim c = claim_of(f, hash, now_ms);
	enum store_claim_state what;

	assert_int_equal(claim_key(f, &c, &what, id, answer), 0);
	if (what == STORE_CLAIM_NEW)
		assert_true(id_is_equal(id, &c.id));
	else if (what == STORE_CLAIM_RESUME)
		assert_false(id_is_equal(id, &c.id));
	return what;
}

static void a_key_gives_the_first_answer_again(void **state)
{
	struct fixture *f = *state;
	struct slice key = slice_text("k1"), answer;
	struct id id;

	assert_int_equal(try_claim(f, 1, T0, &id, &answer), STORE_CLAIM_NEW);
	assert_int_equal(try_claim(f, 1, T0 + 1, &id, &answer), STORE_CLAIM_IN_FLIGHT);
	assert_int_equal(try_claim(f, 2, T0 + 1, &id, &answer), STORE_CLAIM_MISMATCH);
	assert_int_equal(end_key(f, key, STORE_CLAIM_KEEP, slice_text("202 and so on")), 0);
	assert_int_equal(try_claim(f, 1, T0 + DAY_MS - 1, &id, &answer), STORE_CLAIM_ANSWERED);
	assert_true(slice_is_text(answer, "202 and so on"));
	assert_int_equal(try_claim(f, 2, T0 + 2, &id, &answer), STORE_CLAIM_MISMATCH);
	assert_int_equal(try_claim(f, 2, T0 + DAY_MS, &id, &answer), STORE_CLAIM_NEW);
}

static void a_released_key_is_free(void **state)
{
	struct fixture *f = *state;
	struct slice answer;
	struct id id;

	assert_int_equal(try_claim(f, 1, T0, &id, &answer), STORE_CLAIM_NEW);
	assert_int_equal(end_key(f, slice_text("k1"), STORE_CLAIM_RELEASE, answer), 0);
	assert_int_equal(try_claim(f, 2, T0, &id, &answer), STORE_CLAIM_NEW);
}

static void an_unknown_outcome_keeps_its_id_until_it_is_known(void **state)
{
	struct fixture *f = *state;
	struct slice key = slice_text("k1"), answer;
	struct id first, id;

	assert_int_equal(try_claim(f, 1, T0, &first, &answer), STORE_CLAIM_NEW);
	assert_int_equal(end_key(f, key, STORE_CLAIM_UNKNOWN, answer), 0);
	assert_int_equal(try_claim(f, 1, T0 + 1, &id, &answer), STORE_CLAIM_RESUME);
	assert_true(id_is_equal(&id, &first));
	assert_int_equal(try_claim(f, 1, T0 + 2, &id, &answer), STORE_CLAIM_IN_FLIGHT);
	/* This try did nothing, but the one before may have. */
	assert_int_equal(end_key(f, key, STORE_CLAIM_RELEASE, answer), 0);
	assert_int_equal(try_claim(f, 1, T0 + 3, &id, &answer), STORE_CLAIM_RESUME);
	assert_true(id_is_equal(&id, &first));
	assert_int_equal(end_key(f, key, STORE_CLAIM_KEEP, slice_text("a")), 0);
	assert_int_equal(try_claim(f, 1, T0 + 4, &id, &answer), STORE_CLAIM_ANSWERED);
	assert_true(id_is_equal(&id, &first));
}

static void a_key_whose_holder_died_is_resumed_after_the_lease(void **state)
{
	struct fixture *f = *state;
	struct slice answer;
	struct id first, id;

	assert_int_equal(try_claim(f, 1, T0, &first, &answer), STORE_CLAIM_NEW);
	assert_int_equal(try_claim(f, 1, T0 + 9999, &id, &answer), STORE_CLAIM_IN_FLIGHT);
	assert_int_equal(try_claim(f, 1, T0 + 10000, &id, &answer), STORE_CLAIM_RESUME);
	assert_true(id_is_equal(&id, &first));
}

static void the_same_key_of_another_tenant_is_another_key(void **state)
{
	struct fixture *f = *state;
	struct store_claim c = claim_of(f, 1, T0);
	enum store_claim_state what;
	struct slice answer;
	struct id id;

	assert_int_equal(claim_key(f, &c, &what, &id, &answer), 0);
	assert_int_equal(what, STORE_CLAIM_NEW);
	c.tenant = slice_text("other");
	c.hash[0] = 2;
	assert_int_equal(claim_key(f, &c, &what, &id, &answer), 0);
	assert_int_equal(what, STORE_CLAIM_NEW);
}

/* ---- lists and counts ---- */

static void fill_lists(struct fixture *f, size_t n)
{
	static const char *const tenants[] = {"acme", "other"}, *const names[] = {"a", "b", "c"};
	static const enum store_event_kind kinds[] = {STORE_EVENT_SUCCEEDED, STORE_EVENT_STARTED,
		STORE_EVENT_FAILED, STORE_EVENT_RETRY, STORE_EVENT_SUCCEEDED};

	for (size_t i = 0; i < n; i++) {
		struct id id = new_id(f, T0 + (int64_t)i);
		struct store_event e = event_of(kinds[i % 5], &id, 1, T0 + (int64_t)i);

		e.tenant = slice_text(tenants[i % 7 == 0]);
		e.task = slice_text(names[i % 3]);
		apply(f, &e);
	}
}

/* Walks the whole list by its cursor. */
static size_t walk(struct fixture *f, struct store_list_query q)
{
	const struct store_task *t;
	size_t len, n = 0;

	do {
		assert_int_equal(list_tasks(f, &q, &t, &len), 0);
		for (size_t i = 0; i < len; i++) {
			assert_true(slice_is_equal(t[i].tenant, q.tenant));
			if (q.has_state)
				assert_int_equal(t[i].state, q.state);
			if (slice_is_set(q.task))
				assert_true(slice_is_equal(t[i].task, q.task));
			if (!id_is_zero(&q.before))
				assert_true(memcmp(&t[i].id, &q.before, ID_LEN) < 0);
			q.before = t[i].id;
			n++;
		}
	} while (len == q.limit);
	return n;
}

static void a_list_has_each_of_what_was_asked_for_newest_first(void **state)
{
	struct fixture *f = *state;
	enum { N = 210 };
	size_t all = 0, by_task = 0, by_both = 0;
	struct store_list_query q = {.tenant = TENANT, .limit = 7};

	fill_lists(f, N);
	assert_int_equal(walk(f, q), N - N / 7);
	for (int s = 0; s < TASK_STATES; s++) {
		struct store_list_query by_state = q;

		by_state.has_state = true;
		by_state.state = (enum task_state)s;
		all += walk(f, by_state);
		by_state.task = slice_text("b");
		by_both += walk(f, by_state);
	}
	q.task = slice_text("b");
	by_task = walk(f, q);
	assert_int_equal(all, N - N / 7);
	assert_int_equal(by_task, 60);
	assert_int_equal(by_both, by_task);
	q.task = slice_text("nothing");
	assert_int_equal(walk(f, q), 0);
}

static void counts_tell_what_is_scheduled_and_running(void **state)
{
	struct fixture *f = *state;
	const struct store_task_count *counts;
	uint64_t scheduled = 0, running = 0;
	size_t len;

	assert_int_equal(count_tasks(f, &counts, &len), 0);
	assert_int_equal(len, 0);
	fill_lists(f, 210);
	assert_int_equal(count_tasks(f, &counts, &len), 0);
	assert_int_equal(len, 3);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(counts[i].task.data[0], 'a' + i);
		scheduled += counts[i].scheduled;
		running += counts[i].running;
	}
	assert_int_equal(scheduled, 42 - 6);
	assert_int_equal(running, 42 - 6);
}

static void counts_name_what_has_only_ended_too_and_last(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *tenant, *task;
		enum store_event_kind kind;
	} rows[] = {
		{"acme", "ended", STORE_EVENT_SUCCEEDED},
		{"acme", "ended", STORE_EVENT_FAILED},
		{"acme", "runs", STORE_EVENT_STARTED},
		{"acme", "another", STORE_EVENT_FAILED},
		{"other", "secret", STORE_EVENT_STARTED},
	};
	static const char *const expected[] = {"runs", "another", "ended"};
	const struct store_task_count *counts;
	size_t len;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct id id = new_id(f, T0 + (int64_t)i);
		struct store_event e = event_of(rows[i].kind, &id, 1, T0 + (int64_t)i);

		e.tenant = slice_text(rows[i].tenant);
		e.task = slice_text(rows[i].task);
		apply(f, &e);
	}
	assert_int_equal(count_tasks(f, &counts, &len), 0);
	assert_int_equal(len, 3);
	for (size_t i = 0; i < len; i++) {
		assert_true(slice_is_text(counts[i].task, expected[i]));
		assert_int_equal(counts[i].scheduled, 0);
		assert_int_equal(counts[i].running, i == 0);
	}
}

/* ---- lifetimes ---- */

enum { RESULT_TTL_H = 24, TASK_TTL_H = 7 * 24, MARGIN_H = 1 };

static void content_is_dropped_after_its_time_and_a_tombstone_stays(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	int64_t finished_ms = T0 + 5000, forgotten_ms = T0 + (TASK_TTL_H + RESULT_TTL_H + MARGIN_H) * HOUR_MS;
	const struct store_task *t;
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, finished_ms);

	e.result = slice_text("1");
	apply(f, &e);
	assert_int_equal(sweep(f, finished_ms + DAY_MS - 1).expired, 0);
	assert_int_equal(task_now(f, &id)->presence, STORE_PRESENT);
	assert_int_equal(sweep(f, finished_ms + DAY_MS).expired, 1);
	t = task_now(f, &id);
	assert_int_equal(t->presence, STORE_TOMBSTONE);
	assert_true(slice_is_equal(t->tenant, TENANT));
	assert_false(slice_is_set(t->result));
	/* A late repetition does not raise it. */
	assert_false(apply_kind(f, STORE_EVENT_SUCCEEDED, &id, 1, finished_ms + 2 * DAY_MS).has_changed);
	assert_int_equal(sweep(f, forgotten_ms - 1).forgotten, 0);
	assert_int_equal(task_now(f, &id)->presence, STORE_TOMBSTONE);
	assert_int_equal(sweep(f, forgotten_ms).forgotten, 1);
	assert_int_equal(task_now(f, &id)->presence, STORE_ABSENT);
}

static void a_pending_delivery_keeps_the_content(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_due *due;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
	e.result = slice_text("1");
	apply(f, &e);
	assert_int_equal(sweep(f, T0 + 3 * DAY_MS).expired, 0);
	assert_true(slice_is_text(task_now(f, &id)->result, "1"));
	assert_int_equal(claim(f, 1, NULL, T0 + 3 * DAY_MS, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 3 * DAY_MS, 0);
	assert_int_equal(sweep(f, T0 + 3 * DAY_MS).expired, 1);
	assert_int_equal(task_now(f, &id)->presence, STORE_TOMBSTONE);
}

static void a_delivery_that_nobody_takes_is_reported_dead(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);

	e.deliver = slice_text("[{\"channel\":\"pigeon\",\"target\":{}}]");
	apply(f, &e);
	sweep(f, T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS - 1);
	assert_int_equal(task_now(f, &id)->deliveries_pending, 1);
	sweep(f, T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS);
	assert_int_equal(task_now(f, &id)->deliveries_dead, 1);
	/* It may still be sent again. */
	sweep(f, T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS + DAY_MS - 1);
	assert_int_equal(task_now(f, &id)->presence, STORE_PRESENT);
	sweep(f, T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS + DAY_MS);
	assert_int_equal(task_now(f, &id)->presence, STORE_ABSENT);
}

static void an_unfinished_task_that_is_silent_for_too_long_is_dead(void **state)
{
	struct fixture *f = *state;
	struct id runs = new_id(f, T0), queued = insert_delayed(f, T0, T0);
	int64_t end_ms = T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS;
	const struct store_due *due;

	apply_kind(f, STORE_EVENT_STARTED, &runs, 1, T0);
	assert_int_equal(claim(f, 1, NULL, T0, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0, 0);
	assert_int_equal(sweep(f, end_ms - 1).died, 0);
	assert_int_equal(sweep(f, end_ms).died, 2);
	assert_int_equal(task_now(f, &runs)->state, TASK_DEAD);
	assert_int_equal(task_now(f, &queued)->state, TASK_DEAD);
	assert_true(slice_is_text(task_now(f, &queued)->error.type, "expired"));
	assert_true(slice_is_text(task_now(f, &queued)->request, "the request"));
	assert_false(apply_kind(f, STORE_EVENT_SUCCEEDED, &runs, 1, end_ms + 1).has_changed);
}

static void every_sign_of_life_prolongs_it(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_PROGRESS, &id, 1, T0 + 6 * DAY_MS);

	apply_kind(f, STORE_EVENT_STARTED, &id, 1, T0);
	apply(f, &e);
	assert_int_equal(sweep(f, T0 + 8 * DAY_MS).died, 0);
	assert_int_equal(sweep(f, T0 + 14 * DAY_MS).died, 1);
}

static void a_task_scheduled_for_far_away_lives_until_then(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0 + 30 * DAY_MS), first = id, next;
	const struct store_due *due;

	next = insert_after(f, &first, false);
	assert_int_equal(sweep(f, T0 + 29 * DAY_MS).died, 0);
	assert_int_equal(task_now(f, &id)->state, TASK_SCHEDULED);
	assert_int_equal(task_now(f, &next)->state, TASK_SCHEDULED);
	assert_int_equal(claim(f, 1, NULL, T0 + 30 * DAY_MS, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 30 * DAY_MS, 0);
	assert_int_equal(sweep(f, T0 + 36 * DAY_MS).died, 0);
	apply_kind(f, STORE_EVENT_SUCCEEDED, &id, 1, T0 + 36 * DAY_MS);
	assert_int_equal(claim(f, 1, NULL, T0 + 36 * DAY_MS, &due), 1);
	assert_true(id_is_equal(&due->task_id, &next));
	/* Its id is older than any tombstone must be: nothing is left. */
	assert_int_equal(sweep(f, T0 + 36 * DAY_MS).expired, 0);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 36 * DAY_MS, 0);
	assert_int_equal(sweep(f, T0 + 37 * DAY_MS).expired, 1);
	assert_int_equal(task_now(f, &id)->presence, STORE_ABSENT);
	assert_int_equal(task_now(f, &next)->state, TASK_QUEUED);
}

static void a_scheduled_task_that_could_not_be_published_for_too_long_is_dead(void **state)
{
	struct fixture *f = *state;
	struct id id = insert_delayed(f, T0, T0 + 30 * DAY_MS);

	assert_int_equal(sweep(f, T0 + 37 * DAY_MS).died, 0);
	assert_int_equal(sweep(f, T0 + 37 * DAY_MS + MARGIN_H * HOUR_MS).died, 1);
	assert_int_equal(task_now(f, &id)->state, TASK_DEAD);
	assert_int_equal(next_due(f, T0), INT64_MAX);
}

static void what_waits_for_something_that_never_came_is_canceled(void **state)
{
	struct fixture *f = *state;
	struct id lost = new_id(f, T0), batch = new_batch(f), item = new_id(f, T0);
	struct id after_lost = insert_after(f, &lost, false),
		  after_that = insert_after(f, &after_lost, false);
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	int64_t end_ms = T0 + (TASK_TTL_H + RESULT_TTL_H + MARGIN_H) * HOUR_MS + 1000;

	assert_int_equal(seal_batch(f, &batch, &item, 1, T0), 0);
	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(sweep(f, end_ms - 2000).died, 0);
	assert_int_equal(sweep(f, end_ms).died, 2);
	assert_int_equal(task_now(f, &after_lost)->state, TASK_CANCELED);
	assert_int_equal(task_now(f, &after_that)->state, TASK_CANCELED);
	assert_int_equal(task_now(f, &then.id)->state, TASK_CANCELED);
}

static void what_waits_for_a_batch_waits_as_long_as_an_item_has_a_chance(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), item = new_id(f, T0);
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	const struct store_due *due;

	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(seal_batch(f, &batch, &item, 1, T0), 0);
	/* Its second attempt was published on day 6 and may wait in its queue until day 13. */
	apply_kind(f, STORE_EVENT_RETRY, &item, 1, T0 + 6 * DAY_MS);
	assert_int_equal(claim(f, 1, NULL, T0 + 6 * DAY_MS + 1000, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 6 * DAY_MS + 1000, 0);
	assert_int_equal(sweep(f, T0 + 10 * DAY_MS).died, 0);
	assert_int_equal(task_now(f, &then.id)->state, TASK_SCHEDULED);
	end_item(f, &item, &batch, STORE_EVENT_SUCCEEDED);
	assert_int_not_equal(task_now(f, &then.id)->due_at_ms, 0);
}

static void the_content_stays_while_the_next_step_still_wants_it(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct id next = insert_after(f, &first, true);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &first, 1, T0);
	const struct store_due *due;

	e.result = slice_text("1");
	apply(f, &e);
	assert_int_equal(sweep(f, T0 + 2 * DAY_MS).expired, 0);
	assert_int_equal(claim(f, 1, NULL, T0 + 2 * DAY_MS, &due), 1);
	assert_true(slice_is_text(due->previous.result, "1"));
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0 + 2 * DAY_MS, 0);
	assert_int_equal(sweep(f, T0 + 3 * DAY_MS).expired, 0);
	apply_kind(f, STORE_EVENT_RETRY, &next, 1, T0 + 3 * DAY_MS);
	assert_int_equal(sweep(f, T0 + 3 * DAY_MS + HOUR_MS).expired, 1);
	assert_int_equal(task_now(f, &next)->state, TASK_SCHEDULED);
}

/* Published, begun, and never heard of again: what is stored of it is what it was before it ran. */
static void what_died_without_its_request_coming_back_wants_what_came_before_still(void **state)
{
	struct fixture *f = *state;
	struct id first = new_id(f, T0);
	struct id next = insert_after(f, &first, true);
	int64_t dead_ms = T0 + (TASK_TTL_H + MARGIN_H) * HOUR_MS;
	const struct store_due *due;

	apply_kind(f, STORE_EVENT_SUCCEEDED, &first, 1, T0);
	assert_int_equal(claim(f, 1, NULL, T0, &due), 1);
	end_one(f, 1, &due->row, STORE_DUE_DONE, T0, 0);
	apply_kind(f, STORE_EVENT_STARTED, &next, 1, T0);
	assert_int_equal(sweep(f, dead_ms).died, 1);
	assert_int_equal(task_now(f, &next)->state, TASK_DEAD);
	assert_true(task_now(f, &next)->wants_previous);
	assert_int_equal(task_now(f, &next)->waits, STORE_WAITS_TASK);
	assert_int_equal(sweep(f, dead_ms + DAY_MS - 1).expired, 0);
	assert_int_equal(task_now(f, &first)->presence, STORE_PRESENT);
	assert_int_equal(sweep(f, dead_ms + DAY_MS).expired, 1);
	assert_int_equal(sweep(f, dead_ms + DAY_MS + HOUR_MS).expired, 1);
	assert_int_equal(task_now(f, &first)->presence, STORE_ABSENT);
}

static void what_runs_again_with_its_request_wants_nothing_more(void **state)
{
	struct fixture *f = *state;
	static const enum store_event_kind kinds[] = {STORE_EVENT_RETRY, STORE_EVENT_SUCCEEDED,
		STORE_EVENT_FAILED, STORE_EVENT_CANCELED, STORE_EVENT_DEAD};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct id first = new_id(f, T0);
		struct id next = insert_after(f, &first, true);
		struct store_event e = event_of(kinds[i], &next, 1, T0);

		apply_kind(f, STORE_EVENT_SUCCEEDED, &first, 1, T0);
		assert_true(task_now(f, &next)->wants_previous);
		e.request = slice_text("as it ran");
		apply(f, &e);
		assert_false(task_now(f, &next)->wants_previous);
	}
	assert_int_equal(sweep(f, T0 + DAY_MS).expired, 9);
}

static void keys_batches_and_dead_letters_are_forgotten_in_time(void **state)
{
	struct fixture *f = *state;
	const struct store_dead_letter letter = {T0, slice_text("q"), slice_text("why"), slice_of("\xff", 1)};
	struct id batch = new_batch(f), item = new_id(f, T0), id;
	const struct store_batch *b;
	uint32_t by_state[TASK_STATES];
	struct slice answer;

	assert_int_equal(add_dead_letter(f, &letter), 0);
	assert_int_equal(try_claim(f, 1, T0, &id, &answer), STORE_CLAIM_NEW);
	end_item(f, &item, &batch, STORE_EVENT_SUCCEEDED);
	assert_int_equal(seal_batch(f, &batch, &item, 1, T0), 0);
	assert_int_equal(sweep(f, T0 + DAY_MS - 1).forgotten, 0);
	assert_int_equal(sweep(f, T0 + DAY_MS).forgotten, 1);
	assert_int_equal(try_claim(f, 2, T0 + 5, &id, &answer), STORE_CLAIM_NEW);
	sweep(f, T0 + 2 * DAY_MS);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_true(b->found);
	assert_int_equal(by_state[TASK_SUCCEEDED], 1); /* from the tombstone */
	sweep(f, T0 + 9 * DAY_MS);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_false(b->found);
	assert_int_equal(sweep(f, T0 + 30 * DAY_MS - 1).forgotten, 0);
	assert_int_equal(sweep(f, T0 + 30 * DAY_MS).forgotten, 1);
}

/* One ended long before the other, and nothing but its batch can tell how. */
static void a_batch_counts_what_was_swept_long_ago(void **state)
{
	struct fixture *f = *state;
	struct id batch = new_batch(f), items[] = {new_id(f, T0), new_id(f, T0), new_id(f, T0)};
	struct store_later late[] = {
		later_of(&items[1], T0, T0 + 20 * DAY_MS), later_of(&items[2], T0, T0 + 30 * DAY_MS)};
	struct store_later then = after(f, &batch, STORE_WAITS_BATCH);
	const struct store_batch *b;
	const struct store_due *due;
	uint32_t by_state[TASK_STATES];
	enum store_cancel what;

	late[0].batch = late[1].batch = batch;
	assert_int_equal(insert_later(f, late, 2), 0);
	assert_int_equal(insert_later(f, &then, 1), 0);
	assert_int_equal(seal_batch(f, &batch, items, 3, T0), 0);
	end_item(f, &items[0], &batch, STORE_EVENT_SUCCEEDED);
	for (int day = 1; day < 20; day++)
		sweep(f, T0 + day * DAY_MS);
	assert_int_equal(cancel_task(f, &items[1], T0 + 20 * DAY_MS, &what), 0);
	for (int hour = 20 * 24; hour < 30 * 24; hour++)
		sweep(f, T0 + hour * HOUR_MS);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_int_equal(by_state[TASK_SUCCEEDED], 1);
	assert_int_equal(by_state[TASK_CANCELED], 1);
	assert_int_equal(by_state[TASK_SCHEDULED], 1);
	assert_int_equal(cancel_task(f, &items[2], T0 + 30 * DAY_MS, &what), 0);
	assert_int_equal(claim(f, 1, NULL, T0 + 30 * DAY_MS, &due), 1);
	assert_int_equal(due->previous_counts[TASK_SUCCEEDED], 1);
	assert_int_equal(due->previous_counts[TASK_CANCELED], 2);
	end_one(f, 1, &due->row, STORE_DUE_DEAD, T0 + 36 * DAY_MS, 0);
	sweep(f, T0 + 36 * DAY_MS);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_true(b->found);
	for (int hour = 37 * 24; hour < 39 * 24; hour++)
		sweep(f, T0 + hour * HOUR_MS);
	assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
	assert_false(b->found);
	assert_int_equal(task_now(f, &items[0])->presence, STORE_ABSENT);
}

static void a_sweep_takes_no_more_than_its_limit_and_says_so(void **state)
{
	struct fixture *f = *state;
	struct store_sweep swept;

	for (int i = 0; i < 25; i++) {
		struct id id = new_id(f, T0);

		apply_kind(f, STORE_EVENT_SUCCEEDED, &id, 1, T0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sweep_store(f, T0 + 2 * DAY_MS, 10, &swept), 0);
		assert_int_equal(swept.expired, 10);
		assert_true(swept.has_more);
	}
	assert_int_equal(sweep_store(f, T0 + 2 * DAY_MS, 10, &swept), 0);
	assert_int_equal(swept.expired, 5);
	assert_false(swept.has_more);
}

/* ---- the asynchronous side ---- */

static void the_version_changes_with_every_change_of_anybody(void **state)
{
	struct fixture *f = *state, other;
	uint64_t before, after_own, after_other, still;
	struct id id = new_id(f, T0);

	assert_int_equal(get_version(f, &before), 0);
	apply_kind(f, STORE_EVENT_STARTED, &id, 1, T0);
	assert_int_equal(get_version(f, &after_own), 0);
	assert_int_not_equal(before, after_own);
	fixture_join(&other, f);
	assert_int_equal(get_version(f, &before), 0);
	apply_kind(&other, STORE_EVENT_SUCCEEDED, &id, 1, T0);
	assert_int_equal(get_version(f, &after_other), 0);
	assert_int_not_equal(before, after_other);
	assert_int_equal(get_version(f, &still), 0);
	assert_int_equal(after_other, still);
	fixture_close(&other);
}

struct counter {
	struct fixture *f;
	unsigned called, freed_at;
	int rc;
};

static void on_counted(int rc, void *arg)
{
	struct counter *c = arg;

	c->called++;
	c->rc = rc;
	if (c->called == c->freed_at)
		fixture_stop_store(c->f);
}

static void undo_nothing(struct counter *c, int want)
{
	struct id id = new_id(c->f, T0);

	assert_int_equal(store_later_undo(c->f->store, &id, 1, on_counted, c), want);
}

static void no_callback_comes_after_free_even_inside_one(void **state)
{
	struct fixture *f = *state;
	struct counter c = {.f = f, .freed_at = 3};

	for (int i = 0; i < 50; i++)
		undo_nothing(&c, 0);
	assert_int_equal(c.called, 0);
	while (f->store)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
	assert_int_equal(c.called, 3);
}

static void free_finishes_what_was_handed_over(void **state)
{
	struct fixture *f = *state;
	struct counter c = {.f = f};
	struct store_later later;
	struct id id = {0};

	for (int i = 0; i < 200; i++) {
		id = new_id(f, T0);
		later = later_of(&id, T0, T0 + 1000);
		assert_int_equal(store_later_insert(f->store, &later, 1, on_counted, &c), 0);
	}
	fixture_stop_store(f);
	assert_int_equal(c.called, 0);
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(task_now(f, &id)->presence, STORE_PRESENT);
}

static void nothing_is_taken_before_the_store_is_up(void **state)
{
	struct fixture *f = *state;
	struct counter c = {.f = f};

	fixture_stop_store(f);
	fixture_start_store(f);
	assert_false(store_is_up(f->store));
	undo_nothing(&c, -ENOTCONN);
	fixture_await_up(f, true);
	undo_nothing(&c, 0);
}

static void too_much_at_once_is_refused(void **state)
{
	struct fixture *f = *state;
	struct counter c = {.f = f};
	struct store_options opt = {
		.url = f->url, .task_ttl_ms = DAY_MS, .result_ttl_ms = DAY_MS, .queue_max = 10};
	struct store_stats stats;
	char why[200];

	fixture_stop_store(f);
	assert_int_equal(store_new(f->loop, &opt, why, sizeof why, &f->store), 0);
	while (!store_is_up(f->store))
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	for (int i = 0; i < 10; i++)
		undo_nothing(&c, 0);
	undo_nothing(&c, -EAGAIN);
	store_stats(f->store, &stats);
	assert_int_equal(stats.waiting, 10);
	while (c.called < 10)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	undo_nothing(&c, 0);
	store_stats(f->store, &stats);
	assert_int_equal(stats.waiting, 1);
	assert_true(stats.writes >= 10);
	assert_true(stats.commits >= 1 && stats.commits <= stats.writes);
	assert_int_equal(stats.errors, 0);
}

static void a_url_that_names_no_store_is_refused_with_a_reason(void **state)
{
	static const char *const urls[] = {
		"", "sqlite", "sqlite:", "mysql:x", "/var/x.db", "sqlite::memory:"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct store_options opt = {.url = urls[i]};
		struct store *s = NULL;
		char why[200] = "";

		assert_int_equal(store_new(f->loop, &opt, why, sizeof why, &s), -EINVAL);
		assert_null(s);
		assert_true(strlen(why) > 10);
	}
}

int conformance_run(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_start_mints_a_key_and_it_stays),
		TEST(a_new_key_comes_first_and_the_newest_are_kept),
		TEST(an_unknown_task_is_absent),
		TEST(a_result_comes_back_as_it_was),
		TEST(an_empty_result_is_not_a_missing_one),
		TEST(a_result_that_is_not_json_comes_only_when_asked_for),
		TEST(a_large_result_and_a_large_request_come_back_whole),
		TEST(the_request_is_kept_as_long_as_it_may_run_again),
		TEST(an_error_comes_back_with_all_its_parts),
		TEST(the_next_attempt_begins_without_the_progress_of_the_last),
		TEST(what_is_stale_or_repeated_changes_nothing),
		TEST(every_order_of_events_ends_in_the_same_outcome),
		TEST(an_event_that_cannot_be_stored_fails_alone),
		TEST(a_call_that_cannot_be_done_takes_no_other_along),
		TEST(many_tasks_are_read_in_the_order_asked_for),
		TEST(a_retry_is_due_at_its_time_and_queued_once_published),
		TEST(a_reply_that_comes_before_the_publish_has_ended_stays),
		TEST(a_publish_can_be_put_off_and_given_up),
		TEST(a_row_of_a_crashed_owner_is_claimed_again_after_the_lease),
		TEST(an_owner_that_is_late_but_alone_still_counts),
		TEST(another_retry_of_the_same_attempt_leaves_a_claimed_row_alone),
		TEST(rows_come_oldest_first_and_no_more_than_asked_for),
		TEST(a_delayed_task_is_due_at_its_time),
		TEST(inserting_twice_inserts_once),
		TEST(inserting_twice_what_has_ended_meanwhile_changes_nothing),
		TEST(what_is_undone_was_never_there_but_what_ran_stays),
		TEST(undoing_what_was_released_meanwhile_changes_nothing),
		TEST(the_next_step_runs_after_success_with_what_came_before),
		TEST(all_further_steps_are_canceled_when_one_fails),
		TEST(what_waits_for_something_ended_is_decided_at_once),
		TEST(what_needs_something_that_is_known_runs_with_it),
		TEST(what_needs_something_that_is_gone_is_not_inserted),
		TEST(a_scheduled_task_is_canceled_with_what_waits_for_it),
		TEST(what_is_queued_or_runs_is_not_the_stores_to_cancel),
		TEST(what_is_being_published_is_not_canceled_behind_its_back),
		TEST(deliveries_are_made_for_the_outcomes_that_they_name),
		TEST(a_delivery_is_tried_again_until_it_ends),
		TEST(a_row_put_off_untried_counts_no_try),
		TEST(what_is_put_off_untried_is_no_try),
		TEST(a_claim_takes_no_more_than_fits_into_memory),
		TEST(deliveries_asked_for_by_an_earlier_event_are_made_at_the_end),
		TEST(a_task_that_never_ran_still_delivers_its_end),
		TEST(broken_deliveries_are_refused_whatever_is_wrong),
		TEST(a_batch_counts_each_of_its_items_once),
		TEST(a_batch_whose_items_all_ended_is_complete_when_sealed),
		TEST(what_was_not_accepted_does_not_complete_a_batch),
		TEST(a_delayed_item_that_is_canceled_counts_too),
		TEST(an_empty_batch_is_complete_and_an_unknown_one_not_found),
		TEST(a_key_gives_the_first_answer_again),
		TEST(a_released_key_is_free),
		TEST(an_unknown_outcome_keeps_its_id_until_it_is_known),
		TEST(a_key_whose_holder_died_is_resumed_after_the_lease),
		TEST(the_same_key_of_another_tenant_is_another_key),
		TEST(a_list_has_each_of_what_was_asked_for_newest_first),
		TEST(counts_tell_what_is_scheduled_and_running),
		TEST(counts_name_what_has_only_ended_too_and_last),
		TEST(content_is_dropped_after_its_time_and_a_tombstone_stays),
		TEST(a_pending_delivery_keeps_the_content),
		TEST(a_delivery_that_nobody_takes_is_reported_dead),
		TEST(an_unfinished_task_that_is_silent_for_too_long_is_dead),
		TEST(every_sign_of_life_prolongs_it),
		TEST(a_task_scheduled_for_far_away_lives_until_then),
		TEST(a_scheduled_task_that_could_not_be_published_for_too_long_is_dead),
		TEST(what_waits_for_something_that_never_came_is_canceled),
		TEST(what_waits_for_a_batch_waits_as_long_as_an_item_has_a_chance),
		TEST(the_content_stays_while_the_next_step_still_wants_it),
		TEST(what_died_without_its_request_coming_back_wants_what_came_before_still),
		TEST(what_runs_again_with_its_request_wants_nothing_more),
		TEST(a_batch_counts_what_was_swept_long_ago),
		TEST(keys_batches_and_dead_letters_are_forgotten_in_time),
		TEST(a_sweep_takes_no_more_than_its_limit_and_says_so),
		TEST(the_version_changes_with_every_change_of_anybody),
		TEST(no_callback_comes_after_free_even_inside_one),
		TEST(free_finishes_what_was_handed_over),
		TEST(nothing_is_taken_before_the_store_is_up),
		TEST(too_much_at_once_is_refused),
		TEST(a_url_that_names_no_store_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + conformance_run_deliveries();
}
