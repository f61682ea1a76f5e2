#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/event.h"
#include "proto/reply.h"

static const struct event_seam seam = {.now_ms = 1700000000000, .random = 20};
static const struct id some_id = {.bytes = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}};

static struct slice context_of(struct buf *b)
{
	struct context c = {
		.tenant = slice_text("acme"), .task = slice_text("echo"), .metadata = slice_text("{}")};

	buf_init(b, 1000);
	assert_int_equal(context_encode(&c, b), 0);
	return buf_slice(b);
}

static struct slice request_of(struct buf *b, const struct id *id, uint32_t attempt, uint32_t max_attempts)
{
	struct buf context;
	struct request r = {
		.id = *id,
		.task = slice_text("echo"),
		.payload = slice_text("{}"),
		.content_type = slice_text("application/json"),
		.created_at_ms = 1600000000000,
		.attempt = attempt,
		.max_attempts = max_attempts,
		.has_retry = true,
		.retry = {.base_ms = 1000, .cap_ms = 5000},
		.context = context_of(&context),
	};

	buf_init(b, 10000);
	assert_int_equal(request_encode(&r, b), 0);
	buf_done(&context);
	return buf_slice(b);
}

/* Encodes, decodes into an event; the message stays in `message`. */
static int event_of(struct reply *r, struct buf *message, struct event *e)
{
	struct buf context;
	struct decode_error error;
	int rc;

	if (!slice_is_set(r->context))
		r->context = context_of(&context);
	else
		context = (struct buf){0};
	r->id = some_id;
	buf_init(message, 100000);
	assert_int_equal(reply_encode(r, message), 0);
	rc = event_from_reply(buf_slice(message), &seam, e, &error);
	buf_done(&context);
	return rc;
}

