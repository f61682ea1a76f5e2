#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/hosts.h"

enum { T0 = 1000000, VISITS = 512 };

static const struct hosts_policy policy = {
	.circuit = {.failures = 4, .open_ms = 1000, .open_max_ms = 8000},
	.calls_max = 20,
	.host_calls_max = 8,
	.visits_max = 100,
	.bytes_max = 100000,
	.queued_max_ms = 5000,
};

struct world {
	struct hosts *hosts;
	struct visit visits[VISITS];
	size_t len;
	int64_t now_ms, wait_ms;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_int_equal(hosts_new(&policy, &w->hosts), 0);
	w->now_ms = T0;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hosts_free(w->hosts);
	free(w);
	return 0;
}

static enum visit_turn enter_sized(struct world *w, const char *host, size_t bytes)
{
	w->wait_ms = -1;
	return hosts_enter(w->hosts, slice_text(host), &w->visits[w->len++], bytes, w->now_ms, &w->wait_ms);
}

static enum visit_turn enter(struct world *w, const char *host)
{
	return enter_sized(w, host, 1);
}

static struct visit *last(struct world *w)
{
	return &w->visits[w->len - 1];
}

static void leave(struct world *w, struct visit *v, enum response_host word)
{
	hosts_leave(w->hosts, v, word, w->now_ms);
}

static struct visit *next(struct world *w, enum visit_turn *turn)
{
	return hosts_next(w->hosts, w->now_ms, turn, &w->wait_ms);
}

/* So that the host has its full share of calls. */
static void earn_trust(struct world *w, const char *host)
{
	struct visit keep;

	assert_int_equal(hosts_enter(w->hosts, slice_text(host), &keep, 0, w->now_ms, &w->wait_ms), VISIT_GO);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(enter(w, host), VISIT_GO);
		leave(w, last(w), RESPONSE_HOST_ANSWERED);
	}
	w->len = 0;
	assert_int_equal(enter(w, host), VISIT_GO);
	leave(w, &keep, RESPONSE_HOST_ANSWERED);
}

static void a_new_host_gets_few_calls_and_more_with_each_answer(void **state)
{
	struct world *w = *state;
	enum visit_turn turn;

	for (int i = 0; i < 4; i++)
		assert_int_equal(enter(w, "a"), VISIT_GO);
	assert_int_equal(enter(w, "a"), VISIT_QUEUED);
	assert_int_equal(enter(w, "a"), VISIT_QUEUED);
	assert_null(next(w, &turn));
	leave(w, &w->visits[0], RESPONSE_HOST_ANSWERED);
	assert_ptr_equal(next(w, &turn), &w->visits[4]);
	assert_int_equal(turn, VISIT_GO);
	assert_ptr_equal(next(w, &turn), &w->visits[5]);
	assert_int_equal(turn, VISIT_GO);
	assert_null(next(w, &turn));
}

static void calls_to_one_host_are_bounded_and_others_go_on(void **state)
{
	struct world *w = *state;

	earn_trust(w, "a");
	for (int i = 0; i < 7; i++)
		assert_int_equal(enter(w, "a"), VISIT_GO);
	assert_int_equal(enter(w, "a"), VISIT_QUEUED);
	assert_int_equal(enter(w, "b"), VISIT_GO);
}

static void one_host_never_queues_more_than_a_part(void **state)
{
	struct world *w = *state;
	char name[8];
	size_t queued = 0;

	for (int i = 0; i < 60; i++)
		queued += enter(w, "a") == VISIT_QUEUED;
	assert_in_range(queued, 10, 25);
	assert_true(w->wait_ms > 0);
	for (int host = 0; host < 4; host++) {
		snprintf(name, sizeof name, "b%d", host);
		for (int i = 0; i < 60; i++)
			enter(w, name);
	}
	/* Calls in all are used up by now, room in the queues is not. */
	assert_int_equal(enter(w, "c"), VISIT_QUEUED);
	assert_true(hosts_queued(w->hosts) < policy.visits_max);
}

static void those_put_off_come_back_one_after_the_other(void **state)
{
	struct world *w = *state;
	int64_t before_ms = 0;

	for (int i = 0; i < 4; i++)
		assert_int_equal(enter(w, "a"), VISIT_GO);
	w->now_ms += 10000; /* it has been silent for that long */
	for (int i = 0; i < 400; i++) {
		if (enter(w, "a") != VISIT_BUSY)
			continue;
		assert_true(w->wait_ms >= before_ms);
		assert_in_range(w->wait_ms, 100, 60000);
		before_ms = w->wait_ms;
	}
	assert_int_equal(before_ms, 60000);
}

