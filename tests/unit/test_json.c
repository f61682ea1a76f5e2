#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/json.h"
#include "tests/unit/sweeps.h"

static int check(struct slice text)
{
	struct json_error error;

	return json_check(text, &error);
}

static void assert_valid(const char *text)
{
	if (sweep_one(check, slice_text(text)) != 0)
		fail_msg("refused: %s", text);
}

static void assert_refused(struct slice text, size_t offset, const char *reason)
{
	struct json_error error;

	assert_int_equal(json_check(text, &error), -EBADMSG);
	assert_string_equal(error.reason, reason);
	assert_int_equal(error.offset, offset);
}

/* ---- the check ---- */

static void every_kind_of_value_is_valid(void **state)
{
	static const char *const texts[] = {
		"null",
		"true",
		"false",
		"0",
		"-0",
		"1.10",
		"12345678901234567890",
		"1e400",
		"-1.5E-7",
		"2e+3",
		"\"\"",
		"\"\\u0000\"",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\\ud83d\\ude00\"",
		"\"\x7f\"",
		"[]",
		"{}",
		"[ ]",
		"{ }",
		"[1,[2,[3]]]",
		"{\"\":0}",
		"{\"a\":{\"a\":{\"a\":1}}}",
		" \t\r\n[ 1 , 2 ]\n",
		"[{\"a\":1},{\"a\":1}]",
		"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"",
		"\"\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_valid(texts[i]);
}

static void what_is_wrong_is_said_with_its_offset(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *reason;
	} cases[] = {
		{"", 0, "a value expected"},
		{"  ", 2, "a value expected"},
		{"\xef\xbb\xbf{}", 0, "a value expected"},
		{"nul", 0, "a value expected"},
		{"nulL", 0, "a value expected"},
		{"True", 0, "a value expected"},
		{"NaN", 0, "a value expected"},
		{"+1", 0, "a value expected"},
		{".5", 0, "a value expected"},
		{"'a'", 0, "a value expected"},
		{"// x\n1", 0, "a value expected"},
		{"-", 1, "a digit expected"},
		{"-a", 1, "a digit expected"},
		{"1.", 2, "a digit expected"},
		{"1.e5", 2, "a digit expected"},
		{"1e", 2, "a digit expected"},
		{"1e+", 3, "a digit expected"},
		{"1e-+", 3, "a digit expected"},
		{"01", 1, "text after the value"},
		{"-01", 2, "text after the value"},
		{"0x10", 1, "text after the value"},
		{"1 2", 2, "text after the value"},
		{"{}{}", 2, "text after the value"},
		{"null,", 4, "text after the value"},
		{"[", 1, "a value expected"},
		{"[1", 2, "',' or ']' expected"},
		{"[1,", 3, "a value expected"},
		{"[1,]", 3, "a value expected"},
		{"[,1]", 1, "a value expected"},
		{"[1 2]", 3, "',' or ']' expected"},
		{"[1}", 2, "',' or ']' expected"},
		{"{", 1, "a key in quotes expected"},
		{"{a:1}", 1, "a key in quotes expected"},
		{"{1:1}", 1, "a key in quotes expected"},
		{"{,}", 1, "a key in quotes expected"},
		{"{\"a\"}", 4, "':' expected"},
		{"{\"a\":}", 5, "a value expected"},
		{"{\"a\":1", 6, "',' or '}' expected"},
		{"{\"a\":1,}", 7, "a key in quotes expected"},
		{"{\"a\":1]", 6, "',' or '}' expected"},
		{"\"abc", 4, "a string without its end"},
		{"\"abc\\", 5, "an unknown escape"},
		{"\"abc\\\"", 6, "a string without its end"},
		{"\"\\a\"", 2, "an unknown escape"},
		{"\"\\U0041\"", 2, "an unknown escape"},
		{"\"\\u12\"", 5, "four hexadecimal digits expected"},
		{"\"\\u12G4\"", 5, "four hexadecimal digits expected"},
		{"\"a\nb\"", 2, "a control character in a string"},
		{"\"a\x1f\"", 2, "a control character in a string"},
		{"\"a\x80\"", 2, "not UTF-8"},
		{"\"a\xc0\x80\"", 2, "not UTF-8"},
		{"\"a\xc1\xbf\"", 2, "not UTF-8"},
		{"\"a\xe0\x9f\xbf\"", 2, "not UTF-8"},
		{"\"a\xed\xa0\x80\"", 2, "not UTF-8"},
		{"\"a\xf0\x8f\xbf\xbf\"", 2, "not UTF-8"},
		{"\"a\xf4\x90\x80\x80\"", 2, "not UTF-8"},
		{"\"a\xf5\x80\x80\x80\"", 2, "not UTF-8"},
		{"\"a\xe2\x82\"", 2, "not UTF-8"},
		{"\"a\xc3", 2, "not UTF-8"},
		{"{\"\xff\":1}", 2, "not UTF-8"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice text = slice_text(cases[i].text);

		assert_refused(text, cases[i].offset, cases[i].reason);
		assert_int_equal(sweep_one(check, text), -EBADMSG);
	}
}

static void no_text_at_all_is_refused(void **state)
{
	assert_refused(slice_of(NULL, 0), 0, "a value expected");
}

static void a_nul_byte_is_refused_everywhere(void **state)
{
	assert_refused(slice_of("\0", 1), 0, "a value expected");
	assert_refused(slice_of("1\0", 2), 1, "text after the value");
	assert_refused(slice_of("\"\0\"", 3), 1, "a control character in a string");
	assert_refused(slice_of("\"\\\0\"", 4), 2, "an unknown escape");
}

static void half_a_surrogate_pair_passes(void **state)
{
	assert_valid("\"\\ud800\"");
	assert_valid("\"\\udc00\\ud800\"");
	assert_valid("\"\\ud800\\u0041\"");
}

static size_t nest(char *out, const char *open, const char *close, size_t depth)
{
	size_t len = 0;

	for (size_t i = 0; i < depth; i++)
		len += (size_t)sprintf(out + len, "%s", open);
	out[len++] = '1';
	for (size_t i = 0; i < depth; i++)
		len += (size_t)sprintf(out + len, "%s", close);
	return len;
}

static void sixty_four_levels_are_the_limit(void **state)
{
	char text[1000];

	assert_int_equal(check(slice_of(text, nest(text, "[", "]", 64))), 0);
	assert_refused(slice_of(text, nest(text, "[", "]", 65)), 64, "nested too deep");
	assert_int_equal(check(slice_of(text, nest(text, "{\"a\":", "}", 64))), 0);
	assert_refused(slice_of(text, nest(text, "{\"a\":", "}", 65)), 64 * 5, "nested too deep");
}

static void a_megabyte_of_brackets_is_refused_in_time(void **state)
{
	static char text[1 << 20];

	memset(text, '[', sizeof text);
	assert_refused(slice_of(text, sizeof text), 64, "nested too deep");
}

/* ---- duplicate keys ---- */

static void a_key_may_not_be_there_twice_at_any_level(void **state)
{
	assert_refused(slice_text("{\"a\":1,\"a\":2}"), 8, "a key that is there twice");
	assert_refused(slice_text("{\"\":1,\"\":2}"), 7, "a key that is there twice");
	assert_refused(slice_text("[0,{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]"), 22, "a key that is there twice");
	assert_valid("{\"a\":{\"a\":1},\"b\":{\"a\":1},\"A\":0}");
}

static void keys_are_compared_decoded(void **state)
{
	static const char *const pairs[][2] = {
		{"a", "\\u0061"},
		{"\\u0061", "a"},
		{"\\u00e9", "\xc3\xa9"},
		{"\\u00E9", "\\u00e9"},
		{"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
		{"/", "\\/"},
		{"\\n", "\\u000a"},
		{"\\\"", "\\u0022"},
		{"\\ud800", "\\udfff"}, /* both are U+FFFD */
		{"\\ud800", "\xef\xbf\xbd"},
	};
	char text[100];

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		snprintf(text, sizeof text, "{\"%s\":1,\"%s\":2}", pairs[i][0], pairs[i][1]);
		assert_int_equal(check(slice_text(text)), -EBADMSG);
	}
	assert_valid("{\"a\":1,\"\\\\u0061\":2}");
	assert_valid("{\"\\u0000\":1,\"\":2}");
	assert_valid("{\"\\u0000a\":1,\"\\u0000b\":2}");
}

/* `n` keys, of which the one at `twin` repeats the first, once plain and once with an escape. */
static void assert_twin_found(size_t n, size_t twin, bool escaped)
{
	struct json_error error;
	struct buf text;

	buf_init(&text, 10000000);
	buf_append_byte(&text, '{');
	for (size_t i = 0; i < n; i++) {
		const char *gap = i > 0 ? "," : "";

		if (i == twin)
			buf_printf(&text, "%s\"%sey0\":0", gap, escaped ? "\\u006b" : "k");
		else
			buf_printf(&text, "%s\"key%zu\":0", gap, i);
	}
	buf_append_byte(&text, '}');
	assert_int_equal(json_check(buf_slice(&text), &error), twin < n ? -EBADMSG : 0);
	if (twin < n) {
		assert_string_equal(error.reason, "a key that is there twice");
		assert_memory_equal(text.data + error.offset, escaped ? "\\u006bey0\"" : "key0\"", 5);
	}
	buf_done(&text);
}

static void a_twin_is_found_among_any_number_of_keys(void **state)
{
	static const size_t counts[] = {2, 3, 15, 16, 17, 18, 31, 32, 33, 63, 64, 65, 66, 1000};

	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		size_t n = counts[i];

		assert_twin_found(n, n, false);
		assert_twin_found(n, n - 1, false);
		assert_twin_found(n, n - 1, true);
		assert_twin_found(n, n / 2, true);
	}
}

