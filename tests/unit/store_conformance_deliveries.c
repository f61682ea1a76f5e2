/*
 * What every store promises about deliveries and registered endpoints, by store.h alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/endpoint.h"
#include "tests/unit/store_conformance.h"
#include "tests/unit/store_fixture.h"

/* ---- the calls, made to wait ---- */

struct told {
	struct fixture *f;
	bool has_come;
	int rc;
	struct store_task task;
	struct store_delivery *deliveries;
	size_t len;
	enum store_retry retry;
	size_t count;
	bool has_more;
	enum store_endpoint_outcome what;
	struct store_endpoint *endpoints;
};

static void keep(struct told *t, struct slice *s)
{
	*s = arena_copy(&t->f->arena, *s);
}

static void *keep_array(struct told *t, const void *items, size_t len, size_t size)
{
	void *copy = arena_alloc(&t->f->arena, len, size);

	if (len > 0)
		memcpy(copy, items, len * size);
	return copy;
}

static void await(struct told *t, int rc)
{
	assert_int_equal(rc, 0);
	fixture_await(t->f, &t->has_come);
	assert_int_equal(t->rc, 0);
}

static void come(struct told *t, int rc)
{
	t->rc = rc;
	t->has_come = true;
}

static void keep_deliveries(struct told *t, const struct store_delivery *deliveries, size_t len)
{
	t->deliveries = keep_array(t, deliveries, len, sizeof *deliveries);
	t->len = len;
	for (size_t i = 0; i < len; i++) {
		struct store_delivery *d = &t->deliveries[i];
		struct store_attempt *attempts =
			keep_array(t, d->attempts, d->attempts_len, sizeof *attempts);

		keep(t, &d->channel);
		keep(t, &d->target);
		for (size_t k = 0; k < d->attempts_len; k++) {
			keep(t, &attempts[k].error);
			keep(t, &attempts[k].response);
		}
		d->attempts = attempts;
	}
}

static void on_deliveries(
	int rc, const struct store_task *task, const struct store_delivery *deliveries, size_t len, void *arg)
{
	struct told *t = arg;

	t->task.presence = task->presence;
	keep_deliveries(t, deliveries, len);
	come(t, rc);
}

static struct told deliveries_of(struct fixture *f, const struct id *task)
{
	struct told t = {.f = f};

	await(&t, store_deliveries_get(f->store, task, on_deliveries, &t));
	return t;
}

static struct told delivery_by(struct fixture *f, const struct id *id, struct slice tenant)
{
	struct told t = {.f = f};

	await(&t, store_delivery_get(f->store, id, tenant, on_deliveries, &t));
	return t;
}

static void on_retried(int rc, enum store_retry what, const struct store_delivery *delivery, void *arg)
{
	struct told *t = arg;

	t->retry = what;
	keep_deliveries(t, delivery, delivery != NULL);
	come(t, rc);
}

static struct told retry(struct fixture *f, const struct id *id, struct slice tenant, int64_t now_ms)
{
	struct told t = {.f = f};

	await(&t, store_delivery_retry(f->store, id, tenant, now_ms, on_retried, &t));
	return t;
}

static void on_replayed(int rc, size_t count, bool has_more, void *arg)
{
	struct told *t = arg;

	t->count = count;
	t->has_more = has_more;
	come(t, rc);
}

static struct told replay(struct fixture *f, const struct store_replay *r)
{
	struct told t = {.f = f};

	await(&t, store_deliveries_replay(f->store, r, on_replayed, &t));
	return t;
}

static void on_endpoints(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	struct told *t = arg;

	t->what = what;
	t->endpoints = keep_array(t, endpoints, len, sizeof *endpoints);
	t->len = len;
	for (size_t i = 0; i < len; i++) {
		struct store_endpoint *e = &t->endpoints[i];
		struct slice *const all[] = {&e->tenant, &e->url, &e->description, &e->tasks, &e->secret,
			&e->old_secrets, &e->disabled_reason};

		for (size_t k = 0; k < sizeof all / sizeof *all; k++)
			keep(t, all[k]);
	}
	come(t, rc);
}

static struct told add(struct fixture *f, const struct store_endpoint *e)
{
	struct told t = {.f = f};

	await(&t, store_endpoint_add(f->store, e, on_endpoints, &t));
	return t;
}

static struct told get(struct fixture *f, const struct id *id, struct slice tenant)
{
	struct told t = {.f = f};

	await(&t, store_endpoint_get(f->store, id, tenant, on_endpoints, &t));
	return t;
}

static struct told list(struct fixture *f, struct slice tenant)
{
	struct told t = {.f = f};

	await(&t, store_endpoints_list(f->store, tenant, on_endpoints, &t));
	return t;
}

static struct told change(struct fixture *f, const struct id *id, const struct store_endpoint_change *c)
{
	struct told t = {.f = f};

	await(&t, store_endpoint_change(f->store, id, TENANT, c, on_endpoints, &t));
	return t;
}

static struct told rotate(
	struct fixture *f, const struct id *id, const char *secret, int64_t old_until_ms, int64_t now_ms)
{
	struct told t = {.f = f};

	await(&t, store_endpoint_rotate(
			  f->store, id, TENANT, slice_text(secret), old_until_ms, now_ms, on_endpoints, &t));
	return t;
}

static struct told drop(struct fixture *f, const struct id *id, struct slice tenant)
{
	struct told t = {.f = f};

	await(&t, store_endpoint_remove(f->store, id, tenant, on_endpoints, &t));
	return t;
}

/* ---- shorthand ---- */

#define OTHER slice_text("other")

static const struct store_task *task_now(struct fixture *f, const struct id *id)
{
	const struct store_task *t;

	assert_int_equal(get_task(f, id, 0, &t), 0);
	return t;
}

static struct id end_task(
	struct fixture *f, enum store_event_kind kind, struct slice task, const char *deliver, int64_t at_ms)
{
	struct id id = new_id(f, at_ms);
	struct store_event e = event_of(kind, &id, 1, at_ms);
	struct store_applied a;

