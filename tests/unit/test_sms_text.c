#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "notifier/sms_text.h"

#define EMOJI	"\xf0\x9f\x98\x80"
#define EURO	"\xe2\x82\xac"
#define HAN	"\xe4\xbd\xa0"
#define ACUTE	"\xcc\x81" /* combining */
#define E_ACUTE "e\xcc\x81"
#define FLAG	"\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa"
#define FAMILY	"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"

/* `count` times `piece`, then `tail`. */
static struct buf repeat(const char *piece, size_t count, const char *tail)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < count; i++)
		buf_append_text(&b, piece);
	buf_append_text(&b, tail);
	assert_int_equal(b.error, 0);
	return b;
}

static void expect(
	const char *piece, size_t count, const char *tail, size_t segments_max, const struct sms_text *wanted)
{
	struct buf b = repeat(piece, count, tail);
	struct sms_text got = sms_text_fit(buf_slice(&b), segments_max);

	if (got.text.len != wanted->text.len || got.alphabet != wanted->alphabet ||
		got.units != wanted->units || got.segments != wanted->segments)
		fail_msg("%zu of \"%s\" and \"%s\" in %zu: %zu bytes, %s, %zu units, %zu segments", count,
			piece, tail, segments_max, got.text.len, sms_alphabet_name(got.alphabet), got.units,
			got.segments);
	buf_done(&b);
}

static void the_longest_that_fits_is_kept(void **state)
{
	static const struct {
		const char *piece;
		size_t count;
		const char *tail;
		size_t max;
		size_t len;
		enum sms_alphabet alphabet;
		size_t units, segments;
	} table[] = {
		{"", 0, "", 1, 0, SMS_GSM, 0, 0},
		{"a", 1, "", 1, 1, SMS_GSM, 1, 1},
		{"a", 160, "", 1, 160, SMS_GSM, 160, 1},
		{"a", 161, "", 1, 160, SMS_GSM, 160, 1},
		{"a", 161, "", 2, 161, SMS_GSM, 161, 2},
		{"a", 306, "", 2, 306, SMS_GSM, 306, 2},
		{"a", 307, "", 2, 306, SMS_GSM, 306, 2},
		{"a", 9999, "", 10, 1530, SMS_GSM, 1530, 10},
		{"{", 80, "", 1, 80, SMS_GSM, 160, 1},
		{"{", 81, "", 1, 80, SMS_GSM, 160, 1},
		{"a", 159, EURO, 1, 159, SMS_GSM, 159, 1},
		{"a", 158, EURO, 1, 161, SMS_GSM, 160, 1},
		/* 76 of two septets and one are a part's 153; without the one, 152: the next begins a new part. */
		{"{", 153, "", 2, 152, SMS_GSM, 304, 2},
		{HAN, 70, "", 1, 210, SMS_UCS2, 70, 1},
		{HAN, 71, "", 1, 210, SMS_UCS2, 70, 1},
		{HAN, 135, "", 2, 402, SMS_UCS2, 134, 2},
		{EMOJI, 35, "", 1, 140, SMS_UCS2, 70, 1},
		{EMOJI, 36, "", 1, 140, SMS_UCS2, 70, 1},
		{EMOJI, 67, "", 2, 264, SMS_UCS2, 132, 2},
		{"a", 69, HAN, 1, 72, SMS_UCS2, 70, 1},
		/* What would make it UCS-2 is left out where the rest is longer without it. */
		{"a", 70, HAN, 1, 70, SMS_GSM, 70, 1},
		{"a", 69, EMOJI, 1, 69, SMS_GSM, 69, 1},
		/* No letter without its accent, no half of a flag. */
		{"a", 69, "e" ACUTE "x", 1, 70 - 1, SMS_GSM, 69, 1},
		{HAN, 69, "e" ACUTE, 1, 207, SMS_UCS2, 69, 1},
		{HAN, 67, FLAG, 1, 201, SMS_UCS2, 67, 1},
		{HAN, 66, FLAG, 1, 206, SMS_UCS2, 70, 1},
		{HAN, 66, FAMILY, 1, 198, SMS_UCS2, 66, 1},
		{ACUTE, 100, "", 1, 140, SMS_UCS2, 70, 1},
		{"`", 71, "", 1, 70, SMS_UCS2, 70, 1},
		{"\n", 160, "", 1, 160, SMS_GSM, 160, 1},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const struct sms_text wanted = {
			.text = {NULL, table[i].len},
			.alphabet = table[i].alphabet,
			.units = table[i].units,
			.segments = table[i].segments,
		};

		expect(table[i].piece, table[i].count, table[i].tail, table[i].max, &wanted);
	}
}

