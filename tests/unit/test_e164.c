#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/e164.h"

/* In memory of its exact length. */
static int check(struct slice number, const char **why)
{
	uint8_t *copy = malloc(number.len ? number.len : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, number.data, number.len);
	rc = e164_check(slice_of(copy, number.len), why);
	free(copy);
	return rc;
}

static void a_number_has_7_to_15_digits(void **state)
{
	static const char longest[] = "+1234567890123456789";
	const char *why;

	for (size_t len = 0; len < sizeof longest; len++)
		assert_int_equal(check(slice_of(longest, len), &why), len >= 8 && len <= 16 ? 0 : -EINVAL);
	assert_int_equal(check(slice_text("+8613800138000"), &why), 0);
	/* Tokelau has some of the shortest. */
	assert_int_equal(check(slice_text("+6904567"), &why), 0);
}

static void every_other_byte_anywhere_is_refused(void **state)
{
	const char *why;

	for (size_t at = 0; at < 14; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			char number[] = "+4915112345678";
			bool is_good = at == 0	 ? byte == '+'
				       : at == 1 ? byte >= '1' && byte <= '9'
						 : byte >= '0' && byte <= '9';

			number[at] = (char)byte;
			why = "";
			assert_int_equal(check(slice_of(number, 14), &why), is_good ? 0 : -EINVAL);
			assert_true(is_good ? why == NULL : why && *why);
		}
	}
}

static void what_is_wrong_is_told(void **state)
{
	static const struct {
		const char *number, *word;
	} table[] = {
		{"", "international"},
		{"004915112345678", "international"},
		{"015112345678", "international"},
		{" 4915112345678", "international"},
		{"+49 151 12345678", "without spaces"},
		{"+49-151-12345678", "without spaces"},
		{"+015112345678", "country"},
		{"+123456", "7 to 15"},
		{"+1234567890123456", "7 to 15"},
		{"+", "7 to 15"},
	};
	const char *why;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		assert_int_equal(check(slice_text(table[i].number), &why), -EINVAL);
		if (!strstr(why, table[i].word))
			fail_msg("%s: %s", table[i].number, why);
	}
}

static void a_prefix_is_a_plus_and_the_first_digits(void **state)
{
	static const struct {
		const char *prefix;
		bool is;
	} table[] = {
		{"+", true},
		{"+1", true},
		{"+4915", true},
		{"+491511234567890", true},
		{"+4915112345678901", false},
		{"", false},
		{"49", false},
		{"+0", false},
		{"+49*", false},
		{"*", false},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		assert_int_equal(e164_is_prefix(slice_text(table[i].prefix)), table[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_has_7_to_15_digits),
		cmocka_unit_test(every_other_byte_anywhere_is_refused),
		cmocka_unit_test(what_is_wrong_is_told),
		cmocka_unit_test(a_prefix_is_a_plus_and_the_first_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