/* The hash of the search for duplicates, to make keys that all want one place of its table. */
static uint64_t hash_of(const char *key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	while (*key)
		hash = (hash ^ (uint8_t)*key++) * UINT64_C(0x100000001b3);
	return hash;
}

static void keys_made_to_collide_are_told_apart(void **state)
{
	struct buf text;
	unsigned number = 0;

	buf_init(&text, 100000);
	buf_append_byte(&text, '{');
	for (int i = 0; i < 200; i++) {
		char key[20];

		do
			snprintf(key, sizeof key, "%u", number++);
		while ((hash_of(key) & 0x1ff) != 0);
		buf_printf(&text, "\"%s\":0,", key);
	}
	buf_append_text(&text, "\"twin\":0}");
	assert_int_equal(check(buf_slice(&text)), 0);
	text.len--;
	buf_append_text(&text, ",\"\\u0074win\":0}");
	assert_int_equal(check(buf_slice(&text)), -EBADMSG);
	buf_done(&text);
}

static void keys_of_open_objects_are_not_mixed_up(void **state)
{
	struct buf text;

	buf_init(&text, 1000000);
	buf_append_byte(&text, '{');
	for (int i = 0; i < 300; i++)
		buf_printf(&text, "\"k%d\":{\"k%d\":{\"k%d\":0,\"x\":1},\"y\":2},", i, i, i);
	buf_append_text(&text, "\"z\":0}");
	assert_int_equal(check(buf_slice(&text)), 0);
	buf_done(&text);
}

