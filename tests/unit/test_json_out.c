#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "service/json_out.h"

static void numbers_are_written_whole(void **state)
{
	static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN};

	for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
		char wanted[64];
		struct buf out;

		snprintf(wanted, sizeof wanted, "{\"n\":%" PRId64 "}", edges[i]);
		buf_init(&out, 100);
		json_out_open(&out, NULL, '{');
		json_out_number(&out, "n", edges[i]);
		json_out_close(&out, '}');
		assert_string_equal(buf_text(&out), wanted);
		buf_done(&out);
	}
	for (int64_t n = 1; n < INT64_MAX / 10; n *= 10) {
		char wanted[64];
		struct buf out;

		snprintf(wanted, sizeof wanted, "\"n\":%" PRId64 ",\"n\":%" PRId64, n, 1 - n);
		buf_init(&out, 100);
		json_out_number(&out, "n", n);
		json_out_number(&out, "n", 1 - n);
		assert_string_equal(buf_text(&out), wanted);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