	e.task = task;
	e.deliver = slice_text(deliver);
	assert_int_equal(apply_one(f, &e, &a), 0);
	assert_int_equal(a.rc, 0);
	return id;
}

static struct id succeed(struct fixture *f, const char *deliver, int64_t at_ms)
{
	return end_task(f, STORE_EVENT_SUCCEEDED, TASK, deliver, at_ms);
}

#define TO_WEBHOOK "[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://named/\"}}]"

static size_t claim(struct fixture *f, int64_t now_ms, const struct store_due **due)
{
	size_t len;

	assert_int_equal(claim_due(f, 1, NULL, now_ms, 30000, STORE_DUE_MAX, due, &len, NULL), 0);
	return len;
}

static void end_row(struct fixture *f, const struct store_due_result *r)
{
	assert_int_equal(end_due(f, 1, r, 1), 0);
}

/* Claims what is due, and ends all of it so. */
static size_t end_all(struct fixture *f, int64_t now_ms, enum store_due_end how)
{
	const struct store_due *due;
	size_t len = claim(f, now_ms, &due);

	for (size_t i = 0; i < len; i++) {
		const struct store_due_result r = {.row = due[i].row,
			.how = how,
			.at_ms = now_ms,
			.again_at_ms = now_ms + 1,
			.status = how == STORE_DUE_DONE ? 200 : 500};

		end_row(f, &r);
	}
	return len;
}

static struct store_endpoint endpoint_of(struct fixture *f, const char *url, int64_t at_ms)
{
	return (struct store_endpoint){
		.id = id_mint(&f->minter, ID_ENDPOINT, TENANT, (uint64_t)at_ms),
		.tenant = TENANT,
		.url = slice_text(url),
		.secret = slice_text("whsec_one"),
		.created_at_ms = at_ms,
	};
}

static struct id added(struct fixture *f, const char *tasks, uint32_t outcomes)
{
	struct store_endpoint e = endpoint_of(f, "http://registered/", T0);
	struct told t;

	e.tasks = slice_text(tasks);
	e.outcomes = outcomes;
	t = add(f, &e);
	assert_int_equal(t.what, STORE_ENDPOINT_DONE);
	return e.id;
}

static void assert_counts(
	struct fixture *f, const struct id *id, unsigned pending, unsigned delivered, unsigned dead)
{
	const struct store_task *t = task_now(f, id);

	assert_int_equal(t->deliveries_pending, pending);
	assert_int_equal(t->deliveries_delivered, delivered);
	assert_int_equal(t->deliveries_dead, dead);
}

static const struct store_delivery *only(struct fixture *f, const struct id *task)
{
	struct told t = deliveries_of(f, task);

	assert_int_equal(t.len, 1);
	return t.deliveries;
}

/* ---- deliveries ---- */

static void a_task_shows_its_deliveries_in_the_order_asked_for(void **state)
{
	struct fixture *f = *state;
	struct id endpoint = added(f, "", 0);
	struct id id = succeed(f,
		"[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"}},"
		"{\"channel\":\"email\",\"target\":{\"to\":\"a@b\"}},"
		"{\"channel\":\"webhook\",\"target\":{\"url\":\"http://c/\"}}]",
		T0);
	struct told t = deliveries_of(f, &id);

	assert_int_equal(t.task.presence, STORE_PRESENT);
	assert_int_equal(t.len, 4);
	assert_true(slice_is_text(t.deliveries[0].target, "{\"url\":\"http://a/\"}"));
	assert_true(slice_is_text(t.deliveries[1].target, "{\"to\":\"a@b\"}"));
	assert_true(slice_is_text(t.deliveries[1].channel, "email"));
	assert_true(slice_is_text(t.deliveries[2].target, "{\"url\":\"http://c/\"}"));
	assert_true(slice_is_text(t.deliveries[3].target, "{\"url\":\"http://registered/\"}"));
	assert_true(id_is_zero(&t.deliveries[0].endpoint));
	assert_true(id_is_equal(&t.deliveries[3].endpoint, &endpoint));
	for (size_t i = 0; i < t.len; i++) {
		assert_int_equal(t.deliveries[i].state, STORE_DELIVERY_PENDING);
		assert_int_equal(t.deliveries[i].next_at_ms, T0);
		assert_int_equal(t.deliveries[i].attempts_len, 0);
		assert_true(id_is_equal(&t.deliveries[i].task_id, &id));
	}
}

static void a_task_without_deliveries_has_none_and_an_unknown_one_is_absent(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, NULL, T0), unknown = new_id(f, T0);
	struct told t = deliveries_of(f, &id);

	assert_int_equal(t.task.presence, STORE_PRESENT);
	assert_int_equal(t.len, 0);
	t = deliveries_of(f, &unknown);
	assert_int_equal(t.task.presence, STORE_ABSENT);
	assert_int_equal(t.len, 0);
}

static void every_attempt_is_on_record(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	const struct store_delivery *d;
	const struct store_due *due;
	struct store_due_result r = {.how = STORE_DUE_AGAIN,
		.at_ms = T0 + 5,
		.again_at_ms = T0 + 100,
		.took_ms = 4,
		.status = 503,
		.error = slice_text("the receiver answered 503"),
		.response = slice_of("no\0pe", 5)};

	assert_int_equal(claim(f, T0, &due), 1);
	r.row = due->row;
	end_row(f, &r);
	d = only(f, &id);
	assert_true(id_is_equal(&d->id, &r.row));
	assert_int_equal(d->state, STORE_DELIVERY_PENDING);
	assert_int_equal(d->next_at_ms, T0 + 100);
	assert_int_equal(d->attempts_made, 1);
	assert_int_equal(d->attempts_len, 1);
	assert_int_equal(d->attempts[0].number, 1);
	assert_int_equal(d->attempts[0].at_ms, T0 + 5);
	assert_int_equal(d->attempts[0].took_ms, 4);
	assert_int_equal(d->attempts[0].status, 503);
	assert_true(slice_is_equal(d->attempts[0].error, r.error));
	assert_true(slice_is_equal(d->attempts[0].response, r.response));
	assert_int_equal(end_all(f, T0 + 100, STORE_DUE_DONE), 1);
	d = only(f, &id);
	assert_int_equal(d->state, STORE_DELIVERY_DELIVERED);
	assert_int_equal(d->next_at_ms, 0);
	assert_int_equal(d->attempts_len, 2);
	assert_int_equal(d->attempts[1].number, 2);
	assert_int_equal(d->attempts[1].status, 200);
	assert_false(slice_is_set(d->attempts[1].error));
}