/* Quadratic work would be minutes. */
static void half_a_million_keys_are_checked_in_time(void **state)
{
	struct buf text;

	buf_init(&text, 16 << 20);
	buf_append_byte(&text, '{');
	for (int i = 0; i < 500000; i++)
		buf_printf(&text, "\"\\u006b%x\":0,", (unsigned)i);
	buf_append_text(&text, "\"z\":0}");
	assert_int_equal(check(buf_slice(&text)), 0);
	buf_done(&text);
}

/* ---- sweeps ---- */

static const char rich[] =
	"{\"a\":[1,-2.5e+3,true,false,null,\"x\\n\\ud83d\\ude00\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"],"
	"\"b\":{\"c\":{},\"d\":[]},\"\\u0062b\":\"a text of more than eight bytes\"}";

static void every_prefix_is_refused(void **state)
{
	sweep_prefixes(check, slice_text(rich));
}

static bool is_within(struct slice part, struct slice whole)
{
	return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static int recheck(struct slice value, unsigned depth);

static int recheck_members(struct slice value, unsigned depth)
{
	struct json_member m = {.offset = 0};
	int rc = 0;

	while (rc == 0 && json_next_member(value, &m)) {
		if (!is_within(m.key, value) || !is_within(m.value, value))
			return -EILSEQ;
		rc = recheck(m.value, depth + 1);
	}
	return rc;
}

static int recheck_items(struct slice value, unsigned depth)
{
	struct json_item i = {.offset = 0};
	int rc = 0;

	while (rc == 0 && json_next_item(value, &i)) {
		if (!is_within(i.value, value))
			return -EILSEQ;
		rc = recheck(i.value, depth + 1);
	}
	return rc;
}

/* Whatever is found inside a checked value is itself valid. */
static int recheck(struct slice value, unsigned depth)
{
	if (check(value) < 0)
		return depth == 0 ? -EBADMSG : -EILSEQ;
	if (json_type_of(value) == JSON_OBJECT)
		return recheck_members(value, depth);
	return json_type_of(value) == JSON_ARRAY ? recheck_items(value, depth) : 0;
}

static int recheck_whole(struct slice text)
{
	return recheck(text, 0);
}

static void no_mutation_does_harm(void **state)
{
	sweep_mutations(recheck_whole, slice_text(rich));
}

/* ---- finding ---- */

static void the_type_is_seen_at_the_first_byte(void **state)
{
	assert_int_equal(json_type_of(slice_text("null")), JSON_NULL);
	assert_int_equal(json_type_of(slice_text("true")), JSON_BOOL);
	assert_int_equal(json_type_of(slice_text("false")), JSON_BOOL);
	assert_int_equal(json_type_of(slice_text("-1")), JSON_NUMBER);
	assert_int_equal(json_type_of(slice_text("\"\"")), JSON_STRING);
	assert_int_equal(json_type_of(slice_text(" \n[]")), JSON_ARRAY);
	assert_int_equal(json_type_of(slice_text("\t{}")), JSON_OBJECT);
}

static void members_come_in_order_without_a_byte_changed(void **state)
{
	static const char *const expected[][2] = {
		{"b", "1.10"},
		{"a", "{ \"x\" : [1 , 2] }"},
		{"big", "12345678901234567890"},
		{"s", "\"\\u0000 } ] \\\" , \""},
		{"\\u0061b", "[ ]"},
		{"", "null"},
	};
	struct slice object =
		slice_text(" { \"b\" :1.10, \"a\":{ \"x\" : [1 , 2] }\n,\"big\":12345678901234567890,"
			   "\"s\":\"\\u0000 } ] \\\" , \",\"\\u0061b\": [ ] , \"\" : null } ");
	struct json_member m = {.offset = 0};

	assert_int_equal(check(object), 0);
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_true(json_next_member(object, &m));
		assert_true(slice_is_text(m.key, expected[i][0]));
		assert_true(slice_is_text(m.value, expected[i][1]));
	}
	assert_false(json_next_member(object, &m));
	assert_false(json_next_member(object, &m));
}

