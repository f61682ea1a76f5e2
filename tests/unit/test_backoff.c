#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/backoff.h"

/* Random bits that give the least, no and the most jitter. */
enum { LEAST = 0, NONE = 20, MOST = 40 };

static void the_wait_doubles_from_the_base(void **state)
{
	static const uint32_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000};

	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(backoff_ms(1000, 600000, i + 1, NONE), waits[i]);
}

static void the_wait_never_passes_the_cap(void **state)
{
	for (uint32_t attempt = 1; attempt < 100; attempt++)
		for (uint32_t random = LEAST; random <= MOST; random++)
			assert_true(backoff_ms(1000, 5000, attempt, random) <= 5000);
}

static void jitter_stays_within_a_fifth(void **state)
{
	assert_int_equal(backoff_ms(1000, 600000, 1, LEAST), 800);
	assert_int_equal(backoff_ms(1000, 600000, 1, MOST), 1200);
	for (uint32_t random = 0; random < 100000; random += 7) {
		uint32_t wait = backoff_ms(1000, 600000, 4, random * 40503u);

		assert_in_range(wait, 6400, 9600);
	}
}

static void no_input_overflows(void **state)
{
	assert_int_equal(backoff_ms(UINT32_MAX, UINT32_MAX, UINT32_MAX, MOST), UINT32_MAX);
	assert_int_equal(backoff_ms(1, UINT32_MAX, UINT32_MAX, MOST), UINT32_MAX);
	assert_int_equal(backoff_ms(0, 1000, 1000000, NONE), 0);
	assert_int_equal(backoff_ms(1000, 0, 3, NONE), 0);
	assert_int_equal(backoff_ms(5000, 1000, 1, NONE), 1000);
	assert_int_equal(backoff_ms(1000, 1000, 0, NONE), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_doubles_from_the_base),
		cmocka_unit_test(the_wait_never_passes_the_cap),
		cmocka_unit_test(jitter_stays_within_a_fifth),
		cmocka_unit_test(no_input_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