static void of_many_attempts_the_newest_are_shown_and_all_are_counted(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	const struct store_delivery *d;

	for (int i = 0; i < STORE_ATTEMPTS_MAX + 7; i++)
		assert_int_equal(end_all(f, T0 + i, STORE_DUE_AGAIN), 1);
	d = only(f, &id);
	assert_int_equal(d->attempts_made, STORE_ATTEMPTS_MAX + 7);
	assert_int_equal(d->attempts_len, STORE_ATTEMPTS_MAX);
	assert_int_equal(d->attempts[0].number, 8);
	assert_int_equal(d->attempts[STORE_ATTEMPTS_MAX - 1].number, STORE_ATTEMPTS_MAX + 7);
}

static void a_delivery_is_its_tenants_only(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	struct id row = only(f, &id)->id;
	struct told t = delivery_by(f, &row, TENANT);

	assert_int_equal(t.len, 1);
	assert_int_equal(t.task.presence, STORE_PRESENT);
	assert_true(id_is_equal(&t.deliveries[0].id, &row));
	t = delivery_by(f, &row, OTHER);
	assert_int_equal(t.len, 0);
	assert_int_equal(t.task.presence, STORE_ABSENT);
	assert_int_equal(delivery_by(f, &id, TENANT).len, 0);
	assert_int_equal(retry(f, &row, OTHER, T0).retry, STORE_RETRY_ABSENT);
	assert_int_equal(retry(f, &id, TENANT, T0).retry, STORE_RETRY_ABSENT);
}

static void the_row_that_publishes_is_no_delivery(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_later later = later_of(&id, T0, T0 + 10);
	const struct store_due *due;

	assert_int_equal(insert_later(f, &later, 1), 0);
	assert_int_equal(deliveries_of(f, &id).len, 0);
	assert_int_equal(claim(f, T0 + 10, &due), 1);
	assert_int_equal(delivery_by(f, &due->row, TENANT).len, 0);
	assert_int_equal(retry(f, &due->row, TENANT, T0).retry, STORE_RETRY_ABSENT);
}

/* ---- again ---- */

static void a_dead_delivery_is_sent_again_under_its_id_and_counts_on(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	const struct store_due *due;
	struct id row;
	struct told t;

	assert_int_equal(end_all(f, T0, STORE_DUE_AGAIN), 1);
	assert_int_equal(end_all(f, T0 + 1, STORE_DUE_DEAD), 1);
	assert_counts(f, &id, 0, 0, 1);
	row = only(f, &id)->id;
	t = retry(f, &row, TENANT, T0 + 1000);
	assert_int_equal(t.retry, STORE_RETRY_DONE);
	assert_int_equal(t.len, 1);
	assert_int_equal(t.deliveries[0].state, STORE_DELIVERY_PENDING);
	assert_int_equal(t.deliveries[0].next_at_ms, T0 + 1000);
	assert_int_equal(t.deliveries[0].attempts_len, 2);
	assert_counts(f, &id, 1, 0, 0);
	assert_int_equal(retry(f, &row, TENANT, T0 + 1001).retry, STORE_RETRY_PENDING);
	assert_counts(f, &id, 1, 0, 0);
	assert_int_equal(claim(f, T0 + 999, &due), 0);
	assert_int_equal(claim(f, T0 + 1000, &due), 1);
	assert_true(id_is_equal(&due->row, &row));
	assert_int_equal(due->attempt, 0);
	assert_int_equal(due->due_at_ms, T0 + 1000);
	end_row(f, &(struct store_due_result){.row = row, .how = STORE_DUE_DONE, .at_ms = T0 + 1002});
	assert_counts(f, &id, 0, 1, 0);
	t = deliveries_of(f, &id);
	assert_int_equal(t.deliveries[0].attempts_len, 3);
	assert_int_equal(t.deliveries[0].attempts[2].number, 3);
}

static void a_delivered_one_can_be_sent_again_too(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	struct id row = only(f, &id)->id;

	assert_int_equal(retry(f, &row, TENANT, T0).retry, STORE_RETRY_PENDING);
	assert_int_equal(end_all(f, T0, STORE_DUE_DONE), 1);
	assert_int_equal(retry(f, &row, TENANT, T0 + 5).retry, STORE_RETRY_DONE);
	assert_counts(f, &id, 1, 0, 0);
	assert_int_equal(end_all(f, T0 + 5, STORE_DUE_DEAD), 1);
	assert_counts(f, &id, 0, 0, 1);
	assert_int_equal(retry(f, &row, TENANT, T0 + 6).retry, STORE_RETRY_DONE);
	assert_int_equal(end_all(f, T0 + 6, STORE_DUE_DONE), 1);
	assert_counts(f, &id, 0, 1, 0);
}

static void what_is_sent_again_keeps_the_content_until_it_has_ended(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	struct id row = only(f, &id)->id;
	struct store_sweep swept;

	assert_int_equal(end_all(f, T0, STORE_DUE_DEAD), 1);
	assert_int_equal(retry(f, &row, TENANT, T0 + DAY_MS - 1).retry, STORE_RETRY_DONE);
	assert_int_equal(sweep_store(f, T0 + DAY_MS + 1, 10, &swept), 0);
	assert_int_equal(swept.expired, 0);
	assert_int_equal(end_all(f, T0 + DAY_MS + 2, STORE_DUE_DONE), 1);
	assert_int_equal(sweep_store(f, T0 + DAY_MS + 3, 10, &swept), 0);
	assert_int_equal(swept.expired, 1);
	assert_int_equal(retry(f, &row, TENANT, T0 + DAY_MS + 4).retry, STORE_RETRY_ABSENT);
	assert_int_equal(deliveries_of(f, &id).task.presence, STORE_TOMBSTONE);
}

