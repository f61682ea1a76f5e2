#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/ws_command.h"
#include "proto/json.h"

#define ID "01a20327-0130-7e13-ba14-00006c1da512"

static void commands_say_what_they_say(void **state)
{
	static const struct {
		const char *text;
		enum ws_verb verb;
		uint64_t rev;
	} cases[] = {
		{"{\"subscribe\":\"" ID "\"}", WS_SUBSCRIBE, 0},
		{" {\n\"rev\" : 3 , \"subscribe\" : \"" ID "\" } ", WS_SUBSCRIBE, 3},
		{"{\"subscribe\":\"" ID "\",\"rev\":18446744073709551615}", WS_SUBSCRIBE, UINT64_MAX},
		{"{\"unsubscribe\":\"" ID "\"}", WS_UNSUBSCRIBE, 0},
		{"{\"\\u0073ubscribe\":\"\\u0030"
		 "1a20327-0130-7e13-ba14-00006c1da512\"}",
			WS_SUBSCRIBE, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ws_command c;
		struct fault fault;

		assert_int_equal(ws_command_read(slice_text(cases[i].text), &c, &fault), 0);
		assert_int_equal(c.verb, cases[i].verb);
		assert_string_equal(c.id.text, ID);
		assert_true(c.rev == cases[i].rev);
	}
}

static void whatever_else_is_said_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text;
		enum problem problem;
		const char *field;
	} cases[] = {
		{"", PROBLEM_INVALID_JSON, ""},
		{"ping", PROBLEM_INVALID_JSON, ""},
		{"{\"subscribe\":\"a\",\"subscribe\":\"b\"}", PROBLEM_INVALID_JSON, ""},
		{"{\"subscribe\":\"a\"", PROBLEM_INVALID_JSON, ""},
		{"{}", PROBLEM_INVALID_FIELD, ""},
		{"[]", PROBLEM_INVALID_FIELD, ""},
		{"\"subscribe\"", PROBLEM_INVALID_FIELD, ""},
		{"{\"rev\":1}", PROBLEM_INVALID_FIELD, ""},
		{"{\"subscribe\":\"a\",\"unsubscribe\":\"b\"}", PROBLEM_INVALID_FIELD, ""},
		{"{\"subscribe\":1}", PROBLEM_INVALID_FIELD, "/subscribe"},
		{"{\"unsubscribe\":[\"a\"]}", PROBLEM_INVALID_FIELD, "/unsubscribe"},
		{"{\"subscribe\":\"a\",\"rev\":-1}", PROBLEM_INVALID_FIELD, "/rev"},
		{"{\"subscribe\":\"a\",\"rev\":1.0}", PROBLEM_INVALID_FIELD, "/rev"},
		{"{\"subscribe\":\"a\",\"rev\":\"1\"}", PROBLEM_INVALID_FIELD, "/rev"},
		{"{\"subscribe\":\"a\",\"rev\":18446744073709551616}", PROBLEM_INVALID_FIELD, "/rev"},
		{"{\"subscribe\":\"a\",\"since\":1}", PROBLEM_INVALID_FIELD, "/since"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ws_command c;
		struct fault fault;

		assert_int_equal(ws_command_read(slice_text(cases[i].text), &c, &fault), -EINVAL);
		assert_int_equal(fault.problem, cases[i].problem);
		assert_string_equal(fault.field, cases[i].field);
	}
}

static void answers_are_json_and_name_what_was_asked_for(void **state)
{
	struct ws_command c;
	struct json_error error;
	struct fault fault;
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(ws_command_read(slice_text("{\"subscribe\":\"" ID "\"}"), &c, &fault), 0);
	assert_int_equal(ws_render_done(&c, &out), 0);
	assert_string_equal(buf_text(&out), "{\"subscribed\":\"" ID "\"}");
	buf_reset(&out);
	c.verb = WS_UNSUBSCRIBE;
	assert_int_equal(ws_render_done(&c, &out), 0);
	assert_string_equal(buf_text(&out), "{\"unsubscribed\":\"" ID "\"}");
	buf_reset(&out);
	assert_int_equal(
		ws_command_read(slice_text("{\"subscribe\":\"\\\"\\u0001\\ud83d\\ude00\"}"), &c, &fault), 0);
	fault_set(&fault, PROBLEM_NOT_FOUND, "", "there is no such task");
	assert_int_equal(ws_render_problem(&c, &fault, &out), 0);
	assert_int_equal(json_check(buf_slice(&out), &error), 0);
	assert_string_equal(buf_text(&out),
		"{\"problem\":{\"type\":\"/problems/not-found\",\"title\":\"There is no such resource\","
		"\"status\":404,\"detail\":\"There is no such task.\"},\"subscribe\":\"\\\"\\u0001\xf0\x9f\x98\x80\"}");
	buf_done(&out);
}

static void a_long_name_for_an_id_comes_back_cut(void **state)
{
	char text[70000];
	struct ws_command c;
	struct fault fault;
	struct buf out;

	memset(text, 'x', sizeof text);
	memcpy(text, "{\"subscribe\":\"", 14);
	memcpy(text + sizeof text - 2, "\"}", 2);
	assert_int_equal(ws_command_read(slice_of(text, sizeof text), &c, &fault), 0);
	buf_init(&out, 1024);
	fault_set(&fault, PROBLEM_NOT_FOUND, "", "there is no such task");
	assert_int_equal(ws_render_problem(&c, &fault, &out), 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_say_what_they_say),
		cmocka_unit_test(whatever_else_is_said_is_refused_with_its_place),
		cmocka_unit_test(answers_are_json_and_name_what_was_asked_for),
		cmocka_unit_test(a_long_name_for_an_id_comes_back_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
