#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/equal.h"
#include "tests/unit/sweeps.h"
#include "tests/unit/wire_text.h"

#define ROOM 100000
#define ID   "\xc4\x10\x01\x8b\xcf\xe5\x68\x00\x71\x23\x91\x58\x00\x01\x13\xaf\x7c\xcc"

static struct live_event whole_event(void)
{
	return (struct live_event){
		.id = {{7}},
		.tenant = slice_text("acme"),
		.task = slice_text("report"),
		.state = TASK_FAILED,
		.rev = 12,
		.attempt = 3,
		.created_at_ms = 1700000000000,
		.due_at_ms = 1700000000001,
		.started_at_ms = 1700000000002,
		.finished_at_ms = 1700000000003,
		.progress = slice_text("{\"percent\":50}"),
		.metadata = slice_text("{\"k\":1}"),
		.worker = slice_text("w1"),
		.has_error = true,
		.error = {slice_text("exit"), slice_text("no"), true, -1, slice_text("[1]")},
		.content_type = slice_text("application/json"),
		.result_len = 2,
		.result_is_json = true,
		.result = slice_text("{}"),
		.waits_for = {{1}},
		.batch = {{2}},
		.retry_of = {{3}},
		.deliveries_pending = 1,
		.deliveries_delivered = 2,
		.deliveries_dead = UINT32_MAX,
		.span = 3,
	};
}

static int encode_event(struct buf *out)
{
	struct live_event e = whole_event();

	return live_event_encode(&e, out);
}

static int encode_message(struct buf *out)
{
	const struct live_mark marks[] = {{0, 1}, {1023, UINT32_MAX}};
	struct buf bytes, events;
	int rc;

	buf_init(&bytes, ROOM);
	buf_init(&events, ROOM);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(live_mark_append(&marks[i], &bytes), 0);
		assert_int_equal(encode_event(&events), 0);
	}
	rc = live_message_encode(INT64_MAX, buf_slice(&bytes), buf_slice(&events), 2, out);
	buf_done(&bytes);
	buf_done(&events);
	return rc;
}

static struct buf encoded(sweep_encode *encode)
{
	struct buf out;

	buf_init(&out, ROOM);
	assert_int_equal(encode(&out), 0);
	return out;
}

static void an_event_survives_the_wire(void **state)
{
	struct live_event before = whole_event(), after;
	struct buf out = encoded(encode_event);
	struct decode_error error;

	assert_int_equal(live_event_decode(buf_slice(&out), &after, &error), 0);
	assert_true(live_event_is_equal(&before, &after));
	buf_done(&out);
}

static void the_id_is_found_without_the_rest(void **state)
{
	struct live_event e = whole_event();
	struct buf out = encoded(encode_event);
	struct id id;

	assert_true(live_event_id(buf_slice(&out), &id));
	assert_true(id_is_equal(&id, &e.id));
	for (size_t len = 0; len < 24; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, out.data, len);
		assert_int_equal(live_event_id(slice_of(copy, len), &id), len >= 24);
		free(copy);
	}
	out.data[out.data[0] == 0xde ? 4 : 2] = 'x';
	assert_false(live_event_id(buf_slice(&out), &id));
	assert_false(live_event_id(slice_text("\xc4\x10 an id is not the first one here"), &id));
	buf_done(&out);
}

static void every_state_survives_the_wire(void **state)
{
	for (int i = 0; i < TASK_STATES; i++) {
		struct live_event before = whole_event(), after;
		struct decode_error error;
		struct buf out;

		buf_init(&out, ROOM);
		before.state = (enum task_state)i;
		assert_int_equal(live_event_encode(&before, &out), 0);
		assert_non_null(memmem(out.data, out.len, task_state_name(before.state),
			strlen(task_state_name(before.state))));
		assert_int_equal(live_event_decode(buf_slice(&out), &after, &error), 0);
		assert_int_equal(after.state, i);
		buf_done(&out);
	}
}