static void what_died_late_is_kept_for_as_long_as_a_result(void **state)
{
	struct fixture *f = *state;
	struct id id = succeed(f, TO_WEBHOOK, T0);
	struct store_sweep swept;
	struct id row;

	assert_int_equal(end_all(f, T0 + 3 * DAY_MS, STORE_DUE_DEAD), 1);
	row = only(f, &id)->id;
	assert_int_equal(sweep_store(f, T0 + 4 * DAY_MS - 1, 10, &swept), 0);
	assert_int_equal(swept.expired, 0);
	assert_int_equal(retry(f, &row, TENANT, T0 + 4 * DAY_MS - 1).retry, STORE_RETRY_DONE);
	assert_int_equal(end_all(f, T0 + 4 * DAY_MS - 1, STORE_DUE_DONE), 1);
	assert_int_equal(sweep_store(f, T0 + 4 * DAY_MS, 10, &swept), 0);
	assert_int_equal(swept.expired, 1);
	assert_int_equal(retry(f, &row, TENANT, T0 + 4 * DAY_MS).retry, STORE_RETRY_ABSENT);
}

static void a_replay_takes_the_dead_ones_of_a_time_in_small_steps(void **state)
{
	struct fixture *f = *state;
	struct store_replay r = {.tenant = TENANT,
		.since_ms = T0 + 2,
		.until_ms = T0 + 9,
		.limit = 3,
		.now_ms = T0 + DAY_MS / 2};
	struct told t;

	for (int i = 0; i < 12; i++) {
		succeed(f, TO_WEBHOOK, T0 + i);
		assert_int_equal(end_all(f, T0 + i, i == 4 ? STORE_DUE_DONE : STORE_DUE_DEAD), 1);
	}
	t = replay(f, &r);
	assert_int_equal(t.count, 3);
	assert_true(t.has_more);
	t = replay(f, &r);
	assert_int_equal(t.count, 3);
	assert_false(t.has_more);
	t = replay(f, &r);
	assert_int_equal(t.count, 0);
	assert_false(t.has_more);
	assert_int_equal(end_all(f, r.now_ms - 1, STORE_DUE_DONE), 0);
	assert_int_equal(end_all(f, r.now_ms, STORE_DUE_DONE), 6);
	r.since_ms = 0;
	r.until_ms = INT64_MAX;
	r.limit = STORE_REPLAY_MAX;
	assert_int_equal(replay(f, &r).count, 5);
}

static void what_two_send_again_at_once_is_sent_again_once(void **state)
{
	enum { ALL = 60 };
	struct fixture *f = *state, other;
	struct told t[4] = {{.f = f}, {.f = f}, {.f = f}, {.f = f}};
	struct store_replay r = {.tenant = TENANT, .until_ms = INT64_MAX, .limit = ALL, .now_ms = T0 + 1};
	struct id ids[ALL], row;
	const struct store_due *due;

	for (size_t i = 0; i < ALL; i++)
		ids[i] = succeed(f, TO_WEBHOOK, T0);
	assert_int_equal(end_all(f, T0, STORE_DUE_DEAD), ALL);
	row = only(f, &ids[0])->id;
	fixture_join(&other, f);
	assert_int_equal(store_deliveries_replay(f->store, &r, on_replayed, &t[0]), 0);
	assert_int_equal(store_deliveries_replay(other.store, &r, on_replayed, &t[1]), 0);
	assert_int_equal(store_delivery_retry(f->store, &row, TENANT, T0 + 1, on_retried, &t[2]), 0);
	assert_int_equal(store_delivery_retry(other.store, &row, TENANT, T0 + 1, on_retried, &t[3]), 0);
	for (size_t i = 0; i < 4; i++)
		await(&t[i], 0);
	assert_int_equal(
		t[0].count + t[1].count + (t[2].retry == STORE_RETRY_DONE) + (t[3].retry == STORE_RETRY_DONE),
		ALL);
	for (size_t i = 0; i < ALL; i++)
		assert_counts(f, &ids[i], 1, 0, 0);
	assert_int_equal(claim(f, T0 + 1, &due), ALL);
	fixture_close(&other);
}

static void a_replay_is_one_tenants_and_one_channels(void **state)
{
	struct fixture *f = *state;
	struct store_replay r = {.tenant = OTHER, .until_ms = INT64_MAX, .limit = 10, .now_ms = T0 + 1};
	struct id id = succeed(f,
		"[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"}},"
		"{\"channel\":\"email\",\"target\":{\"to\":\"a@b\"}}]",
		T0);

	assert_int_equal(end_all(f, T0, STORE_DUE_DEAD), 2);
	assert_int_equal(replay(f, &r).count, 0);
	r.tenant = TENANT;
	r.channel = slice_text("sms");
	assert_int_equal(replay(f, &r).count, 0);
	r.channel = slice_text("email");
	assert_int_equal(replay(f, &r).count, 1);
	assert_counts(f, &id, 1, 0, 1);
	r.channel = slice_of(NULL, 0);
	assert_int_equal(replay(f, &r).count, 1);
	assert_counts(f, &id, 2, 0, 0);
}

static void a_replay_can_be_of_one_endpoint_and_leaves_out_those_disabled(void **state)
{
	struct fixture *f = *state;
	struct id first = added(f, "", 0), second = added(f, "", 0);
	const struct store_endpoint_change off = {.has_enabled = true, .now_ms = T0 + 5};
	struct store_replay r = {.tenant = TENANT, .until_ms = INT64_MAX, .limit = 10, .now_ms = T0 + 1};

	succeed(f, TO_WEBHOOK, T0);
	assert_int_equal(end_all(f, T0, STORE_DUE_DEAD), 3);
	r.endpoint = first;
	assert_int_equal(replay(f, &r).count, 1);
	assert_int_equal(end_all(f, T0 + 1, STORE_DUE_DEAD), 1);
	r.channel = slice_text("webhook");
	assert_int_equal(replay(f, &r).count, 1);
	assert_int_equal(end_all(f, T0 + 1, STORE_DUE_DEAD), 1);
	change(f, &first, &off);
	drop(f, &second, TENANT);
	assert_int_equal(replay(f, &r).count, 0);
	r.endpoint = (struct id){0};
	assert_int_equal(replay(f, &r).count, 1);
}