/* Enters until one is put off. */
static int64_t put_off(struct world *w, const char *host)
{
	while (enter(w, host) != VISIT_BUSY)
		;
	return w->wait_ms;
}

static void a_hiccup_does_not_put_off_what_comes_after_it(void **state)
{
	struct world *w = *state;
	struct visit *running;
	enum visit_turn turn;
	int64_t long_ms = 0;

	earn_trust(w, "a");
	running = last(w);
	put_off(w, "a");
	w->now_ms += 2000;
	for (int i = 0; i < 100; i++)
		long_ms = put_off(w, "a");
	assert_true(long_ms > 10000);
	leave(w, running, RESPONSE_HOST_ANSWERED);
	while ((running = next(w, &turn))) {
		assert_int_equal(turn, VISIT_GO);
		w->now_ms += 1;
		leave(w, running, RESPONSE_HOST_ANSWERED);
	}
	assert_in_range(put_off(w, "a"), 100, long_ms / 10);
}

static void a_silent_host_is_closed_and_what_queued_is_told(void **state)
{
	struct world *w = *state;
	enum visit_turn turn;
	size_t closed = 0;

	for (int i = 0; i < 10; i++)
		enter(w, "a");
	assert_int_equal(hosts_queued(w->hosts), 6);
	w->now_ms += 2000;
	for (int i = 0; i < 4; i++)
		leave(w, &w->visits[i], RESPONSE_HOST_FAILED);
	assert_int_equal(hosts_open_circuits(w->hosts), 1);
	while (next(w, &turn)) {
		assert_int_equal(turn, VISIT_CLOSED);
		assert_int_equal(w->wait_ms, 1000);
		closed++;
	}
	assert_int_equal(closed, 6);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
	assert_int_equal(enter(w, "b"), VISIT_GO);
	assert_int_equal(hosts_bytes(w->hosts), 1);
}

/* Those that took the place of the ones that failed do not make it a host that is merely busy. */
static void a_silent_host_is_closed_while_calls_to_it_hang(void **state)
{
	struct world *w = *state;
	enum visit_turn turn;

	for (int i = 0; i < 10; i++)
		enter(w, "a");
	w->now_ms += 2000;
	for (int i = 0; i < 4; i++) {
		leave(w, &w->visits[i], RESPONSE_HOST_FAILED);
		while (next(w, &turn))
			;
	}
	assert_int_equal(hosts_open_circuits(w->hosts), 1);
	assert_int_equal(hosts_queued(w->hosts), 0);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
	w->now_ms += 1000;
	assert_int_equal(enter(w, "a"), VISIT_GO);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
	assert_true(w->wait_ms > 0);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
}

static void one_probe_decides(void **state)
{
	struct world *w = *state;
	struct visit *probe;

	for (int i = 0; i < 4; i++)
		enter(w, "a");
	for (int i = 0; i < 4; i++)
		leave(w, &w->visits[i], RESPONSE_HOST_FAILED);
	w->now_ms += 1000;
	assert_int_equal(enter(w, "a"), VISIT_GO);
	probe = last(w);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
	leave(w, probe, RESPONSE_HOST_UNASKED);
	assert_int_equal(enter(w, "a"), VISIT_GO);
	leave(w, last(w), RESPONSE_HOST_FAILED);
	assert_int_equal(enter(w, "a"), VISIT_CLOSED);
	assert_int_equal(w->wait_ms, 2000);
	w->now_ms += 2000;
	assert_int_equal(enter(w, "a"), VISIT_GO);
	leave(w, last(w), RESPONSE_HOST_ANSWERED);
	assert_int_equal(hosts_open_circuits(w->hosts), 0);
	assert_int_equal(enter(w, "a"), VISIT_GO);
	assert_int_equal(enter(w, "a"), VISIT_GO);
}

static void what_queues_for_too_long_is_put_off(void **state)
{
	struct world *w = *state;
	enum visit_turn turn;

	for (int i = 0; i < 5; i++)
		enter(w, "a");
	w->now_ms += 4999;
	assert_null(next(w, &turn));
	w->now_ms += 1;
	assert_ptr_equal(next(w, &turn), &w->visits[4]);
	assert_int_equal(turn, VISIT_BUSY);
	assert_int_equal(hosts_queued(w->hosts), 0);
}

