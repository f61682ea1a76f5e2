#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/name.h"

static bool is_valid(const char *text)
{
	return name_is_valid(slice_text(text));
}

static void usual_names_are_valid(void **state)
{
	assert_true(is_valid("a"));
	assert_true(is_valid("7"));
	assert_true(is_valid("send-mail"));
	assert_true(is_valid("image.thumbnail_2"));
	assert_true(is_valid("A-._"));
}

static void a_name_starts_with_a_letter_or_digit(void **state)
{
	assert_false(is_valid(""));
	assert_false(is_valid(NULL));
	assert_false(is_valid(".a"));
	assert_false(is_valid("-a"));
	assert_false(is_valid("_a"));
}

static void a_name_has_at_most_100_bytes(void **state)
{
	char text[102];

	memset(text, 'x', sizeof text);
	assert_true(name_is_valid(slice_of(text, 100)));
	assert_false(name_is_valid(slice_of(text, 101)));
}

static void every_other_byte_is_refused(void **state)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		uint8_t name[] = {'a', (uint8_t)byte};
		bool allowed = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
			       (byte >= 'a' && byte <= 'z') || byte == '_' || byte == '.' || byte == '-';

		assert_int_equal(name_is_valid(slice_of(name, 2)), allowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_names_are_valid),
		cmocka_unit_test(a_name_starts_with_a_letter_or_digit),
		cmocka_unit_test(a_name_has_at_most_100_bytes),
		cmocka_unit_test(every_other_byte_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