/* ---- endpoints, kept ---- */

static void an_endpoint_comes_back_as_it_was_made(void **state)
{
	struct fixture *f = *state;
	struct store_endpoint e = endpoint_of(f, "http://a/", T0);
	struct told t;

	e.description = slice_text("of mine");
	e.tasks = slice_text("echo,img.*");
	e.outcomes = 1u << TASK_FAILED | 1u << TASK_DEAD;
	t = add(f, &e);
	assert_int_equal(t.what, STORE_ENDPOINT_DONE);
	assert_int_equal(t.len, 1);
	t = get(f, &e.id, TENANT);
	assert_int_equal(t.len, 1);
	assert_true(id_is_equal(&t.endpoints->id, &e.id));
	assert_true(slice_is_text(t.endpoints->tenant, "acme"));
	assert_true(slice_is_text(t.endpoints->url, "http://a/"));
	assert_true(slice_is_text(t.endpoints->description, "of mine"));
	assert_true(slice_is_text(t.endpoints->tasks, "echo,img.*"));
	assert_int_equal(t.endpoints->outcomes, e.outcomes);
	assert_true(slice_is_text(t.endpoints->secret, "whsec_one"));
	assert_false(slice_is_set(t.endpoints->old_secrets));
	assert_int_equal(t.endpoints->created_at_ms, T0);
	assert_int_equal(t.endpoints->updated_at_ms, T0);
	assert_true(t.endpoints->is_enabled);
	assert_int_equal(t.endpoints->disabled_at_ms, 0);
	assert_int_equal(t.endpoints->failing_since_ms, 0);
}

static void adding_an_endpoint_twice_adds_it_once(void **state)
{
	struct fixture *f = *state;
	struct store_endpoint e = endpoint_of(f, "http://a/", T0);

	add(f, &e);
	e.url = slice_text("http://b/");
	assert_true(slice_is_text(add(f, &e).endpoints->url, "http://a/"));
	assert_int_equal(list(f, TENANT).len, 1);
}

static void a_tenant_has_so_many_endpoints_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct store_endpoint e;
	struct told t;

	for (int i = 0; i < STORE_ENDPOINTS_MAX; i++) {
		e = endpoint_of(f, "http://a/", T0 + i);
		assert_int_equal(add(f, &e).what, STORE_ENDPOINT_DONE);
	}
	assert_int_equal(add(f, &e).what, STORE_ENDPOINT_DONE);
	e = endpoint_of(f, "http://a/", T0);
	t = add(f, &e);
	assert_int_equal(t.what, STORE_ENDPOINT_TOO_MANY);
	assert_int_equal(t.len, 0);
	t = list(f, TENANT);
	assert_int_equal(t.len, STORE_ENDPOINTS_MAX);
	for (size_t i = 1; i < t.len; i++)
		assert_true(t.endpoints[i - 1].created_at_ms < t.endpoints[i].created_at_ms);
}

static void an_endpoint_is_its_tenants_only(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	struct told t = get(f, &id, OTHER);

	assert_int_equal(t.what, STORE_ENDPOINT_ABSENT);
	assert_int_equal(t.len, 0);
	assert_int_equal(list(f, OTHER).len, 0);
	assert_int_equal(drop(f, &id, OTHER).what, STORE_ENDPOINT_ABSENT);
	assert_int_equal(list(f, TENANT).len, 1);
	assert_int_equal(drop(f, &id, TENANT).what, STORE_ENDPOINT_DONE);
	assert_int_equal(drop(f, &id, TENANT).what, STORE_ENDPOINT_ABSENT);
	assert_int_equal(get(f, &id, TENANT).what, STORE_ENDPOINT_ABSENT);
}

static void a_change_changes_what_it_names_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "echo", 0);
	struct store_endpoint_change c = {
		.url = slice_text("http://new/"), .description = slice_text("new"), .now_ms = T0 + 1};
	struct told t = change(f, &id, &c);

	assert_true(slice_is_text(t.endpoints->url, "http://new/"));
	assert_true(slice_is_text(t.endpoints->description, "new"));
	assert_true(slice_is_text(t.endpoints->tasks, "echo"));
	assert_true(slice_is_text(t.endpoints->secret, "whsec_one"));
	assert_int_equal(t.endpoints->updated_at_ms, T0 + 1);
	c = (struct store_endpoint_change){.description = slice_text(""),
		.tasks = slice_text(""),
		.has_outcomes = true,
		.outcomes = 1u << TASK_DEAD,
		.now_ms = T0 + 2};
	change(f, &id, &c);
	t = get(f, &id, TENANT);
	assert_true(slice_is_text(t.endpoints->url, "http://new/"));
	assert_false(slice_is_set(t.endpoints->description));
	assert_true(slice_is_text(t.endpoints->tasks, ""));
	assert_int_equal(t.endpoints->outcomes, 1u << TASK_DEAD);
	c.tasks = slice_text("x");
	id = new_id(f, T0);
	assert_int_equal(change(f, &id, &c).what, STORE_ENDPOINT_ABSENT);
}

/* ---- endpoints and outcomes ---- */

static void an_endpoint_gets_the_outcomes_that_it_wants(void **state)
{
	static const struct {
		const char *tasks;
		uint32_t outcomes;
	} endpoints[] = {
		{"", 0}, {"echo", 0}, {"img.*", 0}, {"", 1u << TASK_FAILED}, {"echo", 1u << TASK_SUCCEEDED}};
	struct fixture *f = *state;
	struct id id;

	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
		added(f, endpoints[i].tasks, endpoints[i].outcomes);
	id = end_task(f, STORE_EVENT_SUCCEEDED, slice_text("echo"), NULL, T0);
	assert_counts(f, &id, 3, 0, 0);
	assert_int_equal(deliveries_of(f, &id).len, 3);
	id = end_task(f, STORE_EVENT_FAILED, slice_text("echo"), TO_WEBHOOK, T0);
	assert_counts(f, &id, 4, 0, 0);
	id = end_task(f, STORE_EVENT_CANCELED, slice_text("img.small"), NULL, T0);
	assert_counts(f, &id, 2, 0, 0);
	id = end_task(f, STORE_EVENT_RETRY, slice_text("echo"), NULL, T0);
	assert_counts(f, &id, 0, 0, 0);
}

