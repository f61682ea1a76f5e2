#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/equal.h"
#include "tests/unit/sweeps.h"
#include "tests/unit/wire_text.h"

#define ID "\xc4\x10\x01\x8b\xcf\xe5\x68\x00\x71\x23\x91\x58\x00\x01\x13\xaf\x7c\xcc"

static struct reply small(enum reply_kind kind)
{
	return (struct reply){
		.id = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0x71, 0x23, 0x91, 0x58, 0, 1, 0x13, 0xaf, 0x7c,
			0xcc}},
		.attempt = 1,
		.kind = kind,
	};
}

/* More than any real reply has, so that each field is seen once. */
static struct reply whole(void)
{
	struct reply r = small(REPLY_RETRY);

	r.result = slice_of("\0\xff", 2);
	r.content_type = slice_text("application/json");
	r.started_at_ms = 1700000000000;
	r.finished_at_ms = 1700000001000;
	r.has_error = true;
	r.error.type = slice_text("upstream");
	r.error.message = slice_text("503 Service Unavailable");
	r.error.retryable = true;
	r.error.status = 503;
	r.error.data = slice_text("\x81\xa1"
				  "a\x92\x01\xc0");
	r.request = slice_text("the request");
	r.context = slice_text("the context");
	r.progress = slice_text("\x81\xa7percent\x32");
	r.seq = 70000;
	r.worker = slice_text("host-7");
	r.has_retry = true;
	r.retry = (struct retry_policy){.base_ms = 1, .cap_ms = 2};
	r.retry_after_ms = 30000;
	return r;
}

static int encode_whole(struct buf *out)
{
	struct reply r = whole();

	return reply_encode(&r, out);
}

static struct buf encoded(const struct reply *r)
{
	struct buf out;

	buf_init(&out, 1000000);
	assert_int_equal(reply_encode(r, &out), 0);
	return out;
}

static void assert_survives(const struct reply *r)
{
	struct buf out = encoded(r);
	struct decode_error error;
	struct reply again;

	assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
	assert_true(reply_is_equal(r, &again));
	buf_done(&out);
}

static void a_reply_of_every_kind_survives_the_wire(void **state)
{
	struct reply r = whole();

	assert_survives(&r);
	for (unsigned kind = 0; kind < REPLY_KINDS; kind++) {
		r = small((enum reply_kind)kind);
		assert_survives(&r);
	}
}

static void the_kinds_have_the_names_of_the_wire(void **state)
{
	assert_string_equal(reply_kind_name(REPLY_STARTED), "started");
	assert_string_equal(reply_kind_name(REPLY_PROGRESS), "progress");
	assert_string_equal(reply_kind_name(REPLY_SUCCEEDED), "succeeded");
	assert_string_equal(reply_kind_name(REPLY_FAILED), "failed");
	assert_string_equal(reply_kind_name(REPLY_RETRY), "retry");
	assert_string_equal(reply_kind_name(REPLY_CANCELED), "canceled");
}

static void an_empty_result_is_not_the_same_as_none(void **state)
{
	struct reply r = small(REPLY_SUCCEEDED);

	r.result = slice_text("");
	assert_survives(&r);
}

static void a_negative_status_survives(void **state)
{
	struct reply r = whole();

	r.error.status = -9;
	assert_survives(&r);
	r.error.status = INT32_MIN;
	assert_survives(&r);
}

