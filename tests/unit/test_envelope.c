#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/batch.h"
#include "gateway/envelope.h"
#include "gateway/run.h"

#define NOW INT64_C(1800000000000)

static const struct submission_rules rules = {.now_ms = NOW, .timeout_max_ms = 1800000};

static struct submission *parsed(const char *json)
{
	struct submission *s = NULL;
	struct fault fault;
	int rc = envelope_parse(slice_text(json), &rules, &s, &fault);

	if (rc < 0)
		print_message("%s: %s %s\n", json, fault.field, fault.detail);
	assert_int_equal(rc, 0);
	return s;
}

static struct fault refused(const char *json)
{
	struct submission *s = NULL;
	struct fault fault = {0};

	assert_int_equal(envelope_parse(slice_text(json), &rules, &s, &fault), -EINVAL);
	assert_null(s);
	assert_true(fault.detail[0]);
	return fault;
}

static void assert_slice(struct slice s, const char *text)
{
	assert_true(slice_is_text(s, text));
}

static void the_payload_is_found_and_not_changed(void **state)
{
	struct submission *s =
		parsed("{ \"payload\" : { \"a\" : 1.10 , \"b\":12345678901234567890} , \"task\":\"t\" }");

	assert_string_equal(s->task, "t");
	assert_slice(s->payload, "{ \"a\" : 1.10 , \"b\":12345678901234567890}");
	assert_slice(s->content_type, "application/json");
	assert_false(s->wants_previous);
	submission_free(s);
}

static void a_key_may_be_written_with_escapes(void **state)
{
	struct submission *s = parsed("{\"t\\u0061sk\":\"\\u0061.b\",\"paylo\\u0061d\":[]}");

	assert_string_equal(s->task, "a.b");
	assert_slice(s->payload, "[]");
	submission_free(s);
}

static void every_option_is_read(void **state)
{
	struct submission *s =
		parsed("{\"task\":\"t\",\"delay\":\"90s\",\"expires\":\"1h\",\"timeout\":\"1500ms\","
		       "\"retry\":{\"attempts\":7,\"base\":\"2s\",\"cap\":\"5m\"},\"priority\":0,"
		       "\"metadata\":{\"k\":1},\"deliver\":{}}");

	assert_int_equal(s->run_at_ms, NOW + 90000);
	assert_int_equal(s->deadline_ms, NOW + 90000 + 3600000);
	assert_int_equal(s->timeout_ms, 1500);
	assert_int_equal(s->max_attempts, 7);
	assert_true(s->has_retry);
	assert_int_equal(s->retry.base_ms, 2000);
	assert_int_equal(s->retry.cap_ms, 300000);
	assert_slice(s->metadata, "{\"k\":1}");
	submission_free(s);
}

static void half_a_retry_policy_is_completed(void **state)
{
	static const struct {
		const char *json;
		uint32_t base_ms, cap_ms;
	} cases[] = {
		{"{\"task\":\"t\",\"retry\":{\"base\":\"5s\"}}", 5000, 600000},
		{"{\"task\":\"t\",\"retry\":{\"base\":\"1h\"}}", 3600000, 3600000},
		{"{\"task\":\"t\",\"retry\":{\"cap\":\"5m\"}}", 1000, 300000},
		{"{\"task\":\"t\",\"retry\":{\"cap\":\"200ms\"}}", 200, 200},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct submission *s = parsed(cases[i].json);

		assert_int_equal(s->retry.base_ms, cases[i].base_ms);
		assert_int_equal(s->retry.cap_ms, cases[i].cap_ms);
		assert_int_equal(s->max_attempts, 0);
		submission_free(s);
	}
}

static void moments_are_held_against_the_clock(void **state)
{
	struct submission *s = parsed("{\"task\":\"t\",\"run_at\":\"2027-01-15T08:00:01Z\"}");

	assert_int_equal(s->run_at_ms, NOW + 1000);
	submission_free(s);
	s = parsed("{\"task\":\"t\",\"run_at\":\"2027-01-15T09:00:00+01:00\"}");
	assert_int_equal(s->run_at_ms, 0);
	submission_free(s);
	s = parsed("{\"task\":\"t\",\"expires\":\"2027-01-15T08:00:00.001Z\"}");
	assert_int_equal(s->deadline_ms, NOW + 1);
	submission_free(s);
	refused("{\"task\":\"t\",\"expires\":\"2027-01-15T08:00:00Z\"}");
	refused("{\"task\":\"t\",\"delay\":\"1h\",\"expires\":\"2027-01-15T08:30:00Z\"}");
}

static void tasks_that_follow_are_read_in_their_order(void **state)
{
	struct submission *s =
		parsed("{\"task\":\"a\",\"then\":{\"task\":\"b\",\"payload\":{\"x\":1},\"then\":\"c\"}}");

	assert_int_equal(submission_steps(s), 3);
	assert_string_equal(s->then->task, "b");
	assert_slice(s->then->payload, "{\"x\":1}");
	assert_true(s->then->wants_previous);
	assert_string_equal(s->then->then->task, "c");
	assert_slice(s->then->then->payload, "{}");
	submission_free(s);
}

static void a_fault_says_where_it_is(void **state)
{
	assert_string_equal(refused("{\"task\":\"t\",\"x\":1}").field, "/x");
	assert_string_equal(refused("{\"task\":\"t\",\"then\":{\"task\":\"t\",\"retry\":{\"y\":1}}}").field,
		"/then/retry/y");
	assert_string_equal(refused("{\"task\":\"t\",\"a~/b\":1}").field, "/a~0~1b");
	assert_int_equal(refused("{\"task\":\"t\"").problem, PROBLEM_INVALID_JSON);
}