static void what_the_store_ends_by_itself_is_told_to_endpoints_too(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0), next = new_id(f, T0);
	struct store_later later[2] = {later_of(&id, T0, T0 + DAY_MS), later_of(&next, T0, 0)};
	enum store_cancel what;

	added(f, "", 1u << TASK_CANCELED);
	later[1].waits = STORE_WAITS_TASK;
	later[1].waits_for = id;
	assert_int_equal(insert_later(f, later, 2), 0);
	assert_int_equal(cancel_task(f, &id, T0 + 1, &what), 0);
	assert_int_equal(what, STORE_CANCEL_DONE);
	assert_counts(f, &id, 1, 0, 0);
	assert_counts(f, &next, 1, 0, 0);
}

static void another_tenants_outcome_is_none_of_an_endpoints(void **state)
{
	struct fixture *f = *state;
	struct id id = id_mint(&f->minter, ID_TASK, OTHER, (uint64_t)T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	struct store_applied a;

	added(f, "", 0);
	e.tenant = OTHER;
	assert_int_equal(apply_one(f, &e, &a), 0);
	assert_counts(f, &id, 0, 0, 0);
}

static void outcomes_of_many_tenants_in_one_batch_go_to_their_own_endpoints(void **state)
{
	enum { TENANTS = 5, EACH = 20, ALL = TENANTS * EACH };
	struct fixture *f = *state;
	struct store_event events[ALL];
	struct store_applied applied[ALL];
	struct id ids[ALL];
	char names[TENANTS][8];

	for (size_t i = 0; i < TENANTS; i++) {
		struct store_endpoint e = endpoint_of(f, "http://a/", T0);

		snprintf(names[i], sizeof names[i], "t%zu", i);
		e.tenant = slice_text(names[i]);
		for (size_t k = 0; k < i; k++) {
			e.id = id_mint(&f->minter, ID_ENDPOINT, e.tenant, (uint64_t)T0);
			add(f, &e);
		}
	}
	for (size_t i = 0; i < ALL; i++) {
		ids[i] = new_id(f, T0);
		events[i] = event_of(STORE_EVENT_SUCCEEDED, &ids[i], 1, T0);
		events[i].tenant = slice_text(names[i % TENANTS]);
	}
	assert_int_equal(apply_all(f, events, ALL, applied), 0);
	for (size_t i = 0; i < ALL; i++)
		assert_counts(f, &ids[i], (unsigned)(i % TENANTS), 0, 0);
}

/* The one before the present one, as far as it is valid still. */
static void assert_old(struct slice all, const char *secret, int64_t until_ms)
{
	struct slice found;
	int64_t found_until_ms;

	assert_true(endpoint_next_old_secret(&all, &found, &found_until_ms));
	assert_true(slice_is_text(found, secret));
	assert_int_equal(found_until_ms, until_ms);
}

static void what_is_claimed_has_the_endpoint_as_it_is_then(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0), task = succeed(f, NULL, T0);
	const struct store_endpoint_change moved = {.url = slice_text("http://moved/"), .now_ms = T0};
	const struct store_due *due;

	assert_int_equal(claim(f, T0, &due), 1);
	assert_true(id_is_equal(&due->endpoint, &id));
	assert_true(slice_is_text(due->target, "{\"url\":\"http://registered/\"}"));
	assert_true(slice_is_text(due->secret, "whsec_one"));
	assert_int_equal(due->old_secrets.len, 0);
	end_row(f, &(struct store_due_result){
			   .row = due->row, .how = STORE_DUE_AGAIN, .at_ms = T0, .again_at_ms = T0 + 5});
	rotate(f, &id, "whsec_two", T0 + 10, T0);
	change(f, &id, &moved);
	assert_int_equal(claim(f, T0 + 5, &due), 1);
	assert_true(slice_is_text(due->target, "{\"url\":\"http://moved/\"}"));
	assert_true(slice_is_text(due->secret, "whsec_two"));
	assert_old(due->old_secrets, "whsec_one", T0 + 10);
	assert_true(slice_is_text(only(f, &task)->target, "{\"url\":\"http://moved/\"}"));
}

/* A notifier whose lease ended while it sent may have claimed the row once more itself. */
static void of_two_results_of_a_row_one_counts(void **state)
{
	struct fixture *f = *state;
	struct store_due_result both[2];
	const struct store_due *due;
	struct id task;

	added(f, "", 0);
	task = succeed(f, NULL, T0);
	assert_int_equal(claim(f, T0, &due), 1);
	both[0] = both[1] = (struct store_due_result){.row = due->row, .how = STORE_DUE_DONE, .at_ms = T0};
	assert_int_equal(end_due(f, 1, both, 2), 0);
	assert_int_equal(task_now(f, &task)->deliveries_pending, 0);
	assert_int_equal(task_now(f, &task)->deliveries_delivered, 1);
}

/* Whoever was not told whether it was rotated says it once more; the secret that receivers know must not go by that. */
static void a_secret_that_is_given_twice_is_rotated_once(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	struct told t;

	rotate(f, &id, "whsec_two", T0 + 10, T0);
	t = rotate(f, &id, "whsec_two", T0 + 20, T0 + 5);
	assert_true(slice_is_text(t.endpoints->secret, "whsec_two"));
	assert_old(t.endpoints->old_secrets, "whsec_one", T0 + 10);
}

/* Receivers may have any of them still. */
static void a_second_rotation_leaves_the_first_secret_valid(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	const struct store_due *due;
	char text[96];

	rotate(f, &id, "whsec_two", T0 + 10, T0);
	rotate(f, &id, "whsec_three", T0 + 20, T0 + 5);
	succeed(f, NULL, T0);
	assert_int_equal(claim(f, T0 + 5, &due), 1);
	assert_true(slice_is_text(due->secret, "whsec_three"));
	snprintf(text, sizeof text, "%lld whsec_two,%lld whsec_one", (long long)T0 + 20, (long long)T0 + 10);
	assert_true(slice_is_text(due->old_secrets, text));
}

