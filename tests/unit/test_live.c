/*
 * The hub, with a real store and a broker connection that is never made: events are handed to it as they would come.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/live_internal.h"
#include "runtime/clock.h"
#include "tests/unit/store_fixture.h"

enum { FOLLOWERS_MAX = 8 };

struct rig {
	struct fixture *f;
	struct broker *broker;
	struct service service;
	struct live *live;
	struct ear *ears; /* all that were made */
};

/* A follower, and what it was told: "queued/0 running/1 succeeded/2!", with ! after the last. */
struct ear {
	struct ear *next;
	struct live_follower *follower;
	struct buf told;
	struct buf document;
	struct ear *unfollows; /* at the next change */
	bool is_stopped;
};

static void leave(struct ear *e)
{
	e->is_stopped = true;
	live_unfollow(e->follower);
	e->follower = NULL;
}

static void on_change(const struct live_change *change, void *arg)
{
	struct ear *e = arg;

	assert_false(e->is_stopped);
	if (e->told.len > 0)
		buf_append_byte(&e->told, ' ');
	if (!change->task) {
		buf_append_text(&e->told, "start");
		return;
	}
	buf_printf(&e->told, "%s/%d%s",
		slice_is_set(change->document) ? task_state_name(change->task->state) : "gone",
		(int)change->rev, change->is_last ? "!" : "");
	buf_reset(&e->document);
	buf_append_slice(&e->document, change->document);
	if (e->unfollows)
		leave(e->unfollows);
	e->unfollows = NULL;
}

static struct ear *ear_new(struct rig *r)
{
	struct ear *e = calloc(1, sizeof *e);

	assert_non_null(e);
	buf_init(&e->told, 10000);
	buf_init(&e->document, 1000000);
	e->next = r->ears;
	r->ears = e;
	return e;
}

static void ears_free(struct rig *r)
{
	for (struct ear *e = r->ears, *next; e; e = next) {
		next = e->next;
		leave(e);
		buf_done(&e->told);
		buf_done(&e->document);
		free(e);
	}
}

static void assert_told(struct ear *e, const char *expected)
{
	assert_string_equal(buf_text(&e->told), expected);
}

static void await_told(struct rig *r, struct ear *e, const char *expected)
{
	int64_t until_ms = clock_mono_ms() + 30000;

	while (strcmp(buf_text(&e->told), expected) != 0 && clock_mono_ms() < until_ms)
		event_base_loop(loop_base(r->f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_told(e, expected);
}

static struct ear *follow(struct rig *r, const struct id *id, uint64_t seen)
{
	struct ear *e = ear_new(r);

	assert_int_equal(live_follow(r->live, NULL, id, seen, on_change, e, &e->follower), 0);
	assert_told(e, "");
	return e;
}

static struct ear *follow_queued(struct rig *r, const struct id *id)
{
	struct ear *e = follow(r, id, 0);

	await_told(r, e, "queued/0");
	return e;
}

/* Whatever is on its way is told; nothing that waits for time. */
static void settle(struct rig *r)
{
	const struct store_task *t;
	struct id id = new_id(r->f, T0);

	for (int i = 0; i < 3; i++)
		assert_int_equal(get_task(r->f, &id, 0, &t), 0);
}

/* ---- what services would say ---- */

static struct store_task task_of(const struct id *id, enum task_state state, uint64_t rev)
{
	return (struct store_task){
		.presence = STORE_PRESENT,
		.id = *id,
		.tenant = TENANT,
		.task = TASK,
		.state = state,
		.rev = rev,
		.attempt = 1,
		.created_at_ms = T0,
	};
}

static void hear_task(struct rig *r, const struct store_task *task)
{
	struct live_event e;
	struct buf bytes;

	buf_init(&bytes, 100000);
	live_event_of_task(task, &e);
	assert_int_equal(live_event_encode(&e, &bytes), 0);
	live_on_event(r->live, buf_slice(&bytes));
	live_pump(r->live);
	buf_done(&bytes);
}

static void hear(struct rig *r, const struct id *id, enum task_state state, uint64_t rev)
{
	struct store_task task = task_of(id, state, rev);

	hear_task(r, &task);
}

static void store_kind(struct rig *r, const struct id *id, enum store_event_kind kind, uint64_t seq)
{
	struct store_event e = event_of(kind, id, 1, clock_wall_ms());
	struct store_applied a;

	e.seq = seq;
	assert_int_equal(apply_one(r->f, &e, &a), 0);
	assert_true(a.has_changed);
}

/* It ends with a result that the store has and the event only tells of. */
static void succeed_with(struct rig *r, const struct id *id, struct slice json)
{
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, id, 1, clock_wall_ms());
	struct store_task told = task_of(id, TASK_SUCCEEDED, 1);
	struct store_applied a;

	e.result = json;
	e.content_type = slice_text("application/json");
	e.result_is_json = true;
	assert_int_equal(apply_one(r->f, &e, &a), 0);
	told.result_is_json = true;
	told.result_len = (int64_t)json.len;
	hear_task(r, &told);
}

static void connect_live(struct rig *r)
{
	r->live->is_connected = true;
	for (size_t i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		r->live->shards[i].state = SHARD_BOUND;
}

static struct id fresh_id(struct rig *r)
{
	return new_id(r->f, clock_wall_ms());
}

/* ---- the rig ---- */

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	struct broker_options opt = {.url = "amqp://127.0.0.1:1/", .message_max = 1 << 20, .queue_max = 16};
	struct live_config config = {
		.service = &r->service, .followers_max = FOLLOWERS_MAX, .lifetime_ms = 14 * DAY_MS};
	void *fixture;

	if (fixture_setup(&fixture) < 0)
		return -1;
	r->f = fixture;
	assert_int_equal(broker_new(r->f->loop, &opt, &r->broker), 0);
	r->service = (struct service){
		.name = "gateway", .instance = "test", .loop = r->f->loop, .consume = r->broker};
	config.store = r->f->store;
	assert_int_equal(live_new(&config, &r->live), 0);
	connect_live(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	void *fixture = r->f;

	ears_free(r);
	fixture_stop_store(r->f);
	live_free(r->live);
	broker_free(r->broker);
	fixture_start_store(r->f);
	fixture_teardown(&fixture);
	free(r);
	return 0;
}

/* ---- in order, once ---- */

static void changes_are_told_once_and_in_order(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_queued(r, &id);

	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_RUNNING, 2);
	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_SUCCEEDED, 3);
	hear(r, &id, TASK_SUCCEEDED, 4);
	assert_told(e, "queued/0 running/1 running/2 succeeded/3!");
}