static void a_message_has_its_marks_and_events_in_order(void **state)
{
	struct buf out = encoded(encode_message);
	struct decode_error error;
	struct live_message m;
	struct live_mark mark;
	struct slice event;
	size_t at = 0;

	assert_int_equal(live_message_decode(buf_slice(&out), &m, &error), 0);
	assert_int_equal(m.publisher, INT64_MAX);
	assert_true(live_mark_at(m.marks, 0, &mark));
	assert_int_equal(mark.shard, 0);
	assert_int_equal(mark.count, 1);
	assert_true(live_mark_at(m.marks, 1, &mark));
	assert_int_equal(mark.shard, 1023);
	assert_int_equal(mark.count, UINT32_MAX);
	assert_false(live_mark_at(m.marks, 2, &mark));
	for (int i = 0; i < 2; i++) {
		assert_true(live_next_event(m.events, &at, &event));
		assert_int_equal(live_event_round_trip(event), 0);
	}
	assert_false(live_next_event(m.events, &at, &event));
	buf_done(&out);
}

static void a_message_may_be_without_events(void **state)
{
	struct decode_error error;
	struct live_message m;
	struct slice event;
	size_t at = 0;
	struct buf out;

	buf_init(&out, ROOM);
	assert_int_equal(live_message_encode(1, slice_text(""), slice_text(""), 0, &out), 0);
	assert_int_equal(live_message_decode(buf_slice(&out), &m, &error), 0);
	assert_false(slice_is_set(m.events));
	assert_false(live_next_event(m.events, &at, &event));
	buf_done(&out);
}

static void every_prefix_is_refused(void **state)
{
	struct buf event = encoded(encode_event), message = encoded(encode_message);

	sweep_prefixes(live_event_round_trip, buf_slice(&event));
	sweep_prefixes(live_message_round_trip, buf_slice(&message));
	buf_done(&event);
	buf_done(&message);
}

static void no_mutation_does_harm(void **state)
{
	struct buf event = encoded(encode_event), message = encoded(encode_message);

	sweep_mutations(live_event_round_trip, buf_slice(&event));
	sweep_mutations(live_message_round_trip, buf_slice(&message));
	buf_done(&event);
	buf_done(&message);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(encode_event);
	sweep_bounds(encode_message);
}

static const struct wire_pair good_event[] = {
	{"id", WIRE(ID)},
	{"tenant", WIRE("\xa1t")},
	{"task", WIRE("\xa1t")},
	{"state", WIRE("\xa4"
		       "dead")},
	{"rev", WIRE("\x01")},
};

static void decode_says_what_is_wrong_and_where(void **state)
{
	static const struct wire_case cases[] = {
		{"id", {NULL, 0}, "id", "missing"},
		{"tenant", WIRE("\xa0"), "tenant", "empty"},
		{"task", WIRE("\xa1-"), "task", "not a task name"},
		{"rev", WIRE("\x00"), "rev", "out of range"},
		{"result", WIRE("\xa1x"), "result", "not a bin"},
		{"error", WIRE("\x80"), "error.type", "missing"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(live_event, good_event, &cases[i]);
}

static const struct wire_pair good_message[] = {
	{"v", WIRE("\x01")},
	{"publisher", WIRE("\x01")},
	{"marks", WIRE("\xc4\x00")},
};

static void a_message_that_is_none_is_refused(void **state)
{
	static const struct wire_case cases[] = {
		{"v", WIRE("\x02"), "v", "not a version known here"},
		{"publisher", WIRE("\x00"), "publisher", "out of range"},
		{"marks",
			WIRE("\xc4\x05"
			     "12345"),
			"marks", "not whole marks"},
		{"events", WIRE("\x80"), "events", "not an array"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(live_message, good_message, &cases[i]);
}

static void what_would_not_decode_is_not_encoded(void **state)
{
	struct live_event bad[] = {whole_event(), whole_event(), whole_event()};
	struct buf out;

	bad[0].rev = 0;
	bad[1].tenant = slice_text("");
	bad[2].task = slice_text("no name");
	buf_init(&out, ROOM);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(live_event_encode(&bad[i], &out), -EINVAL);
	assert_int_equal(live_message_encode(0, slice_text(""), slice_text(""), 0, &out), -EINVAL);
	assert_int_equal(live_message_encode(1, slice_text("12345"), slice_text(""), 0, &out), -EINVAL);
	assert_int_equal(live_message_encode(1, slice_text(""), slice_text("\xc1"), 1, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_survives_the_wire),
		cmocka_unit_test(the_id_is_found_without_the_rest),
		cmocka_unit_test(every_state_survives_the_wire),
		cmocka_unit_test(a_message_has_its_marks_and_events_in_order),
		cmocka_unit_test(a_message_may_be_without_events),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(decode_says_what_is_wrong_and_where),
		cmocka_unit_test(a_message_that_is_none_is_refused),
		cmocka_unit_test(what_would_not_decode_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