static void gsm_is_what_the_standard_lists(void **state)
{
	static const char alphabet[] =
		"@\xc2\xa3$\xc2\xa5\xc3\xa8\xc3\xa9\xc3\xb9\xc3\xac\xc3\xb2\xc3\x87\n\xc3\x98\xc3\xb8\r\xc3\x85\xc3\xa5"
		"\xce\x94_\xce\xa6\xce\x93\xce\x9b\xce\xa9\xce\xa0\xce\xa8\xce\xa3\xce\x98\xce\x9e\xc3\x86\xc3\xa6\xc3\x9f\xc3\x89"
		" !\"#\xc2\xa4%&'()*+,-./0123456789:;<=>?\xc2\xa1"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ\xc3\x84\xc3\x96\xc3\x91\xc3\x9c\xc2\xa7"
		"\xc2\xbf"
		"abcdefghijklmnopqrstuvwxyz\xc3\xa4\xc3\xb6\xc3\xb1\xc3\xbc\xc3\xa0";
	static const char extension[] = "^{}\\[~]|" EURO;
	struct sms_text whole = sms_text_fit(slice_text(alphabet), 1);
	struct sms_text extended = sms_text_fit(slice_text(extension), 1);
	size_t found = 0;

	assert_int_equal(whole.alphabet, SMS_GSM);
	assert_int_equal(whole.units, 127); /* of 128, the escape is no character */
	assert_int_equal(extended.alphabet, SMS_GSM);
	assert_int_equal(extended.units, 18);
	for (uint32_t c = 1; c < 0x11000; c++) {
		struct buf b;

		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		buf_init(&b, 4);
		utf8_append(&b, c);
		found += sms_text_fit(buf_slice(&b), 1).alphabet == SMS_GSM;
		buf_done(&b);
	}
	assert_int_equal(found, 127 + 9);
}

/* Of texts made of all kinds of pieces, every length: what is kept is a valid beginning within its bounds. */
static void whatever_is_measured_keeps_within_its_bounds(void **state)
{
	static const char *const pieces[] = {
		"a", "{", EURO, HAN, EMOJI, E_ACUTE, FLAG, FAMILY, "\r\n", "\xc3\xa4"};
	const size_t kinds = sizeof pieces / sizeof pieces[0];
	uint32_t seed = 1;

	for (int round = 0; round < 400; round++) {
		size_t max = 1 + (size_t)round % SMS_TEXT_SEGMENTS_MAX;
		struct sms_text got;
		struct buf b;

		buf_init(&b, 1 << 16);
		for (int i = 0; i < round; i++) {
			seed = seed * 1664525 + 1013904223;
			buf_append_text(&b, pieces[(seed >> 16) % (round % 2 ? kinds : 3)]);
		}
		got = sms_text_fit(buf_slice(&b), max);
		assert_in_range(got.segments, b.len > 0, max);
		assert_true(got.text.len <= b.len);
		assert_true(utf8_is_valid(got.text));
		assert_int_equal(utf8_cut(buf_slice(&b), got.text.len), got.text.len);
		if (got.segments == 1)
			assert_in_range(got.units, 0, got.alphabet == SMS_GSM ? 160 : 70);
		else
			assert_in_range(got.units, 0, got.segments * (got.alphabet == SMS_GSM ? 153 : 67));
		assert_true(got.text.len == b.len ||
			    sms_text_fit(slice_of(b.data, got.text.len), max).text.len == got.text.len);
		buf_done(&b);
	}
}

static void expect_clean(struct slice text, const char *wanted)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(sms_text_clean(text, &b), 0);
	assert_string_equal(buf_text(&b), wanted);
	buf_done(&b);
}

static void a_text_of_any_length_is_measured(void **state)
{
	static const struct sms_text gsm = {{NULL, 1530}, SMS_GSM, 1530, 10};
	static const struct sms_text greek = {{NULL, 3060}, SMS_GSM, 1530, 10};
	static const struct sms_text han = {{NULL, 2010}, SMS_UCS2, 670, 10};

	expect("a", 100000, "", 10, &gsm);
	expect("\xce\x94", 100000, "", 10, &greek);
	expect(HAN, 100000, "", 10, &han);
	for (size_t count = 1000; count < 1400; count++) {
		struct buf b = repeat("a\n" ACUTE, count, "");

		assert_true(utf8_is_valid(sms_text_fit(buf_slice(&b), 10).text));
		buf_done(&b);
	}
	expect("a\n" ACUTE, 1, "", 1, &(struct sms_text){{NULL, 4}, SMS_UCS2, 3, 1});
	expect("ae" ACUTE, 1, "", 1, &(struct sms_text){{NULL, 4}, SMS_UCS2, 3, 1});
}

static void a_text_is_made_fit_for_telephones(void **state)
{
	expect_clean(slice_text(""), "");
	expect_clean(slice_text(" \r\n\t"), "");
	expect_clean(slice_text("\r\na\r\nb\rc\nd \n"), "a\nb\nc\nd");
	expect_clean(slice_of("a\0b\x1b\x7f"
			      "c",
			     6),
		"a b  c");
	expect_clean(slice_text("a\xc2\x85\xc2\x9fz\xc2\xa0"), "a  z\xc2\xa0");
	expect_clean(slice_text("a\xff\xe4\xbd"), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	for (size_t max = 0; max < 5; max++) {
		struct buf b;

		buf_init(&b, max);
		assert_int_equal(sms_text_clean(slice_text("hello"), &b), -EMSGSIZE);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_that_fits_is_kept),
		cmocka_unit_test(gsm_is_what_the_standard_lists),
		cmocka_unit_test(whatever_is_measured_keeps_within_its_bounds),
		cmocka_unit_test(a_text_of_any_length_is_measured),
		cmocka_unit_test(a_text_is_made_fit_for_telephones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