static void one_that_comes_too_early_waits_for_its_turn(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_queued(r, &id);

	hear(r, &id, TASK_RUNNING, 3);
	hear(r, &id, TASK_RUNNING, 2);
	hear(r, &id, TASK_RUNNING, 2);
	assert_told(e, "queued/0");
	hear(r, &id, TASK_RUNNING, 1);
	assert_told(e, "queued/0 running/1 running/2 running/3");
	hear(r, &id, TASK_RUNNING, 4);
	assert_told(e, "queued/0 running/1 running/2 running/3 running/4");
}

static void one_that_is_lost_is_not_waited_for_for_long(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct live_stats stats;
	struct ear *e = follow_queued(r, &id);

	hear(r, &id, TASK_RUNNING, 2);
	hear(r, &id, TASK_SUCCEEDED, 4);
	await_told(r, e, "queued/0 running/2 succeeded/4!");
	live_stats(r->live, &stats);
	assert_int_equal(stats.gaps, 1);
}

static void one_that_stands_for_several_waits_for_none_of_them(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct store_task both = task_of(&id, TASK_SUCCEEDED, 3);
	struct live_stats stats;
	struct ear *e = follow_queued(r, &id);

	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_SUCCEEDED, 3);
	both.span = 2;
	hear_task(r, &both);
	assert_told(e, "queued/0 running/1 succeeded/3!");
	live_stats(r->live, &stats);
	assert_int_equal(stats.gaps, 0);
}

static void not_too_many_are_held_back(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_queued(r, &id);

	for (uint64_t rev = 2; rev < 2 + LIVE_HELD_MAX; rev++)
		hear(r, &id, TASK_RUNNING, rev);
	assert_told(e, "queued/0");
	hear(r, &id, TASK_SUCCEEDED, 2 + LIVE_HELD_MAX);
	assert_non_null(strstr(buf_text(&e->told), "running/2 running/3"));
	assert_non_null(strstr(buf_text(&e->told), "succeeded/18!"));
}

/* ---- beginning ---- */

static void a_new_follower_hears_what_the_store_says_and_then_what_comes(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e;

	store_kind(r, &id, STORE_EVENT_STARTED, 0);
	store_kind(r, &id, STORE_EVENT_PROGRESS, 1);
	e = follow(r, &id, 0);
	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_RUNNING, 2);
	await_told(r, e, "running/2");
	hear(r, &id, TASK_RUNNING, 3);
	assert_told(e, "running/2 running/3");
}

static void an_event_that_is_ahead_of_the_store_is_not_lost(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow(r, &id, 0);

	hear(r, &id, TASK_RUNNING, 1);
	await_told(r, e, "queued/0");
	store_kind(r, &id, STORE_EVENT_STARTED, 0);
	await_told(r, e, "queued/0 running/1");
}

static void an_event_of_what_never_was_keeps_nobody_waiting(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e;

	store_kind(r, &id, STORE_EVENT_STARTED, 0);
	e = follow(r, &id, 0);
	hear(r, &id, TASK_RUNNING, 1000);
	await_told(r, e, "running/1");
}