static void every_prefix_is_refused(void **state)
{
	struct reply r = whole();
	struct buf out = encoded(&r);

	sweep_prefixes(reply_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void no_mutation_does_harm(void **state)
{
	struct reply r = whole();
	struct buf out = encoded(&r);

	sweep_mutations(reply_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(encode_whole);
}

static const struct wire_pair good[] = {
	{"v", WIRE("\x01")},
	{"id", WIRE(ID)},
	{"attempt", WIRE("\x01")},
	{"kind", WIRE("\xa6"
		      "failed")},
};
#define GOOD (sizeof good / sizeof *good)

static void decode_says_what_is_wrong_and_where(void **state)
{
	static const struct wire_case cases[] = {
		{"v", {NULL, 0}, "v", "missing"},
		{"v", WIRE("\0"), "v", "not a version known here"},
		{"id", {NULL, 0}, "id", "missing"},
		{"id",
			WIRE("\xc4\x0f"
			     "0123456789abcde"),
			"id", "not an id"},
		{"attempt", {NULL, 0}, "attempt", "missing"},
		{"attempt", WIRE("\0"), "attempt", "out of range"},
		{"kind", {NULL, 0}, "kind", "missing"},
		{"kind",
			WIRE("\xa4"
			     "done"),
			"kind", "not a word known here"},
		{"kind", WIRE("\xa0"), "kind", "not a word known here"},
		{"kind", WIRE("\x01"), "kind", "not a string"},
		{"result", WIRE("\xa2ok"), "result", "not a bin"},
		{"result", WIRE("\xc0"), "result", "not a bin"},
		{"content_type", WIRE("\xa2\r\n"), "content_type", "not printable ASCII"},
		{"started_at", WIRE("\xff"), "started_at", "out of range"},
		{"finished_at",
			WIRE("\xa1"
			     "0"),
			"finished_at", "not an integer"},
		{"error", WIRE("\xa4oops"), "error", "not a map"},
		{"error", WIRE("\x80"), "error.type", "missing"},
		{"error",
			WIRE("\x81\xa4type\xa3"
			     "a b"),
			"error.type", "not a printable word"},
		{"error", WIRE("\x81\xa4type\xa1\x7f"), "error.type", "not a printable word"},
		{"error", WIRE("\x82\xa4type\xa1x\xa7message\xa1\xff"), "error.message", "not UTF-8"},
		{"error", WIRE("\x82\xa4type\xa1x\xa9retryable\x01"), "error.retryable", "not a boolean"},
		{"error",
			WIRE("\x82\xa4type\xa1x\xa6status\xa3"
			     "500"),
			"error.status", "not an integer"},
		{"error", WIRE("\x82\xa4type\xa1x\xa6status\xce\xff\xff\xff\xff"), "error.status",
			"out of range"},
		{"error",
			WIRE("\x83\xa4type\xa1x\xa4"
			     "data\x01\xa4"
			     "data\x01"),
			"error.data", "there twice"},
		{"request", WIRE("\x80"), "request", "not a bin"},
		{"context", WIRE("\x80"), "context", "not a bin"},
		{"seq", WIRE("\xff"), "seq", "out of range"},
		{"seq", WIRE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "seq", "out of range"},
		{"worker", WIRE("\xa0"), "worker", "empty"},
		{"retry", WIRE("\x80"), "retry.base_ms", "missing"},
		{"retry_after_ms", WIRE("\xff"), "retry_after_ms", "out of range"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(reply, good, &cases[i]);
}

static struct wire_text packed(struct buf *out, char filler, size_t len)
{
	char *text = malloc(len);

	assert_non_null(text);
	memset(text, filler, len);
	buf_init(out, len + 10);
	assert_int_equal(wire_str(slice_of(text, len), out), 0);
	free(text);
	return (struct wire_text){(const char *)out->data, out->len};
}

static void the_longest_texts_are_accepted_and_longer_ones_refused(void **state)
{
	static const struct {
		const char *key;
		size_t max;
	} limits[] = {{"worker", REPLY_WORKER_MAX}, {"content_type", CONTENT_TYPE_MAX},
		{"progress", REPLY_PROGRESS_MAX}};

	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		/* Of progress the limit counts the whole object: three bytes are its head. */
		size_t max = limits[i].max - (limits[i].max == REPLY_PROGRESS_MAX ? 3 : 0);
		struct buf value, message;

		message = wire_message(good, GOOD, limits[i].key, packed(&value, 'x', max));
		assert_int_equal(reply_round_trip(buf_slice(&message)), 0);
		buf_done(&value);
		buf_done(&message);
		message = wire_message(good, GOOD, limits[i].key, packed(&value, 'x', max + 1));
		assert_int_equal(reply_round_trip(buf_slice(&message)), -EBADMSG);
		buf_done(&value);
		buf_done(&message);
	}
}

static void a_kind_that_comes_later_is_no_reply_here(void **state)
{
	struct wire_text later = WIRE("\xa6paused");
	struct buf message = wire_message(good, GOOD, "kind", later);

	assert_int_equal(reply_round_trip(buf_slice(&message)), -EBADMSG);
	buf_done(&message);
}

static void what_our_own_encoder_cannot_make_is_still_read(void **state)
{
	static const struct wire_pair foreign[] = {
		{"worker", WIRE("\xd9\x01w")},
		{"kind", WIRE("\xd9\x06"
			      "failed")},
		{"attempt", WIRE("\xd3\0\0\0\0\0\0\0\x02")},
		{"error", WIRE("\xde\0\x03\xa4type\xa1x\xa7message\xa0\xa5other\x90")},
		{"progress", WIRE("\xc0")},
		{"id", WIRE(ID)},
		{"v", WIRE("\xcc\x01")},
	};
	struct wire_text none = {NULL, 0};
	struct buf message = wire_message(foreign, sizeof foreign / sizeof *foreign, "", none);
	struct decode_error error;
	struct reply r;

	assert_int_equal(reply_decode(buf_slice(&message), &r, &error), 0);
	assert_int_equal(r.attempt, 2);
	assert_true(r.has_error);
	assert_true(slice_is_text(r.error.type, "x"));
	assert_true(slice_is_text(r.progress, "\xc0"));
	assert_int_equal(reply_round_trip(buf_slice(&message)), 0);
	buf_done(&message);
}

/* Of bytes at the limit: a message of three-byte characters is cut before the one that does not fit. */
static void a_long_message_is_cut_both_ways_between_characters(void **state)
{
	static const uint8_t euro[] = {0xe2, 0x82, 0xac};
	char text[3 * 2000];
	struct reply r = small(REPLY_FAILED);
	struct decode_error error;
	struct buf body, out;
	struct reply again;

	for (size_t i = 0; i < sizeof text; i += 3)
		memcpy(text + i, euro, sizeof euro);
	r.has_error = true;
	r.error.type = slice_text("x");
	r.error.message = slice_of(text, sizeof text);
	out = encoded(&r);
	assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
	assert_int_equal(again.error.message.len, 4095);
	buf_done(&out);

	buf_init(&body, 10000);
	buf_append(&body, "\x82\xa4type\xa1x\xa7message", 16);
	assert_int_equal(wire_str(slice_of(text, sizeof text), &body), 0);
	out = wire_message(good, GOOD, "error", (struct wire_text){(const char *)body.data, body.len});
	assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
	assert_int_equal(again.error.message.len, 4095);
	buf_done(&out);
	buf_done(&body);
}

static void a_message_that_is_no_text_is_made_one(void **state)
{
	char garbage[REPLY_MESSAGE_MAX];
	struct reply r = small(REPLY_FAILED);
	struct decode_error error;
	struct reply again;
	struct buf out;

	r.has_error = true;
	r.error.type = slice_text("x");
	r.error.message = slice_text("a\xff\xc3\xa9\xc3");
	out = encoded(&r);
	assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
	assert_true(slice_is_text(again.error.message, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"));
	buf_done(&out);

	memset(garbage, 0xff, sizeof garbage);
	r.error.message = slice_of(garbage, sizeof garbage);
	out = encoded(&r);
	assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
	assert_int_equal(again.error.message.len, 4095);
	buf_done(&out);
}

static void assert_not_encoded(const struct reply *r)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(reply_encode(r, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void what_would_not_decode_is_not_encoded(void **state)
{
	char deep[70];
	struct reply r;

#define ASSERT_BAD(change) (r = whole(), change, assert_not_encoded(&r))
	ASSERT_BAD(r.id = (struct id){{0}});
	ASSERT_BAD(r.attempt = 0);
	ASSERT_BAD(r.kind = (enum reply_kind)REPLY_KINDS);
	ASSERT_BAD(r.content_type = slice_text("a\n"));
	ASSERT_BAD(r.error.type = slice_text(NULL));
	ASSERT_BAD(r.error.type = slice_text("two words"));
	ASSERT_BAD(r.error.data = slice_text("\x92\x01"));
	ASSERT_BAD(r.error.data = slice_text("\x01\x01"));
	ASSERT_BAD(r.progress = slice_text(""));
	ASSERT_BAD(r.worker = slice_text("\xff"));
	ASSERT_BAD(r.seq = UINT64_MAX);
	/* The error's data begins inside two maps, so 62 levels are left to it. */
	memset(deep, '\x91', sizeof deep);
	deep[63] = '\x01';
	ASSERT_BAD(r.error.data = slice_of(deep, 64));
	deep[62] = '\x01';
	r = whole();
	r.error.data = slice_of(deep, 63);
	assert_survives(&r);
#undef ASSERT_BAD
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_of_every_kind_survives_the_wire),
		cmocka_unit_test(the_kinds_have_the_names_of_the_wire),
		cmocka_unit_test(an_empty_result_is_not_the_same_as_none),
		cmocka_unit_test(a_negative_status_survives),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(decode_says_what_is_wrong_and_where),
		cmocka_unit_test(the_longest_texts_are_accepted_and_longer_ones_refused),
		cmocka_unit_test(a_kind_that_comes_later_is_no_reply_here),
		cmocka_unit_test(what_our_own_encoder_cannot_make_is_still_read),
		cmocka_unit_test(a_long_message_is_cut_both_ways_between_characters),
		cmocka_unit_test(a_message_that_is_no_text_is_made_one),
		cmocka_unit_test(what_would_not_decode_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
