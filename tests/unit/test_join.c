#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/join.h"
#include "proto/json.h"

static struct call_param param(const char *name, const char *value)
{
	return (struct call_param){slice_text(name), slice_text(value)};
}

static void assert_valid(struct buf *out)
{
	struct json_error error;

	assert_int_equal(json_check(buf_slice(out), &error), 0);
}

static void a_name_of_the_path_wins_and_the_last_of_the_query(void **state)
{
	struct call_param path[] = {param("a", "path")};
	struct call_param query[] = {param("a", "1"), param("b", "1"), param("c", "1"), param("b", "2")};
	struct call_param out[5];

	assert_int_equal(join_params(path, 1, query, 4, out), 3);
	assert_true(slice_is_text(join_find(out, 3, slice_text("a"))->value, "path"));
	assert_true(slice_is_text(join_find(out, 3, slice_text("b"))->value, "2"));
	assert_null(join_find(out, 3, slice_text("d")));
	assert_int_equal(join_params(NULL, 0, NULL, 0, out), 0);
}

static void members_keep_their_bytes(void **state)
{
	static const struct {
		const char *object, *joined;
	} cases[] = {
		{"{}", "{\"k\":\"v\"}"},
		{" { } ", "{\"k\":\"v\"}"},
		{"{\"k\":1}", "{\"k\":\"v\"}"},
		{"{\"\\u006b\":1,\"l\" : 1.10 }", "{\"l\":1.10,\"k\":\"v\"}"},
		{"{\"a\":{\"k\":1},\"K\":[1, 2]}", "{\"a\":{\"k\":1},\"K\":[1, 2],\"k\":\"v\"}"},
	};
	struct call_param params[] = {param("k", "v")};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(join_object(slice_text(cases[i].object), params, 1, &out), 0);
		assert_string_equal(buf_text(&out), cases[i].joined);
		assert_valid(&out);
		buf_done(&out);
	}
}

static void foreign_text_is_escaped(void **state)
{
	struct call_param params[] = {param("a\"\\", "\n\x01\xc3\xa9"), param("", "")};
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(join_metadata(params, 2, &out), 0);
	assert_valid(&out);
	assert_string_equal(buf_text(&out), "{\"params\":{\"a\\\"\\\\\":\"\\n\\u0001\xc3\xa9\",\"\":\"\"}}");
	buf_done(&out);
}

static void a_template_is_filled_in(void **state)
{
	static const struct {
		const char *template, *filled;
	} cases[] = {
		{"{\"t\":\"{id}\"}", "{\"t\":\"ID\"}"},
		{"{\"t\":\"<{id}{task}>\",\"u\":[\"{k}\"]}", "{\"t\":\"<IDTASK>\",\"u\":[\"v\\\"{id}\"]}"},
		{"{\"{id}\":1}", "{\"ID\":1}"},
		{"{\"a\":{\"id\":1}}", "{\"a\":{\"id\":1}}"},
		{"\"{id\"", "\"{id\""},
		{"\"{\"", "\"{\""},
		{"\"{}{none}{ id}\"", "\"{}{none}{ id}\""},
		{"\"\\\"{id}\\\\\"", "\"\\\"ID\\\\\""},
		{"[\"a{\",\"b}\",\"{id}\"]", "[\"a{\",\"b}\",\"ID\"]"},
		{"\"{{id}}\"", "\"{ID}\""},
		{"true", "true"},
	};
	struct call_param params[] = {param("k", "v\"{id}")};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(join_template(slice_text(cases[i].template), slice_text("ID"),
					 slice_text("TASK"), params, 1, &out),
			0);
		assert_string_equal(buf_text(&out), cases[i].filled);
		assert_valid(&out);
		buf_done(&out);
	}
}

static void every_bound_is_an_error_and_nothing_worse(void **state)
{
	struct call_param params[] = {param("k", "v"), param("l", "w")};

	for (size_t max = 0; max < 26; max++) {
		struct buf out;

		buf_init(&out, max);
		assert_int_equal(join_object(slice_text("{\"a\":1,\"b\":2}"), params, 2, &out), -EMSGSIZE);
		buf_reset(&out);
		join_template(slice_text("{\"a\":\"{k}{l}{id}{task}\"}"), slice_text("0123456789"),
			slice_text("TASK"), params, 2, &out);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_of_the_path_wins_and_the_last_of_the_query),
		cmocka_unit_test(members_keep_their_bytes),
		cmocka_unit_test(foreign_text_is_escaped),
		cmocka_unit_test(a_template_is_filled_in),
		cmocka_unit_test(every_bound_is_an_error_and_nothing_worse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
