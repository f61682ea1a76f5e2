#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* the example of RFC 6455 */

static void read_head(struct head *h, const char *text)
{
	size_t used;

	head_init(h, 4096);
	assert_int_equal(head_feed(h, slice_text(text), &used), HEAD_DONE);
}

static int read_handshake(const char *text, struct handshake *out, struct fault *fault)
{
	struct head h;
	int rc;

	read_head(&h, text);
	rc = handshake_read(&h, out, fault);
	head_done(&h);
	return rc;
}

#define START	  "GET /x HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE	  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION	  "Sec-WebSocket-Version: 13\r\n"
#define KEY_FIELD "Sec-WebSocket-Key: " KEY "\r\n"

static void the_example_of_the_standard_is_accepted(void **state)
{
	struct handshake h;
	struct fault fault;

	assert_int_equal(read_handshake(START UPGRADE VERSION KEY_FIELD "\r\n", &h, &fault), 0);
	assert_string_equal(h.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_false(h.has_protocol);
}

static void fields_are_read_as_lists_of_tokens_in_any_case(void **state)
{
	static const char *const taken[] = {
		"UPGRADE: WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n" VERSION KEY_FIELD,
		"Upgrade: h2c, websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n" VERSION
			KEY_FIELD,
		"Upgrade: h2c\r\nUpgrade:  websocket \r\nConnection: ,Upgrade,\r\n" VERSION KEY_FIELD,
		UPGRADE VERSION KEY_FIELD
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
		UPGRADE VERSION KEY_FIELD "Content-Length: 0\r\n",
	};
	char text[512];

	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
		struct handshake h;
		struct fault fault;

		snprintf(text, sizeof text, START "%s\r\n", taken[i]);
		assert_int_equal(read_handshake(text, &h, &fault), 0);
	}
}

static void the_subprotocol_is_agreed_on_when_it_is_offered(void **state)
{
	struct handshake h;
	struct fault fault;

	assert_int_equal(read_handshake(START UPGRADE VERSION KEY_FIELD
				 "Sec-WebSocket-Protocol: chat, postback.v1\r\n\r\n",
				 &h, &fault),
		0);
	assert_true(h.has_protocol);
	assert_int_equal(
		read_handshake(START UPGRADE VERSION KEY_FIELD "Sec-WebSocket-Protocol: postback.v10\r\n\r\n",
			&h, &fault),
		0);
	assert_false(h.has_protocol);
}

static void whatever_is_no_handshake_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum problem problem;
	} refused[] = {
		{START "\r\n", PROBLEM_UPGRADE_REQUIRED},
		{START "Upgrade: websockets\r\nConnection: Upgrade\r\n" VERSION KEY_FIELD "\r\n",
			PROBLEM_UPGRADE_REQUIRED},
		{"POST /x HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION KEY_FIELD "\r\n",
			PROBLEM_UPGRADE_REQUIRED},
		{"HEAD /x HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION KEY_FIELD "\r\n",
			PROBLEM_UPGRADE_REQUIRED},
		{START UPGRADE KEY_FIELD "\r\n", PROBLEM_UPGRADE_REQUIRED},
		{START UPGRADE KEY_FIELD "Sec-WebSocket-Version: 8\r\n\r\n", PROBLEM_UPGRADE_REQUIRED},
		{START UPGRADE KEY_FIELD "Sec-WebSocket-Version: 13, 8\r\n\r\n", PROBLEM_UPGRADE_REQUIRED},
		{START UPGRADE KEY_FIELD "Sec-WebSocket-Version: 013\r\n\r\n", PROBLEM_UPGRADE_REQUIRED},
		{"GET /x HTTP/1.0\r\n" UPGRADE VERSION KEY_FIELD "\r\n", PROBLEM_BAD_REQUEST},
		{START "Upgrade: websocket\r\n" VERSION KEY_FIELD "\r\n", PROBLEM_BAD_REQUEST},
		{START "Upgrade: websocket\r\nConnection: close\r\n" VERSION KEY_FIELD "\r\n",
			PROBLEM_BAD_REQUEST},
		{START UPGRADE VERSION KEY_FIELD "Content-Length: 1\r\n\r\n", PROBLEM_BAD_REQUEST},
		{START UPGRADE VERSION KEY_FIELD "Transfer-Encoding: chunked\r\n\r\n", PROBLEM_BAD_REQUEST},
	};

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct handshake h;
		struct fault fault = {0};

		assert_int_equal(read_handshake(refused[i].text, &h, &fault), -EINVAL);
		assert_int_equal(fault.problem, refused[i].problem);
		assert_true(*fault.detail);
	}
}

