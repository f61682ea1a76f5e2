#include <errno.h>

#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

static bool is_within(struct slice part, struct slice whole)
{
	return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

/* A string decodes to UTF-8, and what it decodes to is a string that decodes to the same. */
static void string_round_trips(struct slice string)
{
	struct json_error error;
	struct buf first, again, second;

	buf_init(&first, 4 * string.len + 1);
	buf_init(&again, 8 * string.len + 64);
	buf_init(&second, 4 * string.len + 1);
	fuzz_require(json_decode_string(string, &first) == 0);
	fuzz_require(utf8_is_valid(buf_slice(&first)));
	fuzz_require(json_append_string(&again, buf_slice(&first)) == 0);
	fuzz_require(json_check(buf_slice(&again), &error) == 0);
	fuzz_require(json_decode_string(buf_slice(&again), &second) == 0);
	fuzz_require(slice_is_equal(buf_slice(&first), buf_slice(&second)));
	buf_done(&first);
	buf_done(&again);
	buf_done(&second);
}

/* Puts the value together again from the parts that were found. */
static void rebuild(struct slice value, struct buf *out);

static void rebuild_object(struct slice value, struct buf *out)
{
	struct json_member m = {.offset = 0};
	const char *before = "{";

	while (json_next_member(value, &m)) {
		fuzz_require(is_within(m.key, value) && is_within(m.value, value));
		string_round_trips(m.key);
		buf_append_text(out, before);
		buf_printf(out, "\"%.*s\":", SLICE_ARG(m.key));
		rebuild(m.value, out);
		before = ",";
	}
	buf_append_text(out, *before == '{' ? "{}" : "}");
}

static void rebuild_array(struct slice value, struct buf *out)
{
	struct json_item i = {.offset = 0};
	const char *before = "[";

	while (json_next_item(value, &i)) {
		fuzz_require(is_within(i.value, value));
		buf_append_text(out, before);
		rebuild(i.value, out);
		before = ",";
	}
	buf_append_text(out, *before == '[' ? "[]" : "]");
}

static void rebuild(struct slice value, struct buf *out)
{
	switch (json_type_of(value)) {
	case JSON_OBJECT: rebuild_object(value, out); break;
	case JSON_ARRAY: rebuild_array(value, out); break;
	case JSON_STRING:
		string_round_trips(value);
		buf_append_slice(out, value);
		break;
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER: buf_append_slice(out, value); break;
	}
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice trimmed(struct slice s)
{
	while (s.len > 0 && is_space(s.data[0]))
		s = slice_of(s.data + 1, s.len - 1);
	while (s.len > 0 && is_space(s.data[s.len - 1]))
		s.len--;
	return s;
}

/* Nothing but white space is lost when a checked text is taken apart, and the parts together pass the check. */
static void parts_make_the_whole(struct slice text)
{
	struct json_error error;
	struct buf out, again;

	buf_init(&out, 2 * text.len + 64);
	buf_init(&again, 2 * text.len + 64);
	rebuild(trimmed(text), &out);
	fuzz_require(json_check(buf_slice(&out), &error) == 0);
	fuzz_require(out.len <= text.len);
	rebuild(buf_slice(&out), &again);
	fuzz_require(slice_is_equal(buf_slice(&out), buf_slice(&again)));
	buf_done(&out);
	buf_done(&again);
}

/* Of text that was not checked nothing is asked but to keep within it and to end. */
static void walk(struct slice text)
{
	struct json_member m = {.offset = 0};
	struct json_item i = {.offset = 0};

	while (json_next_member(text, &m))
		fuzz_require(is_within(m.key, text) && is_within(m.value, text));
	while (json_next_item(text, &i))
		fuzz_require(is_within(i.value, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice text = slice_of(data, len);
	struct json_error error;
	int rc = json_check(text, &error);

	fuzz_require(rc == 0 || (rc == -EBADMSG && error.offset <= len));
	if (rc == 0)
		parts_make_the_whole(text);
	else if (len > 0)
		walk(text);
	return 0;
}