static void items_come_in_order_without_a_byte_changed(void **state)
{
	static const char *const expected[] = {"1.10", "[[],[2]]", "{\"a\":\"]\"}", "\"x,\\\"y\"", "null"};
	struct slice array = slice_text("[1.10 ,[[],[2]], {\"a\":\"]\"},\n\"x,\\\"y\" , null ]");
	struct json_item item = {.offset = 0};

	assert_int_equal(check(array), 0);
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_true(json_next_item(array, &item));
		assert_true(slice_is_text(item.value, expected[i]));
	}
	assert_false(json_next_item(array, &item));
	assert_false(json_next_item(array, &item));
}

static void empty_containers_and_other_values_have_nothing_inside(void **state)
{
	static const char *const texts[] = {"{}", " { } ", "[]", "[ ]", "1", "null", "\"{\"", "\"[1]\""};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct json_member m = {.offset = 0};
		struct json_item item = {.offset = 0};

		assert_false(json_next_member(slice_text(texts[i]), &m));
		assert_false(json_next_item(slice_text(texts[i]), &item));
	}
}

/* The walkers are meant for checked text; in any other they must still keep within it and end. */
static int walk_unchecked(struct slice text)
{
	struct json_member m = {.offset = 0};
	struct json_item i = {.offset = 0};

	while (json_next_member(text, &m))
		assert_true(is_within(m.key, text) && is_within(m.value, text));
	while (json_next_item(text, &i))
		assert_true(is_within(i.value, text));
	return 0;
}

