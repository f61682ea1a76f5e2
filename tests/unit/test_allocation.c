/*
 * Fails the 1st, 2nd, … allocation of our own code: each must come out as -ENOMEM, without a leak, and none may change
 * what a later call gives.
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
#include "tests/unit/torture.h"

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