static void no_endpoint_has_more_secrets_than_sign_a_message(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	char secret[16];

	for (int i = 1; i <= STORE_ENDPOINT_OLD_SECRETS_MAX; i++) {
		snprintf(secret, sizeof secret, "whsec_%d", i);
		assert_int_equal(rotate(f, &id, secret, T0 + 10, T0).what, STORE_ENDPOINT_DONE);
	}
	assert_int_equal(rotate(f, &id, "whsec_more", T0 + 10, T0).what, STORE_ENDPOINT_TOO_MANY_SECRETS);
	assert_true(slice_is_text(get(f, &id, TENANT).endpoints->secret, secret));
	assert_int_equal(rotate(f, &id, "whsec_more", T0, T0).what, STORE_ENDPOINT_DONE);
	assert_int_equal(get(f, &id, TENANT).endpoints->old_secrets.len, 0);
}

static void on_claimed(int rc, const struct store_due *due, size_t len, int64_t next_due_ms, void *arg)
{
	struct told *t = arg;

	assert_int_equal(len, 1);
	assert_true(slice_is_text(due->secret, "whsec_two"));
	assert_old(due->old_secrets, "whsec_one", T0 + 10);
	assert_true(slice_is_text(due->target, "{\"url\":\"http://registered/\"}"));
	come(t, rc);
}

/* Calls that are committed together are told one after the other, and each has what it was told for itself. */
static void many_who_claim_at_once_each_have_the_endpoint(void **state)
{
	enum { ALL = 40 };
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	struct told t[ALL];

	rotate(f, &id, "whsec_two", T0 + 10, T0);
	for (size_t i = 0; i < ALL; i++)
		succeed(f, NULL, T0);
	for (size_t i = 0; i < ALL; i++) {
		t[i] = (struct told){.f = f};
		assert_int_equal(store_due_claim(f->store, 1, "webhook", T0, 30000, 1, on_claimed, &t[i]), 0);
	}
	for (size_t i = 0; i < ALL; i++)
		await(&t[i], 0);
}

static void assert_not_sent(struct fixture *f, const struct id *task, const char *why)
{
	const struct store_delivery *d;
	const struct store_due *due;

	assert_int_equal(claim(f, T0 + 5, &due), 0);
	d = only(f, task);
	assert_int_equal(d->state, STORE_DELIVERY_DEAD);
	assert_int_equal(d->attempts_len, 1);
	assert_true(slice_is_text(d->attempts[0].error, why));
	assert_counts(f, task, 0, 0, 1);
	assert_int_equal(retry(f, &d->id, TENANT, T0 + 6).retry, STORE_RETRY_NO_ENDPOINT);
	assert_counts(f, task, 0, 0, 1);
}

/* However far away its next attempt was. */
static void what_waits_for_an_endpoint_that_goes_ends_at_once(void **state)
{
	struct fixture *f = *state;
	const struct store_endpoint_change off = {.has_enabled = true, .now_ms = T0 + 1};
	struct id removed = added(f, "", 0), disabled = added(f, "", 0), stays = added(f, "", 0);
	struct id task = succeed(f, NULL, T0);
	const struct store_due *due;
	size_t len = claim(f, T0, &due);

	assert_int_equal(len, 3);
	for (size_t i = 0; i < len; i++)
		end_row(f, &(struct store_due_result){.row = due[i].row,
				   .how = STORE_DUE_AGAIN,
				   .at_ms = T0,
				   .again_at_ms = T0 + DAY_MS});
	drop(f, &removed, TENANT);
	change(f, &disabled, &off);
	assert_int_equal(claim(f, T0 + 2, &due), 0);
	assert_counts(f, &task, 1, 0, 2);
	assert_int_equal(claim(f, T0 + DAY_MS, &due), 1);
	assert_true(id_is_equal(&due->endpoint, &stays));
}

static void what_is_under_way_to_an_endpoint_that_goes_is_not_tried_again(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0), task = succeed(f, NULL, T0);
	const struct store_due *due;

	assert_int_equal(claim(f, T0, &due), 1);
	drop(f, &id, TENANT);
	end_row(f, &(struct store_due_result){.row = due->row,
			   .how = STORE_DUE_AGAIN,
			   .at_ms = T0 + 5,
			   .again_at_ms = T0 + DAY_MS});
	assert_int_equal(claim(f, T0 + 5, &due), 0);
	assert_counts(f, &task, 0, 0, 1);
	assert_int_equal(only(f, &task)->attempts_len, 2);
}

static void what_is_pending_for_a_removed_endpoint_ends_dead_and_says_why(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0), task = succeed(f, NULL, T0);

	drop(f, &id, TENANT);
	assert_not_sent(f, &task, "not sent: its endpoint was removed");
	task = succeed(f, NULL, T0);
	assert_counts(f, &task, 0, 0, 0);
}

static void what_is_pending_for_a_disabled_endpoint_ends_dead_and_can_be_sent_when_it_is_enabled(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0), task = succeed(f, NULL, T0), later;
	struct store_endpoint_change c = {
		.has_enabled = true, .reason = slice_text("for repairs"), .now_ms = T0 + 1};
	struct told t = change(f, &id, &c);

	assert_false(t.endpoints->is_enabled);
	assert_int_equal(t.endpoints->disabled_at_ms, T0 + 1);
	assert_true(slice_is_text(t.endpoints->disabled_reason, "for repairs"));
	assert_not_sent(f, &task, "not sent: its endpoint is disabled");
	later = succeed(f, NULL, T0);
	assert_counts(f, &later, 0, 0, 0);
	c = (struct store_endpoint_change){.has_enabled = true, .is_enabled = true, .now_ms = T0 + 7};
	t = change(f, &id, &c);
	assert_true(t.endpoints->is_enabled);
	assert_int_equal(t.endpoints->disabled_at_ms, 0);
	assert_false(slice_is_set(t.endpoints->disabled_reason));
	assert_int_equal(retry(f, &only(f, &task)->id, TENANT, T0 + 8).retry, STORE_RETRY_DONE);
	assert_int_equal(end_all(f, T0 + 8, STORE_DUE_DONE), 1);
}

