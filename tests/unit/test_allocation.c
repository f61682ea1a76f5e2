/*
 * Fails the 1st, 2nd, … allocation of our own code: each must come out as -ENOMEM, without a leak, and none may change
 * what a later call gives. The linker sends malloc, calloc and realloc of our libraries here (see CMakeLists.txt).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/context.h"
#include "proto/json.h"
#include "proto/reply.h"

/* The linker fixes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__real_realloc(void *old, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__wrap_realloc(void *old, size_t len);

static long countdown; /* the allocation that fails; 0: none */

static bool fails(void)
{
	return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t len)
{
	return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
	return fails() ? NULL : __real_calloc(n, len);
}

void *__wrap_realloc(void *old, size_t len)
{
	return fails() ? NULL : __real_realloc(old, len);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* The number of allocations that `run` makes; each of them failed once. */
static int torture(int (*run)(void))
{
	for (int nth = 1;; nth++) {
		int rc;

		countdown = nth;
		rc = run();
		if (countdown > 0) {
			countdown = 0;
			assert_int_equal(rc, 0);
			return nth - 1;
		}
		if (rc != 0)
			assert_int_equal(rc, -ENOMEM);
	}
}

static int check_many_keys(void)
{
	static char text[20000];
	struct json_error error;
	size_t len = 0;

	text[len++] = '{';
	for (int i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len, "%s\"k%d\":0", i > 0 ? "," : "", i);
	text[len++] = '}';
	return json_check(slice_of(text, len), &error);
}

static void a_check_of_many_keys_survives(void **state)
{
	assert_true(torture(check_many_keys) >= 3);
}

static int encode_reply(void)
{
	struct reply r = {
		.id = {{1}},
		.attempt = 1,
		.kind = REPLY_FAILED,
		.has_error = true,
		.error = {.type = slice_text("x"), .message = slice_text("no text: \xff")},
		.context = slice_text("context"),
	};
	struct decode_error error;
	struct reply again;
	struct buf out;
	int rc;

	buf_init(&out, 10000);
	rc = reply_encode(&r, &out);
	if (rc == 0) {
		assert_int_equal(reply_decode(buf_slice(&out), &again, &error), 0);
		assert_true(slice_is_text(again.error.message, "no text: \xef\xbf\xbd"));
	}
	buf_done(&out);
	return rc;
}

static void an_encoder_gives_a_whole_message_or_none(void **state)
{
	assert_true(torture(encode_reply) >= 2);
}

static int convert(void)
{
	struct buf out;
	int rc;

	buf_init(&out, 10000);
	rc = wire_to_json(slice_text("\x92\xa5hello\xc4\x02{}"), &out);
	assert_true(rc == 0 || out.len == 0);
	buf_done(&out);
	return rc;
}

static void a_conversion_to_json_gives_all_or_nothing(void **state)
{
	assert_true(torture(convert) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_check_of_many_keys_survives),
		cmocka_unit_test(an_encoder_gives_a_whole_message_or_none),
		cmocka_unit_test(a_conversion_to_json_gives_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
