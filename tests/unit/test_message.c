#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/message.h"

#define ID_TEXT "01020304-0506-7008-800a-0b0c0d0e0f10"
static const struct id some_id = {.bytes = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}};
#define FINISHED_MS INT64_C(1767225600123)
#define NOW_MS	    INT64_C(1767225700999)

static void the_body_tells_what_and_when_and_the_status(void **state)
{
	const struct store_task task = {
		.presence = STORE_PRESENT,
		.id = some_id,
		.task = slice_text("echo"),
		.state = TASK_DEAD,
		.attempt = 1,
		.created_at_ms = FINISHED_MS,
		.finished_at_ms = FINISHED_MS,
	};
	static const char beginning[] =
		"{\"type\":\"task.dead\",\"timestamp\":\"2026-01-01T00:00:00.123Z\","
		"\"data\":{\"id\":\"" ID_TEXT "\",\"task\":\"echo\",\"status\":\"dead\",";
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(message_render(&task, &out), 0);
	assert_int_equal(strncmp(buf_text(&out), beginning, strlen(beginning)), 0);
	assert_string_equal(buf_text(&out) + out.len - 2, "}}");
	buf_done(&out);
}

static struct message some_message(void)
{
	return (struct message){
		.id = some_id,
		.task_id = some_id,
		.state = TASK_SUCCEEDED,
		.finished_at_ms = FINISHED_MS,
		.body = slice_text("{}"),
	};
}

static void expect_lines(bool with_cloudevents, const char *const *wanted)
{
	const struct message m = some_message();
	struct message_headers headers;
	struct signature_keys *keys;
	size_t i = 0;

	assert_int_equal(signature_keys_new(&keys), 0);
	assert_int_equal(signature_add_secret(keys, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 0);
	assert_int_equal(message_make_headers(&m, keys, with_cloudevents, NOW_MS, &headers), 0);
	for (; wanted[i]; i++) {
		assert_non_null(headers.lines[i]);
		assert_int_equal(strncmp(headers.lines[i], wanted[i], strlen(wanted[i])), 0);
	}
	assert_null(headers.lines[i]);
	message_headers_done(&headers);
	signature_keys_free(keys);
}

static void the_timestamp_is_the_attempts_and_the_id_the_deliverys(void **state)
{
	static const char *const wanted[] = {"content-type: application/json", ("webhook-id: " ID_TEXT),
		"webhook-timestamp: 1767225700", "webhook-signature: v1,", NULL};

	expect_lines(false, wanted);
}

static void cloudevents_come_with_their_headers(void **state)
{
	static const char *const wanted[] = {"content-type: application/json",
		"webhook-id: ", "webhook-timestamp: ", "webhook-signature: ", "ce-specversion: 1.0",
		("ce-id: " ID_TEXT), "ce-type: task.succeeded", ("ce-source: /v1/tasks/" ID_TEXT),
		"ce-time: 2026-01-01T00:00:00.123Z", NULL};

	expect_lines(true, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body_tells_what_and_when_and_the_status),
		cmocka_unit_test(the_timestamp_is_the_attempts_and_the_id_the_deliverys),
		cmocka_unit_test(cloudevents_come_with_their_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
