#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/chunked.h"

/* Reads `text` in pieces of `step` bytes. The status it ends with; *used is how far it came. */
static enum chunked_status read_all(const char *text, size_t step, struct buf *data, size_t *used)
{
	size_t len = strlen(text);
	size_t at = 0;
	struct chunked c;
	enum chunked_status status = CHUNKED_MORE;

	chunked_init(&c);
	while (at < len && (status == CHUNKED_MORE || status == CHUNKED_DATA)) {
		size_t piece = len - at < step ? len - at : step;
		size_t taken;

		if (c.state == CHUNKED_IN_DATA) {
			taken = c.left < piece ? (size_t)c.left : piece;
			buf_append(data, text + at, taken);
			chunked_moved(&c, taken);
			status = CHUNKED_MORE;
		} else {
			status = chunked_feed(&c, slice_of(text + at, piece), &taken);
		}
		at += taken;
	}
	*used = at;
	return status;
}

static void a_body_is_put_together_however_it_is_cut(void **state)
{
	static const char text[] =
		"3;a=b;c=\"d\"\r\nabc\r\nA\r\n0123456789\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\nrest";

	for (size_t step = 1; step < sizeof text; step++) {
		struct buf data;
		size_t used;

		buf_init(&data, 100);
		assert_int_equal(read_all(text, step, &data, &used), CHUNKED_DONE);
		assert_string_equal(buf_text(&data), "abc0123456789");
		assert_string_equal(text + used, "rest");
		buf_done(&data);
	}
}

static void what_is_no_framing_is_refused(void **state)
{
	static const char *const cases[] = {
		"\r\n",
		" 1\r\na\r\n",
		"+1\r\na\r\n",
		"0x1\r\na\r\n",
		"1\na\r\n",
		"1\r\nab\r\n",
		"1\r\na\n",
		"g\r\n",
		"1;\001\r\n",
		"1\r\r\n",
		"000000001\r\na\r\n",
		"0\r\n\rx",
		"0\r\nX: y\n\r\n",
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf data;
		size_t used;

		buf_init(&data, 100);
		assert_int_equal(read_all(cases[i], 100, &data, &used), CHUNKED_WRONG);
		buf_done(&data);
	}
}

static void no_prefix_is_a_whole_body(void **state)
{
	char text[] = "3\r\nabc\r\n0\r\nT: x\r\n\r\n";

	for (size_t len = sizeof text - 1; len-- > 0;) {
		struct buf data;
		size_t used;
		enum chunked_status status;

		text[len] = '\0';
		buf_init(&data, 100);
		status = read_all(text, 100, &data, &used);
		assert_true(status == CHUNKED_MORE || status == CHUNKED_DATA);
		buf_done(&data);
	}
}

static void extensions_and_trailers_are_bounded(void **state)
{
	struct chunked c;
	size_t used;
	enum chunked_status status;

	chunked_init(&c);
	status = chunked_feed(&c, slice_text("0\r\n"), &used);
	for (size_t i = 0; status == CHUNKED_MORE && i <= CHUNKED_EXTRA_MAX; i++)
		status = chunked_feed(&c, slice_text("x"), &used);
	assert_int_equal(status, CHUNKED_WRONG);
	chunked_init(&c);
	status = chunked_feed(&c, slice_text("1"), &used);
	for (size_t i = 0; status == CHUNKED_MORE && i <= CHUNKED_EXTRA_MAX; i++)
		status = chunked_feed(&c, slice_text(";"), &used);
	assert_int_equal(status, CHUNKED_WRONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_put_together_however_it_is_cut),
		cmocka_unit_test(what_is_no_framing_is_refused),
		cmocka_unit_test(no_prefix_is_a_whole_body),
		cmocka_unit_test(extensions_and_trailers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