/* ---- failing ---- */

static void fail_at(struct fixture *f, int64_t now_ms, int32_t status, enum store_due_end how)
{
	const struct store_due *due;

	assert_int_equal(claim(f, now_ms, &due), 1);
	end_row(f, &(struct store_due_result){.row = due->row,
			   .how = how,
			   .at_ms = now_ms,
			   .again_at_ms = now_ms + 10,
			   .status = status,
			   .disable_after_ms = 100});
}

static void an_endpoint_that_only_fails_for_long_is_disabled(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	struct told t;

	succeed(f, NULL, T0);
	for (int at = 0; at < 100; at += 10) {
		fail_at(f, T0 + at, 500, STORE_DUE_AGAIN);
		t = get(f, &id, TENANT);
		assert_true(t.endpoints->is_enabled);
		assert_int_equal(t.endpoints->failing_since_ms, T0);
	}
	fail_at(f, T0 + 100, 500, STORE_DUE_AGAIN);
	t = get(f, &id, TENANT);
	assert_false(t.endpoints->is_enabled);
	assert_int_equal(t.endpoints->disabled_at_ms, T0 + 100);
	assert_true(t.endpoints->disabled_reason.len > 0);
}

static void a_success_forgives_all_failures(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);

	succeed(f, NULL, T0);
	fail_at(f, T0, 500, STORE_DUE_AGAIN);
	fail_at(f, T0 + 10, 200, STORE_DUE_DONE);
	assert_int_equal(get(f, &id, TENANT).endpoints->failing_since_ms, 0);
	succeed(f, NULL, T0 + 150);
	fail_at(f, T0 + 150, 500, STORE_DUE_DEAD);
	assert_int_equal(get(f, &id, TENANT).endpoints->failing_since_ms, T0 + 150);
	assert_true(get(f, &id, TENANT).endpoints->is_enabled);
}

static void what_was_not_tried_is_no_failure(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);

	succeed(f, NULL, T0);
	fail_at(f, T0, 0, STORE_DUE_LATER);
	assert_int_equal(get(f, &id, TENANT).endpoints->failing_since_ms, 0);
}

static void an_endpoint_that_says_it_is_gone_is_disabled_at_once(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);

	succeed(f, NULL, T0);
	fail_at(f, T0, 410, STORE_DUE_DEAD);
	assert_false(get(f, &id, TENANT).endpoints->is_enabled);
}

static void a_new_url_and_enabling_begin_anew(void **state)
{
	struct fixture *f = *state;
	struct id id = added(f, "", 0);
	struct store_endpoint_change moved = {.url = slice_text("http://b/"), .now_ms = T0};

	succeed(f, NULL, T0);
	fail_at(f, T0, 500, STORE_DUE_AGAIN);
	change(f, &id, &moved);
	assert_int_equal(get(f, &id, TENANT).endpoints->failing_since_ms, 0);
	fail_at(f, T0 + 200, 500, STORE_DUE_AGAIN);
	assert_true(get(f, &id, TENANT).endpoints->is_enabled);
}

int conformance_run_deliveries(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_task_shows_its_deliveries_in_the_order_asked_for),
		TEST(a_task_without_deliveries_has_none_and_an_unknown_one_is_absent),
		TEST(every_attempt_is_on_record),
		TEST(of_many_attempts_the_newest_are_shown_and_all_are_counted),
		TEST(a_delivery_is_its_tenants_only),
		TEST(the_row_that_publishes_is_no_delivery),
		TEST(a_dead_delivery_is_sent_again_under_its_id_and_counts_on),
		TEST(a_delivered_one_can_be_sent_again_too),
		TEST(what_is_sent_again_keeps_the_content_until_it_has_ended),
		TEST(what_died_late_is_kept_for_as_long_as_a_result),
		TEST(a_replay_takes_the_dead_ones_of_a_time_in_small_steps),
		TEST(what_two_send_again_at_once_is_sent_again_once),
		TEST(a_replay_is_one_tenants_and_one_channels),
		TEST(a_replay_can_be_of_one_endpoint_and_leaves_out_those_disabled),
		TEST(an_endpoint_comes_back_as_it_was_made),
		TEST(adding_an_endpoint_twice_adds_it_once),
		TEST(a_tenant_has_so_many_endpoints_and_no_more),
		TEST(an_endpoint_is_its_tenants_only),
		TEST(a_change_changes_what_it_names_and_nothing_else),
		TEST(an_endpoint_gets_the_outcomes_that_it_wants),
		TEST(what_the_store_ends_by_itself_is_told_to_endpoints_too),
		TEST(another_tenants_outcome_is_none_of_an_endpoints),
		TEST(outcomes_of_many_tenants_in_one_batch_go_to_their_own_endpoints),
		TEST(what_is_claimed_has_the_endpoint_as_it_is_then),
		TEST(a_secret_that_is_given_twice_is_rotated_once),
		TEST(a_second_rotation_leaves_the_first_secret_valid),
		TEST(no_endpoint_has_more_secrets_than_sign_a_message),
		TEST(of_two_results_of_a_row_one_counts),
		TEST(many_who_claim_at_once_each_have_the_endpoint),
		TEST(what_waits_for_an_endpoint_that_goes_ends_at_once),
		TEST(what_is_under_way_to_an_endpoint_that_goes_is_not_tried_again),
		TEST(what_is_pending_for_a_removed_endpoint_ends_dead_and_says_why),
		TEST(what_is_pending_for_a_disabled_endpoint_ends_dead_and_can_be_sent_when_it_is_enabled),
		TEST(an_endpoint_that_only_fails_for_long_is_disabled),
		TEST(a_success_forgives_all_failures),
		TEST(what_was_not_tried_is_no_failure),
		TEST(an_endpoint_that_says_it_is_gone_is_disabled_at_once),
		TEST(a_new_url_and_enabling_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
