#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/json.h"
#include "proto/wire.h"
#include "tests/unit/sweeps.h"

static int check(struct slice bytes)
{
	struct decode_error error;

	return wire_check(bytes, &error);
}

static void assert_refused(struct slice bytes, const char *reason)
{
	struct decode_error error;

	assert_int_equal(wire_check(bytes, &error), -EBADMSG);
	assert_string_equal(error.path, "");
	assert_string_equal(error.reason, reason);
}

#define BYTES(...) slice_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* One object of every format, and the first and last length of those that count. */
static void every_format_is_known(void **state)
{
	static const struct {
		uint8_t head[8];
		size_t head_len;
		size_t body_len;
	} formats[] = {
		{{0x00}, 1, 0},
		{{0x7f}, 1, 0},
		{{0x80}, 1, 0},
		{{0x8f}, 1, 30},
		{{0x90}, 1, 0},
		{{0x9f}, 1, 15},
		{{0xa0}, 1, 0},
		{{0xbf}, 1, 31},
		{{0xc0}, 1, 0},
		{{0xc2}, 1, 0},
		{{0xc3}, 1, 0},
		{{0xc4, 0}, 2, 0},
		{{0xc4, 255}, 2, 255},
		{{0xc5, 1, 0}, 3, 256},
		{{0xc6, 0, 1, 0, 0}, 5, 65536},
		{{0xc7, 3, 9}, 3, 3},
		{{0xc8, 1, 0, 9}, 4, 256},
		{{0xc9, 0, 1, 0, 0, 9}, 6, 65536},
		{{0xca}, 1, 4},
		{{0xcb}, 1, 8},
		{{0xcc}, 1, 1},
		{{0xcd}, 1, 2},
		{{0xce}, 1, 4},
		{{0xcf}, 1, 8},
		{{0xd0}, 1, 1},
		{{0xd1}, 1, 2},
		{{0xd2}, 1, 4},
		{{0xd3}, 1, 8},
		{{0xd4, 9}, 2, 1},
		{{0xd5, 9}, 2, 2},
		{{0xd6, 9}, 2, 4},
		{{0xd7, 9}, 2, 8},
		{{0xd8, 9}, 2, 16},
		{{0xd9, 200}, 2, 200},
		{{0xda, 1, 0}, 3, 256},
		{{0xdb, 0, 1, 0, 0}, 5, 65536},
		{{0xdc, 1, 0}, 3, 256},
		{{0xdd, 0, 1, 0, 0}, 5, 65536},
		{{0xde, 1, 0}, 3, 512},
		{{0xdf, 0, 1, 0, 0}, 5, 131072},
		{{0xe0}, 1, 0},
		{{0xff}, 1, 0},
	};
	static uint8_t bytes[140000];

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		size_t len = formats[i].head_len + formats[i].body_len;

		memset(bytes, 0, sizeof bytes);
		memcpy(bytes, formats[i].head, formats[i].head_len);
		assert_int_equal(sweep_one(check, slice_of(bytes, len)), 0);
		assert_int_equal(sweep_one(check, slice_of(bytes, len - 1)), -EBADMSG);
		assert_refused(slice_of(bytes, len + 1), "bytes after the object");
	}
}

static void nothing_is_no_object(void **state)
{
	assert_refused(slice_of(NULL, 0), "truncated");
	assert_refused(slice_of("", 0), "truncated");
}

static void the_byte_that_is_never_used_is_refused(void **state)
{
	assert_refused(BYTES(0xc1), "an invalid byte");
	assert_refused(BYTES(0x92, 0x01, 0xc1), "an invalid byte");
}

/* Each would make msgpack-c ask for gigabytes. */
static void a_huge_count_is_refused_at_once(void **state)
{
	assert_refused(BYTES(0xdf, 0x0f, 0xff, 0xff, 0xff, 0xc0), "a count larger than the message");
	assert_refused(BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0), "a count larger than the message");
	assert_refused(BYTES(0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0), "a count larger than the message");
	assert_refused(BYTES(0xdc, 0xff, 0xff, 0xc0), "a count larger than the message");
	assert_refused(BYTES(0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0), "truncated");
	assert_refused(BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 0xc0), "truncated");
	assert_refused(BYTES(0xc9, 0xff, 0xff, 0xff, 0xff, 0xc0), "truncated");
}

/* The same bytes may not pay for the items of a container and of one inside it. */
static void nested_counts_are_held_against_the_bytes_together(void **state)
{
	assert_int_equal(check(BYTES(0x94, 0x93, 1, 2, 3, 1, 2, 3)), 0);
	assert_refused(BYTES(0x94, 0x94, 1, 2, 3, 1, 2, 3), "a count larger than the message");
}

