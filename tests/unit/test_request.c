#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/equal.h"
#include "tests/unit/sweeps.h"
#include "tests/unit/wire_text.h"

#define ID "\xc4\x10\x01\x8b\xcf\xe5\x68\x00\x71\x23\x91\x58\x00\x01\x13\xaf\x7c\xcc"

static struct request whole(void)
{
	return (struct request){
		.id = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0x71, 0x23, 0x91, 0x58, 0, 1, 0x13, 0xaf, 0x7c,
			0xcc}},
		.task = slice_text("thumbnail"),
		.payload = slice_of("\0\xff{}", 4),
		.content_type = slice_text("image/png"),
		.created_at_ms = 1700000000000,
		.deadline_ms = 1700000060000,
		.attempt = 2,
		.max_attempts = 5,
		.timeout_ms = 30000,
		.has_retry = true,
		.retry = {.base_ms = 1000, .cap_ms = 600000},
		.context = slice_text("opaque"),
	};
}

static struct request small(void)
{
	return (struct request){
		.id = whole().id,
		.task = slice_text("t"),
		.payload = slice_text(""),
		.content_type = slice_text("text/plain"),
		.created_at_ms = 1,
		.attempt = 1,
	};
}

static int encode_whole(struct buf *out)
{
	struct request r = whole();

	return request_encode(&r, out);
}

static struct buf encoded(const struct request *r)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(request_encode(r, &out), 0);
	return out;
}

static void assert_survives(const struct request *r)
{
	struct buf out = encoded(r);
	struct decode_error error;
	struct request again;

	assert_int_equal(request_decode(buf_slice(&out), &again, &error), 0);
	assert_true(request_is_equal(r, &again));
	buf_done(&out);
}

static void a_request_survives_the_wire(void **state)
{
	struct request r = whole();
	struct request s = small();

	assert_survives(&r);
	assert_survives(&s);
}

static void an_empty_context_is_not_the_same_as_none(void **state)
{
	struct request r = small();

	r.context = slice_text("");
	assert_survives(&r);
}