static void who_has_seen_it_is_told_only_what_is_newer(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e, *other;

	store_kind(r, &id, STORE_EVENT_STARTED, 0);
	e = follow(r, &id, 1);
	other = follow(r, &id, 7);
	await_told(r, other, "running/1");
	assert_told(e, "");
	hear(r, &id, TASK_RUNNING, 2);
	assert_told(e, "running/2");
	assert_told(other, "running/1 running/2");
}

static void an_end_is_told_also_to_who_has_seen_it(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e;

	store_kind(r, &id, STORE_EVENT_SUCCEEDED, 0);
	e = follow(r, &id, 1);
	await_told(r, e, "succeeded/1!");
}

static void a_second_follower_does_not_make_the_first_hear_twice(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e, *other;

	store_kind(r, &id, STORE_EVENT_STARTED, 0);
	e = follow(r, &id, 0);
	await_told(r, e, "running/1");
	other = follow(r, &id, 0);
	await_told(r, other, "running/1");
	hear(r, &id, TASK_SUCCEEDED, 2);
	assert_told(e, "running/1 succeeded/2!");
	assert_told(other, "running/1 succeeded/2!");
}

static void what_is_older_than_any_task_can_be_is_gone(void **state)
{
	struct rig *r = *state;
	struct id id = new_id(r->f, clock_wall_ms() - 15 * DAY_MS);
	struct ear *e = follow(r, &id, 0);

	await_told(r, e, "gone/0!");
}

/* ---- results ---- */

static void a_result_that_no_event_can_hold_is_read(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_queued(r, &id);
	char result[40000];

	memset(result, '1', sizeof result);
	succeed_with(r, &id, slice_of(result, sizeof result));
	await_told(r, e, "queued/0 succeeded/1!");
	assert_true(e->document.len > sizeof result);
}

/* ---- while no events come ---- */

static void without_events_the_store_is_read(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct store_event both[] = {event_of(STORE_EVENT_STARTED, &id, 1, clock_wall_ms()),
		event_of(STORE_EVENT_PROGRESS, &id, 1, clock_wall_ms())};
	struct ear *e;

	both[1].seq = 1;
	r->live->is_connected = false;
	e = follow_queued(r, &id);
	assert_int_equal(apply_all(r->f, both, 2, NULL), 0);
	await_told(r, e, "queued/0 running/2");
}

/* ---- leaving ---- */

static void who_leaves_inside_a_callback_hears_nothing_more(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *ears[3];

	for (int i = 0; i < 3; i++)
		ears[i] = follow(r, &id, 0);
	for (int i = 0; i < 3; i++)
		await_told(r, ears[i], "queued/0");
	/* Whichever comes first, the others go before their turn or after it. */
	ears[0]->unfollows = ears[0];
	ears[1]->unfollows = ears[2];
	hear(r, &id, TASK_RUNNING, 1);
	hear(r, &id, TASK_RUNNING, 2);
	assert_told(ears[0], "queued/0 running/1");
	assert_told(ears[1], "queued/0 running/1 running/2");
}

static void the_last_to_leave_may_do_so_in_the_last_callback(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct live_stats stats;
	struct ear *e = follow_queued(r, &id);

	e->unfollows = e;
	hear(r, &id, TASK_RUNNING, 2);
	hear(r, &id, TASK_RUNNING, 3);
	await_told(r, e, "queued/0 running/2");
	settle(r);
	live_stats(r->live, &stats);
	assert_int_equal(stats.followers, 0);
	assert_null(live_find(r->live, &id));
}

static void who_leaves_while_it_is_read_is_forgotten(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow(r, &id, 0);

	leave(e);
	settle(r);
	assert_null(live_find(r->live, &id));
}

static void there_are_only_so_many_followers(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct live_follower *more;
	struct ear *one = follow(r, &id, 0);

	for (int i = 1; i < FOLLOWERS_MAX; i++)
		follow(r, &id, 0);
	assert_int_equal(live_follow(r->live, NULL, &id, 0, on_change, NULL, &more), -EAGAIN);
	assert_int_equal(
		live_follow_tenant(r->live, NULL, TENANT, slice_text(NULL), on_change, NULL, &more), -EAGAIN);
	leave(one);
	follow(r, &id, 0);
}

/* ---- tenants ---- */

static struct ear *follow_tenant(struct rig *r, const char *task)
{
	struct ear *e = ear_new(r);

	assert_int_equal(
		live_follow_tenant(r->live, NULL, TENANT, slice_text(task), on_change, e, &e->follower), 0);
	await_told(r, e, "start");
	return e;
}