static size_t nest(uint8_t *out, size_t depth)
{
	memset(out, 0x91, depth);
	out[depth] = 0xc0;
	return depth + 1;
}

static void sixty_four_levels_are_the_limit(void **state)
{
	uint8_t bytes[200];

	assert_int_equal(sweep_one(check, slice_of(bytes, nest(bytes, 64))), 0);
	assert_refused(slice_of(bytes, nest(bytes, 65)), "nested too deep");
	nest(bytes, 64);
	bytes[64] = 0x90; /* an empty array is a level as well */
	assert_refused(slice_of(bytes, 65), "nested too deep");
}

static void the_length_of_the_first_object_is_found(void **state)
{
	const char *reason;

	assert_int_equal(wire_object_len(BYTES(0x92, 1, 0xa1, 'x', 0xc0, 0xc0), 64, &reason), 4);
	assert_int_equal(wire_object_len(BYTES(0x92, 1, 0xa1), 64, &reason), -EBADMSG);
	assert_int_equal(wire_object_len(BYTES(0x91, 0x91, 1), 1, &reason), -EBADMSG);
	assert_int_equal(wire_object_len(BYTES(0x91, 0x91, 1), 2, &reason), 3);
	assert_int_equal(wire_object_len(BYTES(1, 0xc1), 0, &reason), 1);
}

static void maps_and_arrays_say_their_count(void **state)
{
	enum wire_kind kind;
	uint32_t count;

	assert_int_equal(wire_open(BYTES(0x82), &kind, &count), 1);
	assert_int_equal(kind, WIRE_MAP);
	assert_int_equal(count, 2);
	assert_int_equal(wire_open(BYTES(0xdd, 0, 1, 0, 0), &kind, &count), 5);
	assert_int_equal(kind, WIRE_ARRAY);
	assert_int_equal(count, 65536);
	assert_int_equal(wire_open(BYTES(0xa1, 'x'), &kind, &count), 0);
	assert_int_equal(kind, WIRE_SCALAR);
}

/* ---- as JSON ---- */

static void assert_json(struct slice object, const char *expected)
{
	struct buf out;

	buf_init(&out, 100000);
	buf_append_text(&out, ">");
	assert_int_equal(wire_to_json(object, &out), 0);
	assert_string_equal(buf_text(&out) + 1, expected);
	buf_done(&out);
}

static void assert_no_json(struct slice object)
{
	struct buf out;

	buf_init(&out, 100000);
	buf_append_text(&out, ">");
	assert_int_equal(wire_to_json(object, &out), -EBADMSG);
	assert_string_equal(buf_text(&out), ">");
	buf_done(&out);
}

static void scalars_become_json(void **state)
{
	assert_json(BYTES(0xc0), "null");
	assert_json(BYTES(0xc2), "false");
	assert_json(BYTES(0xc3), "true");
	assert_json(BYTES(0x07), "7");
	assert_json(BYTES(0xff), "-1");
	assert_json(BYTES(0xcf, 255, 255, 255, 255, 255, 255, 255, 255), "18446744073709551615");
	assert_json(BYTES(0xd3, 128, 0, 0, 0, 0, 0, 0, 0), "-9223372036854775808");
	assert_json(BYTES(0xa3, 'a', '"', '\n'), "\"a\\\"\\n\"");
	assert_json(BYTES(0xa2, 'a', 0xff), "\"a\xef\xbf\xbd\"");
}

