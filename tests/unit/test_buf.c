#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

static void what_was_appended_is_there(void **state)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(buf_append_text(&b, "one"), 0);
	assert_int_equal(buf_printf(&b, "-%d-", 2), 0);
	assert_int_equal(buf_append_byte(&b, '3'), 0);
	assert_string_equal(buf_text(&b), "one-2-3");
	assert_int_equal(b.len, 7);
	buf_done(&b);
}

static void every_bound_holds_to_the_byte(void **state)
{
	for (size_t max = 0; max < 600; max++) {
		struct buf b;

		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(buf_append_byte(&b, 'x'), 0);
		assert_non_null(buf_text(&b));
		assert_int_equal(buf_append_byte(&b, 'x'), -EMSGSIZE);
		assert_int_equal(b.len, max);
		buf_done(&b);
	}
}

static void an_error_stays_until_the_reset(void **state)
{
	struct buf b;
	uint8_t *data;
	size_t len;

	buf_init(&b, 4);
	assert_int_equal(buf_append_text(&b, "12345"), -EMSGSIZE);
	assert_int_equal(buf_append_text(&b, "1"), -EMSGSIZE);
	assert_int_equal(buf_take(&b, &data, &len), -EMSGSIZE);
	assert_null(buf_text(&b));
	buf_reset(&b);
	assert_int_equal(buf_append_text(&b, "1234"), 0);
	assert_int_equal(buf_take(&b, &data, &len), 0);
	assert_int_equal(len, 4);
	assert_int_equal(b.len, 0);
	free(data);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_appended_is_there),
		cmocka_unit_test(every_bound_holds_to_the_byte),
		cmocka_unit_test(an_error_stays_until_the_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
