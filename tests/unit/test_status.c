#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/answer.h"
#include "gateway/failure.h"
#include "gateway/ids.h"
#include "gateway/keys.h"
#include "gateway/retry.h"
#include "service/status.h"
#include "proto/json.h"

static const struct slice tenant = {(const uint8_t *)"acme", 4};
static const struct id_key key = {{1, 2, 3}};

static struct ids keyed(void)
{
	struct ids ids = {0};

	ids_set_keys(&ids, &key, 1, 0x123456);
	return ids;
}

static struct id id_at(uint64_t ms)
{
	struct ids ids = keyed();
	struct id id;

	ids_mint(&ids, ID_TASK, tenant, (int64_t)ms, &id, 1);
	return id;
}

static void assert_rendered(const struct store_task *task, const char *expected)
{
	struct json_error error;
	struct buf out;

	buf_init(&out, 65536);
	status_render(task, &out);
	assert_int_equal(json_check(buf_slice(&out), &error), 0);
	assert_string_equal(buf_text(&out), expected);
	buf_done(&out);
}

#define LINKS                                                                          \
	"\"links\":{\"self\":\"/v1/tasks/%1$s\",\"result\":\"/v1/tasks/%1$s/result\"," \
	"\"events\":\"/v1/tasks/%1$s/events\",\"ws\":\"/v1/tasks/%1$s/ws\","           \
	"\"deliveries\":\"/v1/tasks/%1$s/deliveries\"}}"

static void a_queued_task_is_known_by_its_id_alone(void **state)
{
	struct id id = id_at(UINT64_C(1700000000000));
	struct store_task task = status_queued(&id);
	char text[ID_TEXT_LEN + 1], expected[1024];

	id_format(&id, text);
	snprintf(expected, sizeof expected,
		"{\"id\":\"%1$s\",\"task\":null,\"status\":\"queued\",\"attempt\":1,"
		"\"created_at\":\"2023-11-14T22:13:20.000Z\",\"started_at\":null,\"finished_at\":null,\"progress\":null,"
		"\"result_info\":null,\"error\":null,\"deliveries\":{\"pending\":0,\"delivered\":0,\"dead\":0},"
		"\"metadata\":null,\"rev\":0," LINKS,
		text);
	assert_rendered(&task, expected);
}

static void a_failed_task_has_all_that_is_known(void **state)
{
	struct id id = id_at(UINT64_C(1700000000000));
	char text[ID_TEXT_LEN + 1], expected[1024];
	struct store_task task = {
		.presence = STORE_PRESENT,
		.id = id,
		.task = slice_text("t"),
		.state = TASK_FAILED,
		.attempt = 3,
		.created_at_ms = 1700000000000,
		.started_at_ms = 1700000000001,
		.finished_at_ms = 1700000000002,
		.rev = 9,
		.progress = slice_text("{\"p\": 1.10}"),
		.metadata = slice_text("{\"m\":1}"),
		.error = {slice_text("exit"), slice_text("no \"way\""), true, 3, slice_text("[1]")},
		.retry_of = id,
		.deliveries_dead = 1,
	};

	id_format(&id, text);
	snprintf(expected, sizeof expected,
		"{\"id\":\"%1$s\",\"task\":\"t\",\"status\":\"failed\",\"attempt\":3,"
		"\"created_at\":\"2023-11-14T22:13:20.000Z\",\"started_at\":\"2023-11-14T22:13:20.001Z\","
		"\"finished_at\":\"2023-11-14T22:13:20.002Z\",\"progress\":{\"p\": 1.10},\"result_info\":null,"
		"\"error\":{\"type\":\"exit\",\"message\":\"no \\\"way\\\"\",\"retryable\":true,\"status\":3,\"data\":[1]},"
		"\"deliveries\":{\"pending\":0,\"delivered\":0,\"dead\":1},\"metadata\":{\"m\":1},\"retry_of\":\"%1$s\","
		"\"rev\":9," LINKS,
		text);
	assert_rendered(&task, expected);
}

static void a_json_result_is_spliced_in_as_it_is(void **state)
{
	struct id id = id_at(UINT64_C(1700000000000));
	struct store_task task = {
		.presence = STORE_PRESENT,
		.id = id,
		.task = slice_text("t"),
		.state = TASK_SUCCEEDED,
		.content_type = slice_text("application/json"),
		.result = slice_text("{\"a\": 1.10}"),
		.result_len = 11,
		.result_is_json = true,
	};
	struct buf out;

	buf_init(&out, 65536);
	status_render(&task, &out);
	assert_non_null(strstr(buf_text(&out), "\"result\":{\"a\": 1.10},\"result_info\":{\"content_type\":"
					       "\"application/json\",\"size\":11,\"href\":\"/v1/tasks/"));
	buf_reset(&out);
	task.result_is_json = false;
	status_render(&task, &out);
	assert_null(strstr(buf_text(&out), "\"result\":{\"a\""));
	assert_non_null(strstr(buf_text(&out), "\"size\":11"));
	buf_done(&out);
}