static void floats_are_as_short_as_they_read_back(void **state)
{
	assert_json(BYTES(0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a), "0.1");
	assert_json(BYTES(0xcb, 0x3f, 0xd5, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55), "0.3333333333333333");
	assert_json(BYTES(0xcb, 0x7f, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "1.7976931348623157e+308");
	assert_json(BYTES(0xca, 0x3d, 0xcc, 0xcc, 0xcd), "0.1");
	assert_json(BYTES(0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0), "-0");
}

static void what_json_has_no_number_for_is_null(void **state)
{
	assert_json(BYTES(0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0), "null");
	assert_json(BYTES(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), "null");
	assert_json(BYTES(0xca, 0xff, 0x80, 0, 0), "null");
	assert_json(BYTES(0xd6, 0xff, 0, 0, 0, 1), "null");
}

static void containers_become_json(void **state)
{
	assert_json(BYTES(0x80), "{}");
	assert_json(BYTES(0x90), "[]");
	assert_json(BYTES(0x82, 0xa1, 'a', 0x92, 1, 2, 0xa0, 0x80), "{\"a\":[1,2],\"\":{}}");
}

static void a_bin_of_json_is_passed_on_unchanged(void **state)
{
	assert_json(BYTES(0xc4, 8, '{', '"', 'a', '"', ':', ' ', '1', '}'), "{\"a\": 1}");
	assert_json(BYTES(0x91, 0xc4, 4, '1', '.', '1', '0'), "[1.10]");
}

static void a_bin_of_other_text_is_a_string(void **state)
{
	assert_json(BYTES(0xc4, 5, 'o', 'o', 'p', 's', '\n'), "\"oops\\n\"");
	assert_json(BYTES(0xc4, 0), "\"\"");
	assert_json(BYTES(0xc4, 2, 0xff, 0xfe), "null");
}

static void what_json_cannot_say_is_refused_whole(void **state)
{
	assert_no_json(BYTES(0x81, 0x01, 0x02));
	assert_no_json(BYTES(0x81, 0x90, 0x02));
	assert_no_json(BYTES(0x81, 0xc4, 1, 'a', 0x02));
	assert_no_json(BYTES(0x82, 0xa1, 'a', 1, 0xa1, 'a', 2));
	assert_no_json(BYTES(0x92, 1));
	assert_no_json(BYTES(1, 1));
}

static void json_is_as_deep_as_the_wire_allows(void **state)
{
	static const uint8_t bin[] = {0xc4, 2, '[', ']'};
	uint8_t bytes[100];
	struct buf expected;

	buf_init(&expected, 200);
	for (int i = 0; i < 64; i++)
		buf_append_byte(&expected, '[');
	buf_append_text(&expected, "null");
	for (int i = 0; i < 64; i++)
		buf_append_byte(&expected, ']');
	assert_json(slice_of(bytes, nest(bytes, 64)), buf_text(&expected));
	buf_done(&expected);
	/* A bin of JSON one level below the deepest place does not fit there. */
	nest(bytes, 64);
	memcpy(bytes + 64, bin, sizeof bin);
	assert_no_json(slice_of(bytes, 64 + sizeof bin));
}

static int encode_json(struct buf *out)
{
	return wire_to_json(
		BYTES(0x83, 0xa1, 'a', 0x92, 1, 0xc3, 0xa1, 'b', 0xc4, 2, '{', '}', 0xa1, 'c', 0xa1, 1), out);
}

static void every_bound_of_the_json_holds(void **state)
{
	sweep_bounds(encode_json);
}

static int json_or_refused(struct slice bytes)
{
	struct json_error error;
	struct buf out;
	int rc;

	buf_init(&out, 100000);
	rc = wire_to_json(bytes, &out);
	if (rc == 0 && json_check(buf_slice(&out), &error) < 0)
		rc = -EILSEQ;
	buf_done(&out);
	return rc;
}

static void every_mutation_gives_valid_json_or_none(void **state)
{
	struct slice good = BYTES(0x84, 0xa1, 'a', 0x92, 0xcd, 1, 2, 0xc3, 0xa1, 'b', 0xc4, 2, '{', '}', 0xa1,
		'c', 0xa2, 0xc3, 0xa9, 0xa1, 'd', 0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a);

	sweep_mutations(json_or_refused, good);
	sweep_prefixes(json_or_refused, good);
}

static void texts_and_bytes_become_objects(void **state)
{
	struct buf out;

	buf_init(&out, 100);
	assert_int_equal(wire_str(slice_text("hi"), &out), 0);
	assert_int_equal(wire_bin(slice_text("yo"), &out), 0);
	assert_int_equal(wire_bin(slice_text(NULL), &out), 0);
	assert_true(slice_is_equal(buf_slice(&out), BYTES(0xa2, 'h', 'i', 0xc4, 2, 'y', 'o', 0xc4, 0)));
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_is_known),
		cmocka_unit_test(nothing_is_no_object),
		cmocka_unit_test(the_byte_that_is_never_used_is_refused),
		cmocka_unit_test(a_huge_count_is_refused_at_once),
		cmocka_unit_test(nested_counts_are_held_against_the_bytes_together),
		cmocka_unit_test(sixty_four_levels_are_the_limit),
		cmocka_unit_test(the_length_of_the_first_object_is_found),
		cmocka_unit_test(maps_and_arrays_say_their_count),
		cmocka_unit_test(scalars_become_json),
		cmocka_unit_test(floats_are_as_short_as_they_read_back),
		cmocka_unit_test(what_json_has_no_number_for_is_null),
		cmocka_unit_test(containers_become_json),
		cmocka_unit_test(a_bin_of_json_is_passed_on_unchanged),
		cmocka_unit_test(a_bin_of_other_text_is_a_string),
		cmocka_unit_test(what_json_cannot_say_is_refused_whole),
		cmocka_unit_test(json_is_as_deep_as_the_wire_allows),
		cmocka_unit_test(every_bound_of_the_json_holds),
		cmocka_unit_test(every_mutation_gives_valid_json_or_none),
		cmocka_unit_test(texts_and_bytes_become_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
