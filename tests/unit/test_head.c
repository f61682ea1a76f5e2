#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/head.h"

enum { MAX = 4096 };

static enum head_status feed(struct head *h, const char *text)
{
	size_t used;

	head_init(h, MAX);
	return head_feed(h, slice_text(text), &used);
}

static void assert_refused(const char *text, enum problem problem)
{
	struct head h;

	assert_int_equal(feed(&h, text), HEAD_REFUSED);
	assert_int_equal(h.problem, problem);
	assert_non_null(h.why);
	head_done(&h);
}

static void a_head_tells_what_it_says(void **state)
{
	static const char text[] =
		"\r\nPOST /a/b?c=d HTTP/1.1\r\nHost: x\r\nContent-LENGTH:  12 \r\nExpect: 100-Continue\r\n"
		"X-A:\r\n\r\nbody";
	struct head h;
	size_t used;

	head_init(&h, MAX);
	assert_int_equal(head_feed(&h, slice_text(text), &used), HEAD_DONE);
	assert_string_equal(text + used, "body");
	assert_int_equal(h.method, CALL_POST);
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.content_length, 12);
	assert_true(h.is_kept);
	assert_true(h.expects_continue);
	assert_true(head_has_body(&h));
	assert_true(slice_is_text(head_target(&h), "/a/b?c=d"));
	assert_true(slice_is_text(head_field(&h, "content-length"), "12"));
	assert_true(slice_is_set(head_field(&h, "x-a")));
	assert_int_equal(head_field(&h, "x-a").len, 0);
	assert_false(slice_is_set(head_field(&h, "x-b")));
	head_done(&h);
}

static void every_cut_gives_the_same_head(void **state)
{
	static const char text[] =
		"GET http://host:1/x HTTP/1.0\r\nConnection: a, Keep-Alive\r\nX: 1\r\n\r\n";
	size_t len = sizeof text - 1;

	for (size_t first = 0; first < len; first++)
		for (size_t second = first; second < len; second++) {
			struct head h;
			size_t used;

			head_init(&h, MAX);
			assert_int_equal(head_feed(&h, slice_of(text, first), &used), HEAD_MORE);
			assert_int_equal(used, first);
			assert_int_equal(
				head_feed(&h, slice_of(text + first, second - first), &used), HEAD_MORE);
			assert_int_equal(
				head_feed(&h, slice_of(text + second, len - second), &used), HEAD_DONE);
			assert_true(slice_is_text(head_target(&h), "/x"));
			assert_true(h.is_kept);
			head_done(&h);
		}
}

static void the_bound_holds_to_the_byte(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	size_t len = sizeof text - 1;

	for (size_t max = 1; max <= len; max++) {
		struct head h;
		size_t used;

		head_init(&h, max);
		assert_int_equal(
			head_feed(&h, slice_of(text, len), &used), max < len ? HEAD_REFUSED : HEAD_DONE);
		if (max < len)
			assert_int_equal(h.problem, PROBLEM_HEADERS_TOO_LARGE);
		head_done(&h);
	}
}

static void every_control_character_is_refused(void **state)
{
	for (int c = 0; c < 0x20; c++) {
		char text[] = "GET / HTTP/1.1\r\nHost: x\r\nX: a?b\r\n\r\n";
		size_t len = sizeof text - 1;
		struct head h;
		size_t used;

		*strchr(text, '?') = (char)c;
		head_init(&h, MAX);
		assert_int_equal(
			head_feed(&h, slice_of(text, len), &used), c == '\t' ? HEAD_DONE : HEAD_REFUSED);
		head_done(&h);
	}
}

static void connections_are_kept_as_asked(void **state)
{
	static const struct {
		const char *text;
		bool is_kept;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: b , CLOSE\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", true},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct head h;

		assert_int_equal(feed(&h, cases[i].text), HEAD_DONE);
		assert_int_equal(h.is_kept, cases[i].is_kept);
		head_done(&h);
	}
}

static void what_two_servers_could_read_in_two_ways_is_refused(void **state)
{
#define LINE "POST / HTTP/1.1\r\nHost: x\r\n"
	assert_refused(LINE "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "Content-Length: 0x1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "Content-Length: 1 1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "Content-Length: 9999999999999999999\r\n\r\n", PROBLEM_TOO_LARGE);
	assert_refused(LINE "Transfer-Encoding: chunked, chunked\r\n\r\n", PROBLEM_NOT_IMPLEMENTED);
	assert_refused(LINE "Transfer-Encoding : chunked\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE " Transfer-Encoding: chunked\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "Host: x\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "X: a\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused(LINE "X: a\r\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused("POST / HTTP/1.1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused("POST / HTTP/1.2\r\n\r\n", PROBLEM_HTTP_VERSION);
	assert_refused("POST * HTTP/1.1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused("POST ftp://x/ HTTP/1.1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused("POST http://x HTTP/1.1\r\n\r\n", PROBLEM_BAD_REQUEST);
	assert_refused("P\xc3\xa4ST / HTTP/1.1\r\n\r\n", PROBLEM_BAD_REQUEST);
#undef LINE
}

static void a_head_can_be_used_again(void **state)
{
	struct head h;
	size_t used;

	assert_int_equal(feed(&h, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"), HEAD_DONE);
	head_reset(&h);
	assert_false(head_is_begun(&h));
	assert_int_equal(head_feed(&h, slice_text("GET /y HTTP/1.1\r\nHost: x\r\n\r\n"), &used), HEAD_DONE);
	assert_int_equal(h.content_length, -1);
	assert_false(head_has_body(&h));
	head_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_tells_what_it_says),
		cmocka_unit_test(every_cut_gives_the_same_head),
		cmocka_unit_test(the_bound_holds_to_the_byte),
		cmocka_unit_test(every_control_character_is_refused),
		cmocka_unit_test(connections_are_kept_as_asked),
		cmocka_unit_test(what_two_servers_could_read_in_two_ways_is_refused),
		cmocka_unit_test(a_head_can_be_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