static void a_json_result_is_known_as_json_only_when_it_is(void **state)
{
	static const struct {
		const char *type, *result;
		bool is_json;
	} rows[] = {
		{"application/json", "{\"a\":1.10}", true},
		{"application/json; charset=utf-8", "1", true},
		{"application/problem+json", "{}", true},
		{"APPLICATION/JSON", "{}", true},
		{"application/json", "{", false},
		{"text/plain", "{}", false},
		{"application/jsonp", "{}", false},
		{"+json", "{}", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct reply r = {
			.attempt = 1,
			.kind = REPLY_SUCCEEDED,
			.result = slice_text(rows[i].result),
			.content_type = slice_text(rows[i].type),
		};
		struct buf message;
		struct event e;

		assert_int_equal(event_of(&r, &message, &e), 0);
		assert_int_equal(e.store.kind, STORE_EVENT_SUCCEEDED);
		assert_int_equal(e.store.result_is_json, rows[i].is_json);
		assert_true(slice_is_text(e.store.tenant, "acme"));
		event_done(&e);
		buf_done(&message);
	}
}

static void a_retry_waits_longer_with_every_attempt_up_to_its_cap(void **state)
{
	static const int64_t waits[] = {1000, 2000, 4000, 5000, 5000};

	for (uint32_t attempt = 1; attempt <= 5; attempt++) {
		struct buf request, message;
		struct reply r = {
			.attempt = attempt,
			.kind = REPLY_RETRY,
			.request = request_of(&request, &some_id, attempt, 10),
		};
		struct event e;

		assert_int_equal(event_of(&r, &message, &e), 0);
		assert_int_equal(e.store.kind, STORE_EVENT_RETRY);
		assert_int_equal(e.store.retry_at_ms - seam.now_ms, waits[attempt - 1]);
		event_done(&e);
		buf_done(&message);
		buf_done(&request);
	}
}

static void a_wait_that_the_handler_was_told_counts_when_it_is_longer_up_to_a_day(void **state)
{
	static const uint32_t told_and_kept[][2] = {{500, 1000}, {30000, 30000}, {86400000, 86400000},
		{86400001, 86400000}, {UINT32_MAX, 86400000}};

	for (size_t i = 0; i < sizeof told_and_kept / sizeof *told_and_kept; i++) {
		struct buf request, message;
		struct reply r = {
			.attempt = 1,
			.kind = REPLY_RETRY,
			.request = request_of(&request, &some_id, 1, 10),
			.retry_after_ms = told_and_kept[i][0],
		};
		struct event e;

		assert_int_equal(event_of(&r, &message, &e), 0);
		assert_int_equal(e.store.retry_at_ms - seam.now_ms, told_and_kept[i][1]);
		event_done(&e);
		buf_done(&message);
		buf_done(&request);
	}
}

static void a_retry_that_cannot_run_again_is_a_failure(void **state)
{
	struct id other = some_id;
	struct buf requests[3], message;
	struct slice cases[4];

	other.bytes[15] ^= 1;
	cases[0] = (struct slice){0};
	cases[1] = request_of(&requests[0], &other, 1, 10);
	cases[2] = request_of(&requests[1], &some_id, 1, 1);
	cases[3] = slice_text("garbage");
	for (size_t i = 0; i < 4; i++) {
		struct reply r = {.attempt = 1, .kind = REPLY_RETRY, .request = cases[i]};
		struct event e;

		assert_int_equal(event_of(&r, &message, &e), 0);
		assert_int_equal(e.store.kind, STORE_EVENT_FAILED);
		event_done(&e);
		buf_done(&message);
	}
	buf_done(&requests[0]);
	buf_done(&requests[1]);
}

static void what_a_worker_says_becomes_json(void **state)
{
	/* {"percent": 50}, as a Python worker packs it */
	static const uint8_t progress[] = {0x81, 0xa7, 'p', 'e', 'r', 'c', 'e', 'n', 't', 50};
	struct buf message;
	struct reply r = {
		.attempt = 1,
		.kind = REPLY_PROGRESS,
		.seq = 7,
		.progress = slice_of(progress, sizeof progress),
	};
	struct event e;

	assert_int_equal(event_of(&r, &message, &e), 0);
	assert_true(slice_is_text(e.store.progress, "{\"percent\":50}"));
	assert_int_equal(e.store.seq, 7);
	event_done(&e);
	buf_done(&message);
}

static void a_canceled_task_has_an_error_whoever_canceled_it(void **state)
{
	struct reply mute = {.attempt = 1, .kind = REPLY_CANCELED};
	struct reply telling = mute;
	struct buf message;
	struct event e;

	assert_int_equal(event_of(&mute, &message, &e), 0);
	assert_true(slice_is_text(e.store.error.type, "canceled"));
	assert_true(e.store.error.message.len > 0);
	event_done(&e);
	buf_done(&message);
	telling.has_error = true;
	telling.error = (struct reply_error){.type = slice_text("mine"), .message = slice_text("said so")};
	assert_int_equal(event_of(&telling, &message, &e), 0);
	assert_true(slice_is_text(e.store.error.type, "mine"));
	event_done(&e);
	buf_done(&message);
}

static void a_reply_without_our_context_is_refused(void **state)
{
	struct reply r = {.id = some_id, .attempt = 1, .kind = REPLY_SUCCEEDED, .result = slice_text("x")};
	struct decode_error error;
	struct buf message;
	struct event e;

	buf_init(&message, 1000);
	assert_int_equal(reply_encode(&r, &message), 0);
	assert_int_equal(event_from_reply(buf_slice(&message), &seam, &e, &error), -EBADMSG);
	assert_string_equal(error.path, "context");
	buf_done(&message);
}

static void a_dead_letter_tells_why_and_keeps_its_request(void **state)
{
	static const char *const reasons[][2] = {{"expired", "expired"}, {"delivery_limit", "delivery_limit"},
		{"rejected", "rejected"}, {"maxlen", "dead_lettered"}};

	for (size_t i = 0; i < 4; i++) {
		struct decode_error error;
		struct buf message;
		struct event e;

		request_of(&message, &some_id, 3, 10);
		assert_int_equal(event_from_dead_letter(
					 buf_slice(&message), slice_text(reasons[i][0]), &seam, &e, &error),
			0);
		assert_int_equal(e.store.kind, STORE_EVENT_DEAD);
		assert_int_equal(e.store.attempt, 3);
		assert_true(slice_is_text(e.store.error.type, reasons[i][1]));
		assert_true(slice_is_equal(e.store.request, buf_slice(&message)));
		event_done(&e);
		buf_done(&message);
	}
}

static void every_prefix_of_a_message_is_refused(void **state)
{
	struct decode_error error;
	struct buf message;
	struct event e;

	request_of(&message, &some_id, 1, 10);
	for (size_t len = 0; len < message.len; len++) {
		struct slice cut = slice_of(message.data, len);

		assert_int_equal(
			event_from_dead_letter(cut, slice_text("expired"), &seam, &e, &error), -EBADMSG);
		assert_int_equal(event_from_reply(cut, &seam, &e, &error), -EBADMSG);
	}
	buf_done(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_json_result_is_known_as_json_only_when_it_is),
		cmocka_unit_test(a_retry_waits_longer_with_every_attempt_up_to_its_cap),
		cmocka_unit_test(a_wait_that_the_handler_was_told_counts_when_it_is_longer_up_to_a_day),
		cmocka_unit_test(a_retry_that_cannot_run_again_is_a_failure),
		cmocka_unit_test(what_a_worker_says_becomes_json),
		cmocka_unit_test(a_canceled_task_has_an_error_whoever_canceled_it),
		cmocka_unit_test(a_reply_without_our_context_is_refused),
		cmocka_unit_test(a_dead_letter_tells_why_and_keeps_its_request),
		cmocka_unit_test(every_prefix_of_a_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
