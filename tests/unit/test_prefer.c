#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/idempotency.h"
#include "gateway/list.h"
#include "gateway/prefer.h"
#include "proto/trace.h"

/* On the heap to the byte, so that a byte too far is seen. */
static struct slice heap(const char *text)
{
	size_t len = strlen(text);

	return slice_of(memcpy(malloc(len + 1), text, len), len);
}

static void the_seconds_of_a_preference_are_found(void **state)
{
	static const struct {
		const char *header;
		int seconds;
	} cases[] = {
		{"wait=10", 10},
		{"wait = 10", 10},
		{"Wait=10", 10},
		{"wait=\"10\"", 10},
		{"respond-async, wait=7", 7},
		{"respond-async,wait=7;x=y", 7},
		{"return=minimal; a=\"b,wait=3\", wait=5", 5},
		{"a=\"\\\",wait=1\", wait=2", 2},
		{"wait=61", 60},
		{"wait=99999999999999999999", 60},
		{"wait=3, wait=9", 3},
		{"wait=0", 0},
		{"", 0},
		{"wait", 0},
		{"wait=", 0},
		{"wait=x", 0},
		{"wait=-1", 0},
		{"wait=1.5", 0},
		{"await=5", 0},
		{"x=wait=5", 0},
		{",,,", 0},
		{"=;=,;", 0},
		{"\"", 0},
		{"a=\"\\", 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct slice header = heap(cases[i].header);

		assert_int_equal(prefer_wait_s(header), cases[i].seconds);
		free((void *)header.data);
	}
	assert_int_equal(prefer_wait_s((struct slice){0}), 0);
}

static void every_byte_of_a_preference_comes_to_an_end(void **state)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			uint8_t text[2] = {(uint8_t)a, (uint8_t)b};

			prefer_wait_s(slice_of(text, 2));
			etag_matches(slice_of(text, 2), 1);
		}
	}
}

static void a_version_is_found_in_what_the_client_knows(void **state)
{
	static const char *const yes[] = {
		"\"7\"", "W/\"7\"", " \"7\" ", "\"6\", \"7\"", "\"6\",W/\"7\"", "*", " *"};
	static const char *const no[] = {"", "7", "\"77\"", "\"6\"", "\"7", "W/7", "\"a,7\"", "\"a\", x"};
	char etag[ETAG_LEN];

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		assert_true(etag_matches(slice_text(yes[i]), 7));
	/* An unterminated one is taken for what it begins with. */
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		if (strcmp(no[i], "\"7") != 0)
			assert_false(etag_matches(slice_text(no[i]), 7));
	assert_false(etag_matches((struct slice){0}, 7));
	etag_format(UINT64_MAX, etag);
	assert_string_equal(etag, "\"18446744073709551615\"");
}

static void a_key_is_bare_or_quoted(void **state)
{
	struct slice key;
	char much[258];

	assert_int_equal(idempotency_parse(slice_text("abc"), &key), 0);
	assert_true(slice_is_text(key, "abc"));
	assert_int_equal(idempotency_parse(slice_text("\"a b\""), &key), 0);
	assert_true(slice_is_text(key, "a b"));
	assert_int_equal(idempotency_parse(slice_text("\""), &key), 0);
	assert_int_equal(idempotency_parse(slice_text(""), &key), -EINVAL);
	assert_int_equal(idempotency_parse(slice_text("\"\""), &key), -EINVAL);
	assert_int_equal(idempotency_parse(slice_text("a\tb"), &key), -EINVAL);
	assert_int_equal(idempotency_parse(slice_text("\xc3\xa9"), &key), -EINVAL);
	memset(much, 'a', sizeof much);
	assert_int_equal(idempotency_parse(slice_of(much, 255), &key), 0);
	assert_int_equal(idempotency_parse(slice_of(much, 256), &key), -EINVAL);
	much[0] = much[256] = '"';
	assert_int_equal(idempotency_parse(slice_of(much, 257), &key), 0);
	assert_int_equal(key.len, 255);
}

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void a_trace_is_passed_on_only_when_it_is_well_formed(void **state)
{
	static const char *const wrong[] = {
		"",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
		(PARENT "-"),
		(PARENT "0"),
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
	};

	assert_true(trace_parent_is_valid(slice_text(PARENT)));
	assert_true(trace_parent_is_valid(
		slice_text("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")));
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_false(trace_parent_is_valid(slice_text(wrong[i])));
	for (size_t len = 0; len < strlen(PARENT); len++)
		assert_false(trace_parent_is_valid(slice_of(PARENT, len)));
	assert_true(slice_is_set(trace_of(slice_text(PARENT), slice_text("a=b")).state));
	assert_false(slice_is_set(trace_of(slice_text(PARENT), slice_text("a=\n")).state));
	assert_false(slice_is_set(trace_of(slice_text("x"), slice_text("a=b")).state));
}

static void a_list_is_asked_for_with_bounds(void **state)
{
	struct call_param good[] = {
		{slice_text("status"), slice_text("failed")},
		{slice_text("limit"), slice_text("200")},
		{slice_text("task"), slice_text("a.b")},
		{slice_text("cursor"), slice_text("018bcfe5-6800-7123-9158-0000b7a6b2a5")},
	};
	struct call_param wrong[] = {
		{slice_text("limit"), slice_text("0201")},
		{slice_text("limit"), slice_text("99999999999999999999")},
		{slice_text("status"), slice_text("")},
		{slice_text("Status"), slice_text("failed")},
	};
	struct store_list_query q;
	struct fault fault;

	assert_int_equal(list_read_query(good, 4, &q, &fault), 0);
	assert_int_equal(q.limit, 200);
	assert_true(q.has_state);
	assert_int_equal(q.state, TASK_FAILED);
	assert_false(id_is_zero(&q.before));
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(list_read_query(&wrong[i], 1, &q, &fault), -EINVAL);
	assert_int_equal(list_read_query(NULL, 0, &q, &fault), 0);
	assert_int_equal(q.limit, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seconds_of_a_preference_are_found),
		cmocka_unit_test(every_byte_of_a_preference_comes_to_an_end),
		cmocka_unit_test(a_version_is_found_in_what_the_client_knows),
		cmocka_unit_test(a_key_is_bare_or_quoted),
		cmocka_unit_test(a_trace_is_passed_on_only_when_it_is_well_formed),
		cmocka_unit_test(a_list_is_asked_for_with_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
