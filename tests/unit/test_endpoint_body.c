#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/call.h"
#include "gateway/endpoint_body.h"
#include "gateway/replay.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static void expect_good(const char *json, enum endpoint_body_kind kind, struct endpoint_body *body)
{
	struct fault fault;

	if (endpoint_body_read(slice_text(json), kind, body, &fault) != 0)
		fail_msg("%s: %s: %s", json, fault.field, fault.detail);
}

static void expect_text(struct buf *b, const char *text)
{
	assert_true(slice_is_text(buf_slice(b), text));
}

static void all_members_of_a_new_one_are_read(void **state)
{
	struct endpoint_body b;

	expect_good(
		"{\"url\":\"https:\\/\\/a.example/hook?k=1\",\"description\":\"Caf\\u00e9\",\"on\":[\"failed\","
		"\"dead\"],\"tasks\":[\"report\",\"image.*\",\"*\"],\"secret\":\"" SECRET "\"}",
		ENDPOINT_BODY_NEW, &b);
	expect_text(&b.url, "https://a.example/hook?k=1");
	expect_text(&b.description, "Caf\xc3\xa9");
	expect_text(&b.tasks, "report,image.*,*");
	expect_text(&b.secret, SECRET);
	assert_true(b.has_secret);
	assert_int_equal(b.outcomes, 1u << TASK_FAILED | 1u << TASK_DEAD);
	endpoint_body_done(&b);
}

static void an_url_is_all_that_a_new_one_needs(void **state)
{
	struct endpoint_body b;

	expect_good(
		"{\"url\":\"https://a.example\",\"description\":null,\"tasks\":null,\"on\":null,\"secret\":null}",
		ENDPOINT_BODY_NEW, &b);
	assert_int_equal(b.tasks.len, 0);
	assert_int_equal(b.outcomes, 0);
	assert_false(b.has_secret);
	endpoint_body_done(&b);
}

static void a_change_tells_what_stays_from_what_is_taken_back(void **state)
{
	struct endpoint_body b;

	expect_good("{}", ENDPOINT_BODY_CHANGE, &b);
	assert_false(b.has_url || b.has_description || b.has_tasks || b.has_outcomes || b.has_enabled);
	endpoint_body_done(&b);
	expect_good(
		"{\"description\":null,\"tasks\":[],\"on\":null,\"enabled\":true}", ENDPOINT_BODY_CHANGE, &b);
	assert_true(b.has_description && b.has_tasks && b.has_outcomes && b.has_enabled && b.is_enabled);
	assert_int_equal(b.description.len + b.tasks.len + b.outcomes, 0);
	endpoint_body_done(&b);
}

