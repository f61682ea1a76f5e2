#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.h"
#include "runtime/clock.h"

static const struct {
	const char *text;
	int64_t ms;
} same[] = {
	{"1970-01-01T00:00:00.000Z", 0},
	{"2026-01-02T03:04:05.678Z", 1767323045678},
	{"1969-12-31T23:59:59.999Z", -1},
	{"2000-02-29T12:00:00.000Z", 951825600000},
	{"0000-01-01T00:00:00.000Z", -62167219200000},
	{"9999-12-31T23:59:59.999Z", 253402300799999},
};
enum { SAME = sizeof same / sizeof same[0] };

static void a_moment_is_written_in_utc_with_milliseconds(void **state)
{
	char text[CLOCK_TEXT_LEN + 1];

	for (int i = 0; i < SAME; i++) {
		clock_format(same[i].ms, text);
		assert_string_equal(text, same[i].text);
	}
}

static void what_was_written_is_read_as_the_same_moment(void **state)
{
	for (int i = 0; i < SAME; i++) {
		int64_t ms = 7;

		assert_int_equal(clock_parse(same[i].text, strlen(same[i].text), &ms), 0);
		assert_int_equal(ms, same[i].ms);
	}
}

static void every_day_of_four_centuries_goes_there_and_back(void **state)
{
	for (int64_t day = -150000; day < 150000; day += 1) {
		int64_t ms = day * 86400000 + 45296789;
		char text[CLOCK_TEXT_LEN + 1];
		int64_t back = 0;

		clock_format(ms, text);
		assert_int_equal(clock_parse(text, CLOCK_TEXT_LEN, &back), 0);
		assert_int_equal(back, ms);
	}
}

static void a_moment_outside_the_calendar_is_the_nearest_inside(void **state)
{
	char text[CLOCK_TEXT_LEN + 1];

	clock_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	clock_format(INT64_MIN, text);
	assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void every_spelling_of_rfc_3339_is_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"2026-01-02T03:04:05Z", 1767323045000},
		{"2026-01-02t03:04:05z", 1767323045000},
		{"2026-01-02T03:04:05.6Z", 1767323045600},
		{"2026-01-02T03:04:05.6789123456789Z", 1767323045678},
		{"2026-01-02T04:34:05+01:30", 1767323045000},
		{"2026-01-01T22:04:05-05:00", 1767323045000},
		{"2026-01-02T03:04:05-00:00", 1767323045000},
		{"1990-12-31T23:59:60Z", 662688000000},
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		int64_t ms = 7;

		assert_int_equal(clock_parse(good[i].text, strlen(good[i].text), &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
}

static void what_is_no_date_time_is_refused(void **state)
{
	static const char *const bad[] = {
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02 03:04:05Z",
		"2026-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-13-01T00:00:00Z",
		"2026-01-00T00:00:00Z",
		"2026-01-32T00:00:00Z",
		"2026-01-02T24:00:00Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:61Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+0100",
		"2026-01-02T03:04:05+01",
		"2026-01-02T03:04:05Z ",
		" 2026-01-02T03:04:05Z",
		"+026-01-02T03:04:05Z",
		"20260102T030405Z",
		"now",
	};
	int64_t ms = 7;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(clock_parse(bad[i], strlen(bad[i]), &ms), -EINVAL);
	assert_int_equal(ms, 7);
}

static void every_prefix_is_refused_and_never_read_past(void **state)
{
	static const char whole[] = "2026-01-02T03:04:05.678+01:00";
	int64_t ms;

	for (size_t len = 0; len < sizeof whole - 1; len++) {
		char *prefix = malloc(len ? len : 1);

		assert_non_null(prefix);
		memcpy(prefix, whole, len);
		assert_int_equal(clock_parse(prefix, len, &ms), -EINVAL);
		free(prefix);
	}
}

static void the_clocks_go_forward_in_their_units(void **state)
{
	int64_t ms = clock_mono_ms();
	int64_t us = clock_mono_us();

	assert_true(us / 1000 >= ms);
	assert_true(clock_mono_us() >= us);
	assert_true(clock_wall_ms() > 1700000000000);
}

static void a_shifted_clock_reads_later_and_measures_the_same(void **state)
{
	int64_t wall = clock_wall_ms();
	int64_t mono = clock_mono_ms();

	clock_shift(86400000);
	assert_true(clock_wall_ms() >= wall + 86400000);
	assert_true(clock_mono_ms() < mono + 86400000);
	clock_shift(0);
	assert_true(clock_wall_ms() < wall + 86400000);
}

static void random_bytes_differ_in_every_byte(void **state)
{
	unsigned char any[300] = {0};

	for (int round = 0; round < 64; round++) {
		unsigned char bytes[sizeof any];

		random_fill(bytes, sizeof bytes);
		for (size_t i = 0; i < sizeof any; i++)
			any[i] |= bytes[i];
	}
	for (size_t i = 0; i < sizeof any; i++)
		assert_int_not_equal(any[i], 0);
	assert_true(random_u32() != random_u32() || random_u32() != random_u32());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_moment_is_written_in_utc_with_milliseconds),
		cmocka_unit_test(what_was_written_is_read_as_the_same_moment),
		cmocka_unit_test(every_day_of_four_centuries_goes_there_and_back),
		cmocka_unit_test(a_moment_outside_the_calendar_is_the_nearest_inside),
		cmocka_unit_test(every_spelling_of_rfc_3339_is_read),
		cmocka_unit_test(what_is_no_date_time_is_refused),
		cmocka_unit_test(every_prefix_is_refused_and_never_read_past),
		cmocka_unit_test(the_clocks_go_forward_in_their_units),
		cmocka_unit_test(a_shifted_clock_reads_later_and_measures_the_same),
		cmocka_unit_test(random_bytes_differ_in_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