static void a_key_is_sixteen_bytes_in_base64(void **state)
{
	static const char *const keys[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZ===",
		"dGhlIHNhbXBsZSBub25jZQA=",
		"dGhlIHNhbXBsZSBub25jZQAA",
		"dGhlIHNhbXBsZSBub25-ZQ==",
		"dGhlIHNhbXBsZSB b25jZQ==",
		"dGhlIHNhbXBsZSBub25jZSBub25jZQ==",
	};
	char text[512];

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct handshake h;
		struct fault fault = {0};

		snprintf(text, sizeof text, START UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n\r\n", keys[i]);
		assert_int_equal(read_handshake(text, &h, &fault), -EINVAL);
		assert_int_equal(fault.problem, PROBLEM_BAD_REQUEST);
	}
	{
		struct handshake h;
		struct fault fault = {0};

		assert_int_equal(read_handshake(START UPGRADE VERSION "\r\n", &h, &fault), -EINVAL);
		assert_int_equal(fault.problem, PROBLEM_BAD_REQUEST);
	}
}

static void a_key_or_version_given_twice_is_refused_with_the_head(void **state)
{
	static const char *const twice[] = {
		START UPGRADE VERSION KEY_FIELD KEY_FIELD "\r\n",
		START UPGRADE VERSION VERSION KEY_FIELD "\r\n",
	};

	for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
		struct head h;
		size_t used;

		head_init(&h, 4096);
		assert_int_equal(head_feed(&h, slice_text(twice[i]), &used), HEAD_REFUSED);
		head_done(&h);
	}
}

static void what_asks_for_a_websocket_is_told_from_what_does_not(void **state)
{
	static const struct {
		const char *text;
		bool is_wanted;
	} cases[] = {
		{START "\r\n", false},
		{START "Upgrade: h2c\r\n\r\n", false},
		{START "Accept: text/event-stream\r\n\r\n", false},
		{START "Upgrade: WEBSOCKET\r\n\r\n", true},
		{"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", true},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct head h;

		read_head(&h, cases[i].text);
		assert_int_equal(handshake_is_wanted(&h), cases[i].is_wanted);
		head_done(&h);
	}
}

static void pages_may_connect_from_where_they_are_and_from_named_origins(void **state)
{
	char first[] = "https://app.example.com", second[] = "http://other.example:3000";
	char *names[] = {first, second};
	const struct gateway_cors some = {.origins = {names, 2}};
	const struct gateway_cors none = {0};
	static const struct {
		const char *host, *origin;
		bool with_none, with_some;
	} cases[] = {
		{"api.example.com", NULL, true, true},
		{"api.example.com", "https://api.example.com", true, true},
		{"API.example.com", "https://api.EXAMPLE.com", true, true},
		{"api.example.com:8080", "http://api.example.com:8080", true, true},
		{"api.example.com:8080", "http://api.example.com", false, false},
		{"api.example.com", "https://api.example.com.evil.test", false, false},
		{"api.example.com", "https://evil.test", false, false},
		{"api.example.com", "null", false, false},
		{"api.example.com", "", false, false},
		{"api.example.com", "https://", false, false},
		{"api.example.com", "https://app.example.com", false, true},
		{"api.example.com", "http://app.example.com", false, false},
		{"api.example.com", "http://other.example:3000", false, true},
		{"api.example.com", "http://localhost:3000", false, false},
		{"127.0.0.1:8080", "http://localhost:3000", true, true},
		{"127.0.0.1:8080", "http://127.0.0.1.evil.test", false, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[512];
		struct head h;

		snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", cases[i].host,
			cases[i].origin ? "Origin: " : "", cases[i].origin ? cases[i].origin : "",
			cases[i].origin ? "\r\n" : "");
		read_head(&h, text);
		assert_int_equal(handshake_origin_is_allowed(&h, &none), cases[i].with_none);
		assert_int_equal(handshake_origin_is_allowed(&h, &some), cases[i].with_some);
		head_done(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_standard_is_accepted),
		cmocka_unit_test(fields_are_read_as_lists_of_tokens_in_any_case),
		cmocka_unit_test(the_subprotocol_is_agreed_on_when_it_is_offered),
		cmocka_unit_test(whatever_is_no_handshake_is_refused),
		cmocka_unit_test(a_key_is_sixteen_bytes_in_base64),
		cmocka_unit_test(a_key_or_version_given_twice_is_refused_with_the_head),
		cmocka_unit_test(what_asks_for_a_websocket_is_told_from_what_does_not),
		cmocka_unit_test(pages_may_connect_from_where_they_are_and_from_named_origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