static void a_tenant_hears_of_its_tasks_and_of_no_others(void **state)
{
	struct rig *r = *state;
	struct id mine = fresh_id(r), other = fresh_id(r), foreign = fresh_id(r);
	struct store_task named = task_of(&other, TASK_SUCCEEDED, 1);
	struct store_task not_mine = task_of(&foreign, TASK_SUCCEEDED, 1);
	struct ear *all = follow_tenant(r, NULL), *some = follow_tenant(r, "echo");

	hear(r, &mine, TASK_RUNNING, 1);
	named.task = slice_text("other");
	hear_task(r, &named);
	not_mine.tenant = slice_text("somebody");
	hear_task(r, &not_mine);
	hear(r, &mine, TASK_RUNNING, 1);
	hear(r, &mine, TASK_SUCCEEDED, 2);
	assert_told(all, "start running/1 succeeded/1! succeeded/2!");
	assert_told(some, "start running/1 succeeded/2!");
}

static void a_tenant_hears_whole_documents_too(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_tenant(r, NULL);

	succeed_with(r, &id, slice_text("{\"large\":true}"));
	await_told(r, e, "start succeeded/1!");
	assert_non_null(strstr(buf_text(&e->document), "{\"large\":true}"));
	assert_null(live_find(r->live, &id));
}

static void a_tenant_is_told_where_something_may_be_missing(void **state)
{
	struct rig *r = *state;
	struct ear *e = follow_tenant(r, NULL);

	live_tell_start(r->live, topology_event_shard(TENANT));
	live_tell_start(r->live, topology_event_shard(slice_text("somebody")));
	assert_told(e, "start start");
}

/* ---- shards ---- */

static void a_shard_that_nobody_follows_is_let_go_after_a_while(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	unsigned shard = live_shard_of(slice_of(id.bytes, ID_LEN));
	int64_t before_ms;
	struct ear *e;

	for (size_t i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		r->live->shards[i].state = SHARD_UNBOUND;
	e = follow(r, &id, 0);
	assert_int_equal(r->live->shards[shard].state, SHARD_BINDING);
	assert_int_equal(r->live->shards_len, 1);
	assert_false(live_shards_tidy(r->live, clock_mono_ms() + HOUR_MS));
	before_ms = clock_mono_ms();
	leave(e);
	assert_true(live_shards_tidy(r->live, before_ms + 29000));
	assert_int_equal(r->live->shards_len, 1);
	assert_false(live_shards_tidy(r->live, clock_mono_ms() + 31000));
	assert_int_equal(r->live->shards_len, 0);
	assert_int_equal(r->live->shards[shard].state, SHARD_UNBOUND);
}

static void whoever_follows_after_others_have_left_is_looked_after_at_once(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct timeval at, before;

	leave(follow_tenant(r, NULL));
	evutil_gettimeofday(&before, NULL);
	follow(r, &id, 0);
	assert_true(evtimer_pending(r->live->tick, &at));
	assert_true(at.tv_sec - before.tv_sec < 20);
}

static void what_is_no_event_is_let_go(void **state)
{
	struct rig *r = *state;
	struct id id = fresh_id(r);
	struct ear *e = follow_queued(r, &id);

	live_on_event(r->live, slice_text("\x80"));
	live_on_event(r->live, slice_text(""));
	live_on_event(r->live, slice_text("\xc1"));
	assert_told(e, "queued/0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(changes_are_told_once_and_in_order),
		TEST(one_that_comes_too_early_waits_for_its_turn),
		TEST(one_that_is_lost_is_not_waited_for_for_long),
		TEST(one_that_stands_for_several_waits_for_none_of_them),
		TEST(not_too_many_are_held_back),
		TEST(a_new_follower_hears_what_the_store_says_and_then_what_comes),
		TEST(an_event_that_is_ahead_of_the_store_is_not_lost),
		TEST(an_event_of_what_never_was_keeps_nobody_waiting),
		TEST(who_has_seen_it_is_told_only_what_is_newer),
		TEST(an_end_is_told_also_to_who_has_seen_it),
		TEST(a_second_follower_does_not_make_the_first_hear_twice),
		TEST(what_is_older_than_any_task_can_be_is_gone),
		TEST(a_result_that_no_event_can_hold_is_read),
		TEST(without_events_the_store_is_read),
		TEST(who_leaves_inside_a_callback_hears_nothing_more),
		TEST(the_last_to_leave_may_do_so_in_the_last_callback),
		TEST(who_leaves_while_it_is_read_is_forgotten),
		TEST(there_are_only_so_many_followers),
		TEST(a_tenant_hears_of_its_tasks_and_of_no_others),
		TEST(a_tenant_hears_whole_documents_too),
		TEST(a_tenant_is_told_where_something_may_be_missing),
		TEST(whoever_follows_after_others_have_left_is_looked_after_at_once),
		TEST(a_shard_that_nobody_follows_is_let_go_after_a_while),
		TEST(what_is_no_event_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