static void every_prefix_is_refused(void **state)
{
	struct request r = whole();
	struct buf out = encoded(&r);

	sweep_prefixes(request_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void no_mutation_does_harm(void **state)
{
	struct request r = whole();
	struct buf out = encoded(&r);

	sweep_mutations(request_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(encode_whole);
}

static const struct wire_pair good[] = {
	{"v", WIRE("\x01")},
	{"id", WIRE(ID)},
	{"task", WIRE("\xa1t")},
	{"payload", WIRE("\xc4\0")},
	{"content_type", WIRE("\xa3"
			      "a/b")},
	{"created_at", WIRE("\x01")},
	{"attempt", WIRE("\x01")},
};
#define GOOD (sizeof good / sizeof *good)

static struct buf message_with(const char *key, struct wire_text value)
{
	return wire_message(good, GOOD, key, value);
}

static void decode_says_what_is_wrong_and_where(void **state)
{
	static const struct wire_case cases[] = {
		{"v", WIRE("\x02"), "v", "not a version known here"},
		{"v",
			WIRE("\xa1"
			     "1"),
			"v", "not an integer"},
		{"v", WIRE("\xc0"), "v", "not an integer"},
		{"v", WIRE("\xcb\x3f\xf0\0\0\0\0\0\0"), "v", "not an integer"},
		{"v", {NULL, 0}, "v", "missing"},
		{"id", {NULL, 0}, "id", "missing"},
		{"id", WIRE("\xc4\x01x"), "id", "not an id"},
		{"id", WIRE("\xc4\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "id", "not an id"},
		{"id",
			WIRE("\xb0"
			     "0123456789abcdef"),
			"id", "not a bin"},
		{"task", {NULL, 0}, "task", "missing"},
		{"task", WIRE("\xa0"), "task", "empty"},
		{"task", WIRE("\xa1."), "task", "not a task name"},
		{"task",
			WIRE("\xa3"
			     "a b"),
			"task", "not a task name"},
		{"task",
			WIRE("\xa2"
			     "a\xff"),
			"task", "not UTF-8"},
		{"task",
			WIRE("\xc4\x01"
			     "a"),
			"task", "not a string"},
		{"payload", {NULL, 0}, "payload", "missing"},
		{"payload", WIRE("\xa2{}"), "payload", "not a bin"},
		{"payload", WIRE("\x80"), "payload", "not a bin"},
		{"payload", WIRE("\xc0"), "payload", "not a bin"},
		{"content_type", {NULL, 0}, "content_type", "missing"},
		{"content_type", WIRE("\xa0"), "content_type", "empty"},
		{"content_type",
			WIRE("\xa8"
			     "a/b\r\nX:y"),
			"content_type", "not printable ASCII"},
		{"content_type",
			WIRE("\xa4"
			     "a/\xc3\xa9"),
			"content_type", "not printable ASCII"},
		{"content_type", WIRE("\x01"), "content_type", "not a string"},
		{"created_at", {NULL, 0}, "created_at", "missing"},
		{"created_at", WIRE("\xff"), "created_at", "out of range"},
		{"created_at", WIRE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "created_at", "out of range"},
		{"created_at", WIRE("\xcb\x42\x78\xbc\xfe\x56\x80\0\0"), "created_at", "not an integer"},
		{"deadline", WIRE("\xff"), "deadline", "out of range"},
		{"deadline", WIRE("\xcf\0\0\xe6\x77\xd2\x1f\xdc\0"), "deadline", "out of range"},
		{"attempt", {NULL, 0}, "attempt", "missing"},
		{"attempt", WIRE("\0"), "attempt", "out of range"},
		{"attempt", WIRE("\xce\0\x0f\x42\x41"), "attempt", "out of range"},
		{"attempt", WIRE("\xc3"), "attempt", "not an integer"},
		{"max_attempts", WIRE("\0"), "max_attempts", "out of range"},
		{"timeout_ms", WIRE("\xcf\0\0\0\x01\0\0\0\0"), "timeout_ms", "out of range"},
		{"retry", WIRE("\x90"), "retry", "not a map"},
		{"retry", WIRE("\xc0"), "retry", "not a map"},
		{"retry", WIRE("\x80"), "retry.base_ms", "missing"},
		{"retry",
			WIRE("\x81\xa7"
			     "base_ms\x01"),
			"retry.cap_ms", "missing"},
		{"retry",
			WIRE("\x82\xa7"
			     "base_ms\xa1x\xa6"
			     "cap_ms\x01"),
			"retry.base_ms", "not an integer"},
		{"retry",
			WIRE("\x82\xa7"
			     "base_ms\x01\xa6"
			     "cap_ms\xff"),
			"retry.cap_ms", "out of range"},
		{"retry",
			WIRE("\x82\xa7"
			     "base_ms\x01\xa7"
			     "base_ms\x01"),
			"retry.base_ms", "there twice"},
		{"retry", WIRE("\x81\x01\x01"), "retry", "a key that is not a string"},
		{"context", WIRE("\xa1x"), "context", "not a bin"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(request, good, &cases[i]);
}

static void integers_of_every_width_are_the_same(void **state)
{
	static const struct wire_text seven[] = {
		WIRE("\x07"),
		WIRE("\xcc\x07"),
		WIRE("\xcd\0\x07"),
		WIRE("\xce\0\0\0\x07"),
		WIRE("\xcf\0\0\0\0\0\0\0\x07"),
		WIRE("\xd0\x07"),
		WIRE("\xd1\0\x07"),
		WIRE("\xd2\0\0\0\x07"),
		WIRE("\xd3\0\0\0\0\0\0\0\x07"),
	};

	for (size_t i = 0; i < sizeof seven / sizeof *seven; i++) {
		struct buf message = message_with("attempt", seven[i]);
		struct decode_error error;
		struct request r;

		assert_int_equal(request_decode(buf_slice(&message), &r, &error), 0);
		assert_int_equal(r.attempt, 7);
		buf_done(&message);
	}
}

static void keys_may_come_in_any_order(void **state)
{
	struct wire_pair shuffled[GOOD];

	for (size_t shift = 0; shift < GOOD; shift++) {
		struct wire_text none = {NULL, 0};
		struct buf message;

		for (size_t i = 0; i < GOOD; i++)
			shuffled[i] = good[GOOD - 1 - (i + shift) % GOOD];
		message = wire_message(shuffled, GOOD, "", none);
		assert_int_equal(request_round_trip(buf_slice(&message)), 0);
		buf_done(&message);
	}
}

static void unknown_keys_are_skipped_whatever_they_hold(void **state)
{
	static const struct wire_text values[] = {
		WIRE("\xc0"),
		WIRE("\x82\x01\x02\xc0\x93\x01\x02\x03"),
		WIRE("\xc7\x02\x07xy"),
		WIRE("\xa2\xff\xff"),
	};

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct buf message = message_with("v2", values[i]);

		assert_int_equal(request_round_trip(buf_slice(&message)), 0);
		buf_done(&message);
	}
}

/* msgpack-c itself stops at 32 levels. */
static void an_unknown_key_may_be_as_deep_as_the_limit(void **state)
{
	char deep[65];

	for (size_t depth = 62; depth <= 64; depth++) {
		const struct wire_text value = {deep, depth + 1};
		struct buf message;

		memset(deep, '\x91', depth);
		deep[depth] = '\x01';
		message = message_with("later", value);
		assert_int_equal(request_round_trip(buf_slice(&message)), depth < 64 ? 0 : -EBADMSG);
		buf_done(&message);
	}
}

static void a_known_key_may_not_be_there_twice(void **state)
{
	for (size_t i = 0; i < GOOD; i++) {
		struct wire_pair pairs[GOOD + 1];
		struct wire_case c = {"", {NULL, 0}, good[i].key, "there twice"};

		memcpy(pairs, good, sizeof good);
		pairs[GOOD] = good[i];
		ASSERT_REFUSED(request, pairs, &c);
	}
}

static void what_is_no_map_of_strings_is_refused(void **state)
{
	static const struct {
		struct wire_text message;
		const char *reason;
	} cases[] = {
		{WIRE(""), "truncated"},
		{WIRE("\xc0"), "not a map"},
		{WIRE("\x90"), "not a map"},
		{WIRE("\xa1x"), "not a map"},
		{WIRE("\x81\x01\x01"), "a key that is not a string"},
		{WIRE("\x81\xc4\x01v\x01"), "a key that is not a string"},
		{WIRE("\x81\x90\x01"), "a key that is not a string"},
		{WIRE("\x81\x80\x01"), "a key that is not a string"},
		{WIRE("\xdf\x0f\xff\xff\xff\xc0"), "a count larger than the message"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice bytes = slice_of(cases[i].message.data, cases[i].message.len);
		struct decode_error error;
		struct request r;

		assert_int_equal(request_decode(bytes, &r, &error), -EBADMSG);
		assert_string_equal(error.path, "");
		assert_string_equal(error.reason, cases[i].reason);
	}
}

static void bytes_after_the_message_are_refused(void **state)
{
	struct request r = whole();
	struct buf out = encoded(&r);

	buf_append_byte(&out, 0xc0);
	assert_int_equal(request_round_trip(buf_slice(&out)), -EBADMSG);
	buf_done(&out);
}

static void a_refused_message_leaves_the_output_alone(void **state)
{
	struct request r = whole();
	struct request before = whole();
	struct decode_error error;

	assert_int_equal(request_decode(slice_text("\x81"), &r, &error), -EBADMSG);
	assert_true(request_is_equal(&r, &before));
}

static void assert_not_encoded(const struct request *r)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(request_encode(r, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	assert_int_equal(out.error, 0);
	buf_done(&out);
}

static void what_would_not_decode_is_not_encoded(void **state)
{
	struct request r;

#define ASSERT_BAD(change) (r = whole(), change, assert_not_encoded(&r))
	ASSERT_BAD(r.id = (struct id){{0}});
	ASSERT_BAD(r.task = slice_text(""));
	ASSERT_BAD(r.task = slice_text("a b"));
	ASSERT_BAD(r.content_type = slice_text(NULL));
	ASSERT_BAD(r.content_type = slice_text("text/plain\r\n"));
	ASSERT_BAD(r.created_at_ms = -1);
	ASSERT_BAD(r.created_at_ms = INT64_MAX);
	ASSERT_BAD(r.deadline_ms = -1);
	ASSERT_BAD(r.attempt = 0);
	ASSERT_BAD(r.attempt = ATTEMPT_MAX + 1);
	ASSERT_BAD(r.max_attempts = ATTEMPT_MAX + 1);
#undef ASSERT_BAD
}

static void a_content_type_is_a_header_value_of_at_most_255_bytes(void **state)
{
	char text[256];

	memset(text, 'x', sizeof text);
	assert_true(content_type_is_valid(slice_of(text, 255)));
	assert_false(content_type_is_valid(slice_of(text, 256)));
	assert_false(content_type_is_valid(slice_text("")));
	assert_true(content_type_is_valid(slice_text("text/html; charset=\"utf-8\"")));
	for (unsigned byte = 0; byte < 256; byte++) {
		text[0] = (char)byte;
		assert_int_equal(content_type_is_valid(slice_of(text, 1)), byte >= 0x20 && byte < 0x7f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_survives_the_wire),
		cmocka_unit_test(an_empty_context_is_not_the_same_as_none),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(decode_says_what_is_wrong_and_where),
		cmocka_unit_test(integers_of_every_width_are_the_same),
		cmocka_unit_test(keys_may_come_in_any_order),
		cmocka_unit_test(unknown_keys_are_skipped_whatever_they_hold),
		cmocka_unit_test(an_unknown_key_may_be_as_deep_as_the_limit),
		cmocka_unit_test(a_known_key_may_not_be_there_twice),
		cmocka_unit_test(what_is_no_map_of_strings_is_refused),
		cmocka_unit_test(bytes_after_the_message_are_refused),
		cmocka_unit_test(a_refused_message_leaves_the_output_alone),
		cmocka_unit_test(what_would_not_decode_is_not_encoded),
		cmocka_unit_test(a_content_type_is_a_header_value_of_at_most_255_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