static void an_id_is_queued_until_its_lifetime_has_passed(void **state)
{
	struct store_task task = {.id = id_at(1000000)};

	assert_int_equal(status_presence(&task, 1000000, 500), STATUS_QUEUED);
	assert_int_equal(status_presence(&task, 1000500, 500), STATUS_QUEUED);
	assert_int_equal(status_presence(&task, 1000501, 500), STATUS_GONE);
	/* A clock behind that of the gateway that minted it. */
	assert_int_equal(status_presence(&task, 0, 500), STATUS_QUEUED);
	task.presence = STORE_PRESENT;
	assert_int_equal(status_presence(&task, INT64_C(1) << 50, 500), STATUS_KNOWN);
	task.presence = STORE_TOMBSTONE;
	assert_int_equal(status_presence(&task, 1000000, 500), STATUS_GONE);
}

/* ---- failures ---- */

static void failures_are_told_apart(void **state)
{
	assert_int_equal(failure_problem(slice_text("exit"), false), PROBLEM_TASK_FAILED);
	assert_int_equal(failure_problem(slice_text("exit"), true), PROBLEM_HANDLER_BROKEN);
	assert_int_equal(failure_problem(slice_text("timeout"), true), PROBLEM_HANDLER_TIMEOUT);
	assert_int_equal(failure_problem(slice_text("timeout"), false), PROBLEM_HANDLER_TIMEOUT);
	assert_int_equal(failure_problem(slice_text("output_too_large"), false), PROBLEM_HANDLER_BROKEN);
	assert_int_equal(failure_problem((struct slice){0}, false), PROBLEM_TASK_FAILED);
	assert_true(failure_passes_through(slice_text("upstream_status"), 400));
	assert_true(failure_passes_through(slice_text("upstream_status"), 499));
	assert_false(failure_passes_through(slice_text("upstream_status"), 399));
	assert_false(failure_passes_through(slice_text("upstream_status"), 500));
	assert_false(failure_passes_through(slice_text("exit"), 404));
}

/* ---- ids ---- */

static void ids_of_a_row_are_found_again_from_the_first(void **state)
{
	struct ids ids = keyed();
	struct id minted[20], again[19];

	/* Past the end of the counter too, which borrows the next millisecond. */
	ids.minter.last_ms = 5000;
	ids.minter.counter = (1 << 18) - 8;
	ids_mint(&ids, ID_BATCH, tenant, 5000, &minted[0], 1);
	ids_mint(&ids, ID_TASK, tenant, 5000, &minted[1], 19);
	ids_follow(&ids, &minted[0], ID_BATCH, tenant, again, 19);
	assert_memory_equal(&minted[1], again, sizeof again);
}

static void ids_of_an_older_key_are_found_again_too(void **state)
{
	struct id_key keys[2] = {{{9}}, key};
	struct ids ids = keyed();
	struct id minted[3], again[2];

	ids_mint(&ids, ID_TASK, tenant, 5000, minted, 3);
	assert_true(ids_set_keys(&ids, keys, 2, 1));
	assert_false(ids_set_keys(&ids, keys, 2, 2));
	ids_follow(&ids, &minted[0], ID_TASK, tenant, again, 2);
	assert_memory_equal(&minted[1], again, sizeof again);
}

static void only_genuine_ids_of_the_tenant_are_parsed(void **state)
{
	struct ids ids = keyed();
	struct id id = id_at(5000), parsed;
	char text[ID_TEXT_LEN + 1];

	id_format(&id, text);
	assert_int_equal(ids_parse(&ids, ID_TASK, tenant, slice_text(text), &parsed), 0);
	assert_true(id_is_equal(&id, &parsed));
	assert_int_equal(ids_parse(&ids, ID_BATCH, tenant, slice_text(text), &parsed), -EINVAL);
	assert_int_equal(ids_parse(&ids, ID_TASK, slice_text("other"), slice_text(text), &parsed), -EINVAL);
	text[35] ^= 1;
	assert_int_equal(ids_parse(&ids, ID_TASK, tenant, slice_text(text), &parsed), -EINVAL);
}

static void a_key_file_is_hex_or_bytes(void **state)
{
	uint8_t bytes[ID_KEY_LEN];
	struct id_key parsed;
	char hex[2 * ID_KEY_LEN + 3];

	memset(bytes, 0xab, sizeof bytes);
	assert_int_equal(keys_parse(slice_of(bytes, sizeof bytes), &parsed), 0);
	assert_memory_equal(parsed.bytes, bytes, sizeof bytes);
	for (size_t i = 0; i < ID_KEY_LEN; i++)
		memcpy(hex + 2 * i, i % 2 ? "aB" : "Ab", 2);
	memcpy(hex + 2 * ID_KEY_LEN, "\r\n", 3);
	assert_int_equal(keys_parse(slice_text(hex), &parsed), 0);
	assert_memory_equal(parsed.bytes, bytes, sizeof bytes);
	for (size_t len = 0; len < 2 * ID_KEY_LEN; len++)
		if (len != ID_KEY_LEN)
			assert_int_equal(keys_parse(slice_of(hex, len), &parsed), -EINVAL);
	hex[7] = 'g';
	assert_int_equal(keys_parse(slice_text(hex), &parsed), -EINVAL);
}