static void a_rotation_has_a_day_unless_it_says_otherwise(void **state)
{
	struct endpoint_body b;

	expect_good("{}", ENDPOINT_BODY_ROTATE, &b);
	assert_int_equal(b.overlap_ms, 24 * 3600 * 1000);
	endpoint_body_done(&b);
	expect_good("{\"overlap\":\"0s\",\"secret\":\"" SECRET "\"}", ENDPOINT_BODY_ROTATE, &b);
	assert_int_equal(b.overlap_ms, 0);
	expect_text(&b.secret, SECRET);
	endpoint_body_done(&b);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *json, *field;
		enum endpoint_body_kind kind;
	} wrong[] = {
		{"[]", "", ENDPOINT_BODY_NEW},
		{"{}", "/url", ENDPOINT_BODY_NEW},
		{"{\"url\":null}", "/url", ENDPOINT_BODY_NEW},
		{"{\"url\":7}", "/url", ENDPOINT_BODY_CHANGE},
		{"{\"url\":\"ftp://a/\"}", "/url", ENDPOINT_BODY_CHANGE},
		{"{\"url\":\"http://u:p@a/\"}", "/url", ENDPOINT_BODY_CHANGE},
		{"{\"description\":1}", "/description", ENDPOINT_BODY_CHANGE},
		{"{\"description\":\"a\\nb\"}", "/description", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":\"a\"}", "/tasks", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[\"a\",\"\"]}", "/tasks/1", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[\"*a\"]}", "/tasks/0", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[\"a,b\"]}", "/tasks/0", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[\"a**\"]}", "/tasks/0", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[\".a*\"]}", "/tasks/0", ENDPOINT_BODY_CHANGE},
		{"{\"tasks\":[null]}", "/tasks/0", ENDPOINT_BODY_CHANGE},
		{"{\"on\":[]}", "/on", ENDPOINT_BODY_CHANGE},
		{"{\"on\":\"dead\"}", "/on", ENDPOINT_BODY_CHANGE},
		{"{\"on\":[\"dead\",\"queued\"]}", "/on/1", ENDPOINT_BODY_CHANGE},
		{"{\"on\":[null]}", "/on/0", ENDPOINT_BODY_CHANGE},
		{"{\"enabled\":null}", "/enabled", ENDPOINT_BODY_CHANGE},
		{"{\"enabled\":\"true\"}", "/enabled", ENDPOINT_BODY_CHANGE},
		{"{\"enabled\":true}", "/enabled", ENDPOINT_BODY_NEW},
		{"{\"secret\":\"" SECRET "\"}", "/secret", ENDPOINT_BODY_CHANGE},
		{"{\"secret\":\"whsec_c2hvcnQ=\"}", "/secret", ENDPOINT_BODY_NEW},
		{"{\"secret\":\"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"}", "/secret", ENDPOINT_BODY_ROTATE},
		{"{\"overlap\":\"31d\"}", "/overlap", ENDPOINT_BODY_ROTATE},
		{"{\"overlap\":24}", "/overlap", ENDPOINT_BODY_ROTATE},
		{"{\"url\":\"https://a/\"}", "/url", ENDPOINT_BODY_ROTATE},
		{"{\"retries\":1}", "/retries", ENDPOINT_BODY_NEW},
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct endpoint_body b;
		struct fault fault = {0};
		int rc = endpoint_body_read(slice_text(wrong[i].json), wrong[i].kind, &b, &fault);

		if (rc != -EINVAL || fault.problem != PROBLEM_INVALID_FIELD ||
			strcmp(fault.field, wrong[i].field) != 0)
			fail_msg("%s: %d %s: %s", wrong[i].json, rc, fault.field, fault.detail);
		assert_null(strstr(fault.detail, "whsec_M"));
		endpoint_body_done(&b);
	}
}

static void every_prefix_is_refused(void **state)
{
	static const char text[] = "{\"url\":\"https://a/\",\"tasks\":[\"a\",\"b*\"],\"on\":[\"dead\"]}";

	for (size_t len = 0; len < sizeof text - 1; len++) {
		struct endpoint_body b;
		struct fault fault;

		assert_int_equal(
			endpoint_body_read(slice_of(text, len), ENDPOINT_BODY_NEW, &b, &fault), -EINVAL);
		assert_int_equal(fault.problem, PROBLEM_INVALID_JSON);
		endpoint_body_done(&b);
	}
}

static int read_patterns(size_t count, size_t len)
{
	struct endpoint_body b;
	struct fault fault;
	struct buf json;
	int rc;

	buf_init(&json, 1 << 20);
	buf_append_text(&json, "{\"tasks\":[");
	for (size_t i = 0; i < count; i++) {
		buf_append_text(&json, i ? ",\"" : "\"");
		for (size_t n = 0; n < len; n++)
			buf_append_byte(&json, 'a');
		buf_append_text(&json, "*\"");
	}
	buf_append_text(&json, "]}");
	rc = endpoint_body_read(buf_slice(&json), ENDPOINT_BODY_CHANGE, &b, &fault);
	endpoint_body_done(&b);
	buf_done(&json);
	return rc;
}

static void the_most_that_may_be_fits(void **state)
{
	assert_int_equal(read_patterns(ENDPOINT_PATTERNS_MAX, 100), 0);
	assert_int_equal(read_patterns(ENDPOINT_PATTERNS_MAX + 1, 1), -EINVAL);
	assert_int_equal(read_patterns(1, 101), -EINVAL);
}

/* ---- which deliveries are meant ---- */

enum { NOW_MS = 1800000000 };

static int read_one(const char *name, const char *value, struct store_replay *out, struct fault *fault)
{
	const struct call_param params[] = {
		{slice_text("status"), slice_text("dead")}, {slice_text(name), slice_text(value)}};

	return replay_read_query(params, 2, NOW_MS, out, fault);
}

static void a_replay_says_which_it_means(void **state)
{
	static const char id[] = "01a20327-0130-7e13-ba14-00006c1da512";
	struct store_replay r;
	struct fault fault;

	assert_int_equal(read_one("since", "1h", &r, &fault), 0);
	assert_int_equal(r.since_ms, NOW_MS - 3600 * 1000);
	assert_int_equal(r.until_ms, NOW_MS);
	assert_int_equal(r.limit, STORE_REPLAY_MAX);
	assert_int_equal(read_one("since", "366d", &r, &fault), 0);
	assert_int_equal(r.since_ms, 0);
	assert_int_equal(read_one("until", "1970-01-01T01:00:00+01:00", &r, &fault), 0);
	assert_int_equal(r.until_ms, 0);
	assert_int_equal(read_one("channel", "sms", &r, &fault), 0);
	assert_true(slice_is_text(r.channel, "sms"));
	assert_int_equal(read_one("endpoint", id, &r, &fault), 0);
	assert_false(id_is_zero(&r.endpoint));
}

static void other_replays_are_refused(void **state)
{
	static const struct {
		const char *name, *value, *field;
	} wrong[] = {{"since", "", "since"}, {"since", "yesterday", "since"}, {"since", "-1h", "since"},
		{"until", "2026-01-02", "until"}, {"channel", "task", "channel"}, {"channel", "", "channel"},
		{"endpoint", "1", "endpoint"}, {"status", "dead", "status"}, {"task", "echo", "task"}};
	struct store_replay r;
	struct fault fault;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		int rc = read_one(wrong[i].name, wrong[i].value, &r, &fault);

		if (rc != -EINVAL || strcmp(fault.field, wrong[i].field) != 0)
			fail_msg("%s=%s: %d %s", wrong[i].name, wrong[i].value, rc, fault.field);
	}
	assert_int_equal(replay_read_query(NULL, 0, NOW_MS, &r, &fault), -EINVAL);
	assert_string_equal(fault.field, "status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_members_of_a_new_one_are_read),
		cmocka_unit_test(an_url_is_all_that_a_new_one_needs),
		cmocka_unit_test(a_change_tells_what_stays_from_what_is_taken_back),
		cmocka_unit_test(a_rotation_has_a_day_unless_it_says_otherwise),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(the_most_that_may_be_fits),
		cmocka_unit_test(a_replay_says_which_it_means),
		cmocka_unit_test(other_replays_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