static void queues_take_turns(void **state)
{
	struct world *w = *state;
	enum visit_turn turn;
	static const char *const names[] = {"a", "b", "c", "d", "e"};

	for (int i = 0; i < 25; i++)
		enter(w, names[i / 5]); /* four calls and one queued each: twenty calls in all */
	assert_int_equal(hosts_queued(w->hosts), 5);
	assert_int_equal(enter(w, "f"), VISIT_QUEUED);
	assert_null(next(w, &turn));
	leave(w, &w->visits[0], RESPONSE_HOST_ANSWERED);
	assert_ptr_equal(next(w, &turn), &w->visits[4]);
	assert_null(next(w, &turn));
	leave(w, &w->visits[5], RESPONSE_HOST_ANSWERED);
	leave(w, &w->visits[6], RESPONSE_HOST_ANSWERED);
	assert_ptr_equal(next(w, &turn), &w->visits[9]);
	assert_ptr_equal(next(w, &turn), &w->visits[25]);
	assert_null(next(w, &turn));
}

static void memory_is_bounded_and_shared(void **state)
{
	struct world *w = *state;

	assert_int_equal(enter_sized(w, "a", 200000), VISIT_GO); /* a single one may always go */
	assert_int_equal(enter_sized(w, "b", 1), VISIT_BUSY);
	leave(w, &w->visits[0], RESPONSE_HOST_ANSWERED);
	assert_int_equal(enter_sized(w, "a", 20000), VISIT_GO);
	assert_int_equal(enter_sized(w, "a", 20000), VISIT_BUSY);
	assert_int_equal(enter_sized(w, "a", 5000), VISIT_GO);
	assert_int_equal(enter_sized(w, "b", 50000), VISIT_GO);
	assert_int_equal(enter_sized(w, "c", 50000), VISIT_BUSY);
	assert_int_equal(hosts_bytes(w->hosts), 75000);
}

static void hosts_that_behave_are_forgotten(void **state)
{
	struct world *w = *state;
	char name[32];

	for (int i = 0; i < 10000; i++) {
		w->len = 0;
		snprintf(name, sizeof name, "http://host%d:80", i);
		assert_int_equal(enter(w, name), VISIT_GO);
		leave(w, last(w), RESPONSE_HOST_ANSWERED);
	}
	assert_int_equal(hosts_len(w->hosts), 0);
	for (int i = 0; i < 10000; i++) {
		w->len = 0;
		snprintf(name, sizeof name, "http://host%d:80", i);
		assert_int_equal(enter(w, name), VISIT_GO);
		leave(w, last(w), RESPONSE_HOST_FAILED);
	}
	assert_in_range(hosts_len(w->hosts), 1, 4096);
}

static void draining_gives_everything_back(void **state)
{
	struct world *w = *state;
	size_t drained = 0;

	for (int i = 0; i < 30; i++)
		enter(w, i % 2 ? "a" : "b");
	while (hosts_drain(w->hosts))
		drained++;
	assert_int_equal(drained, 30 - 8);
	assert_int_equal(hosts_queued(w->hosts), 0);
	assert_int_equal(hosts_bytes(w->hosts), 8);
	for (int i = 0; i < 8; i++)
		leave(w, &w->visits[i], RESPONSE_HOST_ANSWERED);
	assert_int_equal(hosts_len(w->hosts), 0);
	assert_int_equal(hosts_bytes(w->hosts), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_host_gets_few_calls_and_more_with_each_answer),
		TEST(calls_to_one_host_are_bounded_and_others_go_on),
		TEST(one_host_never_queues_more_than_a_part),
		TEST(those_put_off_come_back_one_after_the_other),
		TEST(a_hiccup_does_not_put_off_what_comes_after_it),
		TEST(a_silent_host_is_closed_and_what_queued_is_told),
		TEST(a_silent_host_is_closed_while_calls_to_it_hang),
		TEST(one_probe_decides),
		TEST(what_queues_for_too_long_is_put_off),
		TEST(queues_take_turns),
		TEST(memory_is_bounded_and_shared),
		TEST(hosts_that_behave_are_forgotten),
		TEST(draining_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