/* ---- kept answers ---- */

static void an_answer_is_read_back_as_it_was_kept(void **state)
{
	struct answer a, b;
	struct buf kept;

	answer_init(&a);
	answer_init(&b);
	buf_init(&kept, 65536);
	answer_foreign(&a, 200, slice_text("image/x"), slice_of("\0\xff", 2));
	strcpy(a.location, "/v1/tasks/x");
	a.retry_after_s = 1;
	a.applied_wait_s = 20;
	assert_int_equal(answer_encode(&a, &kept), 0);
	assert_int_equal(answer_decode(buf_slice(&kept), &b), 0);
	assert_int_equal(b.status, 200);
	assert_string_equal(b.content_type, "image/x");
	assert_string_equal(b.location, "/v1/tasks/x");
	assert_int_equal(b.retry_after_s, 1);
	assert_int_equal(b.applied_wait_s, 20);
	assert_true(b.is_foreign);
	assert_int_equal(b.body.len, 2);
	for (size_t len = 0; len < kept.len; len++)
		assert_int_equal(answer_decode(slice_of(kept.data, len), &b), -EBADMSG);
	answer_done(&a);
	answer_done(&b);
	buf_done(&kept);
}

/* ---- retry ---- */

static void a_kept_request_becomes_a_submission_again(void **state)
{
	struct request request = {
		.id = id_at(1000),
		.task = slice_text("t"),
		.payload = slice_text("{\"n\":1.10}"),
		.content_type = slice_text("application/json"),
		.created_at_ms = 1000,
		.deadline_ms = 2000,
		.attempt = 3,
		.max_attempts = 3,
		.timeout_ms = 500,
		.has_retry = true,
		.retry = {10, 20},
	};
	struct store_task task = {.metadata = slice_text("{\"a\":1}")};
	struct submission *s = NULL;
	struct buf bytes;

	buf_init(&bytes, 65536);
	assert_int_equal(retry_read(&task, &s), -ENODATA);
	task.request = slice_text("garbage");
	assert_int_equal(retry_read(&task, &s), -EBADMSG);
	assert_int_equal(request_encode(&request, &bytes), 0);
	task.request = buf_slice(&bytes);
	assert_int_equal(retry_read(&task, &s), 0);
	buf_done(&bytes);
	assert_string_equal(s->task, "t");
	assert_true(slice_is_text(s->payload, "{\"n\":1.10}"));
	assert_true(slice_is_text(s->metadata, "{\"a\":1}"));
	assert_int_equal(s->deadline_ms, 0);
	assert_int_equal(s->max_attempts, 3);
	assert_int_equal(s->timeout_ms, 500);
	assert_int_equal(s->retry.cap_ms, 20);
	assert_false(submission_is_later(s));
	submission_free(s);
}

static void a_request_that_never_ran_waits_for_what_it_waited_for(void **state)
{
	struct request request = {.id = id_at(1000),
		.task = slice_text("t"),
		.payload = slice_text("{}"),
		.content_type = slice_text("application/json"),
		.created_at_ms = 1000,
		.attempt = 1};
	struct store_task task = {.waits_for = id_at(900)};
	struct buf bytes;

	buf_init(&bytes, 65536);
	assert_int_equal(request_encode(&request, &bytes), 0);
	task.request = buf_slice(&bytes);
	for (int waits = STORE_WAITS_TASK; waits <= STORE_WAITS_BATCH; waits++) {
		for (int wants = 0; wants < 2; wants++) {
			struct submission *s = NULL;

			task.waits = (enum store_wait)waits;
			task.wants_previous = wants;
			assert_int_equal(retry_read(&task, &s), 0);
			assert_int_equal(s->wants_previous, wants);
			assert_int_equal(submission_is_later(s), wants);
			assert_int_equal(id_is_equal(&s->waits_for, &task.waits_for), wants);
			assert_int_equal(s->waits_for_batch, wants && waits == STORE_WAITS_BATCH);
			submission_free(s);
		}
	}
	buf_done(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queued_task_is_known_by_its_id_alone),
		cmocka_unit_test(a_failed_task_has_all_that_is_known),
		cmocka_unit_test(a_json_result_is_spliced_in_as_it_is),
		cmocka_unit_test(an_id_is_queued_until_its_lifetime_has_passed),
		cmocka_unit_test(failures_are_told_apart),
		cmocka_unit_test(ids_of_a_row_are_found_again_from_the_first),
		cmocka_unit_test(ids_of_an_older_key_are_found_again_too),
		cmocka_unit_test(only_genuine_ids_of_the_tenant_are_parsed),
		cmocka_unit_test(a_key_file_is_hex_or_bytes),
		cmocka_unit_test(an_answer_is_read_back_as_it_was_kept),
		cmocka_unit_test(a_kept_request_becomes_a_submission_again),
		cmocka_unit_test(a_request_that_never_ran_waits_for_what_it_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