static void walking_text_that_was_not_checked_keeps_within_it(void **state)
{
	static const char array[] = "[1,\"a\\\\\",{\"b\":[2]},[],\"\\\"";

	sweep_mutations(walk_unchecked, slice_text(rich));
	for (size_t len = 0; len < sizeof rich; len++)
		sweep_one(walk_unchecked, slice_of(rich, len));
	for (size_t len = 0; len < sizeof array; len++)
		sweep_one(walk_unchecked, slice_of(array, len));
}

/* ---- strings ---- */

static void assert_decoded(const char *value, struct slice expected)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(json_decode_string(slice_text(value), &out), 0);
	assert_true(slice_is_equal(buf_slice(&out), expected));
	buf_done(&out);
}

static void escapes_are_decoded(void **state)
{
	assert_decoded("\"\"", slice_text(""));
	assert_decoded("\"plain \xc3\xa9\"", slice_text("plain \xc3\xa9"));
	assert_decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", slice_text("\"\\/\b\f\n\r\t"));
	assert_decoded("\"a\\u0000b\"", slice_of("a\0b", 3));
	assert_decoded("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"",
		slice_text("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
	assert_decoded("\"\\udbff\\udfff\"", slice_text("\xf4\x8f\xbf\xbf"));
}

static void half_a_surrogate_pair_decodes_to_the_replacement_character(void **state)
{
	assert_decoded("\"\\ud800\"", slice_text("\xef\xbf\xbd"));
	assert_decoded("\"\\udc00x\"", slice_text("\xef\xbf\xbdx"));
	assert_decoded("\"\\ud800\\u0041\"", slice_text("\xef\xbf\xbd"
							"A"));
	assert_decoded("\"\\ud800\\n\"", slice_text("\xef\xbf\xbd\n"));
	assert_decoded("\"\\ud800\\ud83d\\ude00\"", slice_text("\xef\xbf\xbd\xf0\x9f\x98\x80"));
	assert_decoded("\"\\ud800u0041\"", slice_text("\xef\xbf\xbdu0041"));
}

static void a_key_is_decoded_without_quotes(void **state)
{
	assert_decoded("a\\nb", slice_text("a\nb"));
	assert_decoded("\\\"", slice_text("\""));
	assert_decoded("", slice_text(""));
}

static void a_key_is_known_by_its_decoded_text(void **state)
{
	assert_true(json_key_is(slice_text("task"), "task"));
	assert_true(json_key_is(slice_text("t\\u0061sk"), "task"));
	assert_true(json_key_is(slice_text(""), ""));
	assert_false(json_key_is(slice_text("tas"), "task"));
	assert_false(json_key_is(slice_text("tasks"), "task"));
	assert_false(json_key_is(slice_text("task\\u0000"), "task"));
	assert_false(json_key_is(slice_text("\\u0000"), ""));
	assert_true(json_key_is(slice_text("\\u00e9"), "\xc3\xa9"));
}

static void assert_appended(struct slice text, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(json_append_string(&out, text), 0);
	assert_string_equal(buf_text(&out), expected);
	assert_int_equal(check(buf_slice(&out)), 0);
	buf_done(&out);
}

static void text_becomes_a_valid_string_whatever_it_is(void **state)
{
	assert_appended(slice_text(NULL), "\"\"");
	assert_appended(slice_text("plain \xc3\xa9 \x7f /"), "\"plain \xc3\xa9 \x7f /\"");
	assert_appended(slice_text("\"\\\b\f\n\r\t\x01\x1f"), "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\"");
	assert_appended(slice_of("a\0b", 3), "\"a\\u0000b\"");
	assert_appended(
		slice_text("a\xff\xc3(\xe2\x82"), "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_appended(slice_text("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void every_character_survives_as_a_string(void **state)
{
	for (uint32_t code = 0; code < 0x110000; code += code < 0x900 ? 1 : 251) {
		struct buf text, string, decoded;

		if (code >= 0xd800 && code <= 0xdfff)
			continue;
		buf_init(&text, 10);
		buf_init(&string, 100);
		buf_init(&decoded, 10);
		assert_int_equal(utf8_append(&text, code), 0);
		assert_true(utf8_is_valid(buf_slice(&text)));
		assert_int_equal(utf8_char_len(buf_slice(&text)), text.len);
		assert_int_equal(json_append_string(&string, buf_slice(&text)), 0);
		assert_int_equal(check(buf_slice(&string)), 0);
		assert_int_equal(json_decode_string(buf_slice(&string), &decoded), 0);
		assert_true(slice_is_equal(buf_slice(&text), buf_slice(&decoded)));
		buf_done(&text);
		buf_done(&string);
		buf_done(&decoded);
	}
}

static int append_string(struct buf *out)
{
	return json_append_string(out, slice_text("a\n\xff\xc3\xa9 and more than eight"));
}

static int decode_string(struct buf *out)
{
	return json_decode_string(slice_text("\"a\\n\\u20ac and \\ud83d\\ude00 more\""), out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(append_string);
	sweep_bounds(decode_string);
}

/* ---- UTF-8 ---- */

static void bytes_that_are_no_characters_are_not_valid(void **state)
{
	static const char *const texts[] = {"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xe0\x80\xaf",
		"\xe2\x82", "\xed\xbf\xbf", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
		"\xfe", "\xff", "eight or more bytes \xff", "a\xc3\xc3\xa9"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_false(utf8_is_valid(slice_text(texts[i])));
	assert_true(utf8_is_valid(slice_text("")));
	assert_true(utf8_is_valid(slice_text(NULL)));
}

static void a_cut_falls_between_characters(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};

	for (size_t max = 0; max < sizeof expected / sizeof *expected; max++)
		assert_int_equal(utf8_cut(slice_text(text), max), expected[max]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_is_valid),
		cmocka_unit_test(what_is_wrong_is_said_with_its_offset),
		cmocka_unit_test(no_text_at_all_is_refused),
		cmocka_unit_test(a_nul_byte_is_refused_everywhere),
		cmocka_unit_test(half_a_surrogate_pair_passes),
		cmocka_unit_test(sixty_four_levels_are_the_limit),
		cmocka_unit_test(a_megabyte_of_brackets_is_refused_in_time),
		cmocka_unit_test(a_key_may_not_be_there_twice_at_any_level),
		cmocka_unit_test(keys_are_compared_decoded),
		cmocka_unit_test(a_twin_is_found_among_any_number_of_keys),
		cmocka_unit_test(keys_made_to_collide_are_told_apart),
		cmocka_unit_test(keys_of_open_objects_are_not_mixed_up),
		cmocka_unit_test(half_a_million_keys_are_checked_in_time),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(the_type_is_seen_at_the_first_byte),
		cmocka_unit_test(members_come_in_order_without_a_byte_changed),
		cmocka_unit_test(items_come_in_order_without_a_byte_changed),
		cmocka_unit_test(empty_containers_and_other_values_have_nothing_inside),
		cmocka_unit_test(walking_text_that_was_not_checked_keeps_within_it),
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(half_a_surrogate_pair_decodes_to_the_replacement_character),
		cmocka_unit_test(a_key_is_decoded_without_quotes),
		cmocka_unit_test(a_key_is_known_by_its_decoded_text),
		cmocka_unit_test(text_becomes_a_valid_string_whatever_it_is),
		cmocka_unit_test(every_character_survives_as_a_string),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(bytes_that_are_no_characters_are_not_valid),
		cmocka_unit_test(a_cut_falls_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
