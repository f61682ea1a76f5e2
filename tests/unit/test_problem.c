#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/http.h"
#include "gateway/problem.h"
#include "proto/json.h"

static void every_problem_has_a_row(void **state)
{
	for (int p = 0; p < PROBLEMS; p++) {
		assert_in_range(problem_status((enum problem)p), 400, 599);
		assert_memory_equal(problem_type((enum problem)p), "/problems/", 10);
		assert_true(strlen(problem_title((enum problem)p)) > 0);
		assert_string_not_equal(http_reason(problem_status((enum problem)p)), "Status");
		for (int q = 0; q < p; q++)
			assert_string_not_equal(problem_type((enum problem)p), problem_type((enum problem)q));
	}
}

static void a_detail_is_a_sentence(void **state)
{
	static const struct {
		const char *detail, *sentence;
	} rows[] = {
		{"not a cursor", "\"Not a cursor.\""},
		{"Which? This one!", "\"Which? This one!\""},
		{"`then` is too large", "\"`then` is too large.\""},
		{"done.", "\"Done.\""},
		{"\xc3\xa9t\xc3\xa9", "\"\xc3\xa9t\xc3\xa9.\""},
		{"", "\"\""},
	};
	struct buf out;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		buf_init(&out, 4096);
		problem_render(PROBLEM_BUSY, NULL, NULL, rows[i].detail, NULL, &out);
		assert_non_null(strstr(strstr(buf_text(&out), "\"detail\":"), rows[i].sentence));
		buf_done(&out);
	}
}

static void a_document_is_json_whatever_was_sent(void **state)
{
	struct json_error error;
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(problem_render(PROBLEM_UNKNOWN_TASK, "/task", "\"id\":\"1\",\"outcome\":\"unknown\"",
				 "a \"quoted\"\n\xff word", "req", &out),
		0);
	assert_int_equal(json_check(buf_slice(&out), &error), 0);
	assert_string_equal(buf_text(&out),
		"{\"type\":\"/problems/unknown-task\",\"title\":\"There is no queue for this task\",\"status\":404,"
		"\"detail\":\"A \\\"quoted\\\"\\n\xef\xbf\xbd word.\",\"field\":\"/task\",\"request_id\":\"req\","
		"\"id\":\"1\",\"outcome\":\"unknown\"}");
	buf_done(&out);
}

static void every_too_small_buffer_is_an_error(void **state)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(problem_render(PROBLEM_GONE, NULL, NULL, "x", NULL, &out), 0);
	for (size_t max = 0, len = out.len; max < len; max++) {
		struct buf small;

		buf_init(&small, max);
		assert_int_equal(problem_render(PROBLEM_GONE, NULL, NULL, "x", NULL, &small), -EMSGSIZE);
		buf_done(&small);
	}
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_problem_has_a_row),
		cmocka_unit_test(a_detail_is_a_sentence),
		cmocka_unit_test(a_document_is_json_whatever_was_sent),
		cmocka_unit_test(every_too_small_buffer_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