static void a_field_that_is_very_long_is_cut(void **state)
{
	char json[4096] = "{\"task\":\"t\",\"";
	struct fault fault;

	memset(json + strlen(json), '~', 2000);
	strcat(json, "\":1}");
	fault = refused(json);
	assert_true(strlen(fault.field) < sizeof fault.field);
	assert_memory_equal(fault.field, "/~0~0~0", 7);
}

static void every_prefix_is_refused(void **state)
{
	static const char json[] =
		"{\"task\":\"t\",\"payload\":{\"a\":[1,2,\"x\"]},\"delay\":\"1s\",\"then\":\"u\"}";

	for (size_t len = 0; len < sizeof json - 1; len++) {
		/* On the heap, so that a byte too far is seen. */
		uint8_t *copy = malloc(len + 1);
		struct submission *s = NULL;
		struct fault fault;

		memcpy(copy, json, len);
		assert_int_equal(envelope_parse(slice_of(copy, len), &rules, &s, &fault), -EINVAL);
		assert_int_equal(fault.problem, PROBLEM_INVALID_JSON);
		free(copy);
	}
	submission_free(parsed(json));
}

/* ---- queries ---- */

static struct call_param param(const char *name, const char *value)
{
	return (struct call_param){slice_text(name), slice_text(value)};
}

static int run(const struct call_param *params, size_t len, struct submission **s, enum submit_mode *mode,
	struct fault *f)
{
	struct run_input in = {
		.task = slice_text("t"),
		.content_type = slice_text("text/plain"),
		.body = slice_text("body"),
		.params = params,
		.params_len = len,
	};

	return run_read(&in, &rules, s, mode, f);
}

static void a_query_sets_the_same_options(void **state)
{
	struct submission *s = NULL;
	enum submit_mode mode;
	struct fault fault;
	struct call_param params[] = {
		param("mode", "sync"),
		param("timeout", "2s"),
		param("attempts", "3"),
		param("metadata", "{\"a\": 1}"),
	};

	assert_int_equal(run(params, 4, &s, &mode, &fault), 0);
	assert_int_equal(mode, SUBMIT_SYNC);
	assert_int_equal(s->timeout_ms, 2000);
	assert_int_equal(s->max_attempts, 3);
	assert_slice(s->metadata, "{\"a\": 1}");
	assert_slice(s->payload, "body");
	assert_slice(s->content_type, "text/plain");
	submission_free(s);
}

static void a_query_that_is_wrong_is_refused(void **state)
{
	struct call_param wrong[] = {
		param("x", "1"),
		param("mode", ""),
		param("metadata", "{"),
		param("attempts", "99999999999999999999"),
		param("delay", "1"),
		param("webhook", "x"),
		param("a name that is longer than any option could ever be", "x"),
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct submission *s = NULL;
		enum submit_mode mode;
		struct fault fault;

		assert_int_equal(run(&wrong[i], 1, &s, &mode, &fault), -EINVAL);
		assert_int_equal(fault.problem, PROBLEM_INVALID_FIELD);
	}
}

static void json_is_known_by_its_media_type(void **state)
{
	static const char *const json[] = {"application/json", "Application/JSON;charset=utf-8",
		"application/json ; x=y", "application/problem+json", "image/svg+json; q"};
	static const char *const other[] = {"", "text/json", "application/jsonx", "application/x-json",
		"json", "text/plain; application/json", "application/json-seq"};

	for (size_t i = 0; i < sizeof json / sizeof json[0]; i++)
		assert_true(media_type_is_json(slice_text(json[i])));
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
		assert_false(media_type_is_json(slice_text(other[i])));
}

/* ---- batches ---- */

static void each_item_of_a_batch_stands_for_itself(void **state)
{
	struct batch_read b;
	struct fault fault;

	assert_int_equal(batch_read(slice_text("{\"then\":\"z\",\"tasks\":[{\"task\":\"a\"},{\"x\":1},7]}"),
				 3, &rules, &b, &fault),
		0);
	assert_int_equal(b.len, 3);
	assert_string_equal(b.items[0].submission->task, "a");
	assert_null(b.items[1].submission);
	assert_string_equal(b.items[1].fault.field, "/tasks/1/x");
	assert_string_equal(b.items[2].fault.field, "/tasks/2");
	assert_string_equal(b.then->task, "z");
	batch_read_done(&b);
}

static void a_batch_that_is_too_long_is_refused(void **state)
{
	struct batch_read b;
	struct fault fault;

	assert_int_equal(batch_read(slice_text("[{\"task\":\"a\"},{\"task\":\"a\"}]"), 1, &rules, &b, &fault),
		-EINVAL);
	assert_int_equal(batch_read(slice_text("[]"), 1, &rules, &b, &fault), -EINVAL);
	assert_int_equal(batch_read(slice_text("[{\"task\":\"a\"}]"), 1, &rules, &b, &fault), 0);
	batch_read_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_payload_is_found_and_not_changed),
		cmocka_unit_test(a_key_may_be_written_with_escapes),
		cmocka_unit_test(every_option_is_read),
		cmocka_unit_test(half_a_retry_policy_is_completed),
		cmocka_unit_test(moments_are_held_against_the_clock),
		cmocka_unit_test(tasks_that_follow_are_read_in_their_order),
		cmocka_unit_test(a_fault_says_where_it_is),
		cmocka_unit_test(a_field_that_is_very_long_is_cut),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(a_query_sets_the_same_options),
		cmocka_unit_test(a_query_that_is_wrong_is_refused),
		cmocka_unit_test(json_is_known_by_its_media_type),
		cmocka_unit_test(each_item_of_a_batch_stands_for_itself),
		cmocka_unit_test(a_batch_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
