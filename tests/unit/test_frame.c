#include "processor/frame.h"
#include "processor/tail.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void put_frame(struct buf *out, const char *text)
{
	uint8_t head[FRAME_HEAD_LEN];

	frame_head(strlen(text), head);
	buf_append(out, head, sizeof head);
	buf_append_text(out, text);
}

static void frames_are_read_from_pieces_of_any_size(void **state)
{
	static const char *const texts[] = {"one", "", "three three three", "4"};
	struct buf stream;

	buf_init(&stream, 1000);
	for (size_t i = 0; i < 4; i++)
		put_frame(&stream, texts[i]);
	for (size_t piece = 1; piece <= stream.len; piece++) {
		struct frame_reader r;
		size_t seen = 0;

		frame_reader_init(&r, 100);
		for (size_t at = 0; at < stream.len; at += piece) {
			size_t len = stream.len - at < piece ? stream.len - at : piece;
			struct slice bytes = slice_of(stream.data + at, len);
			struct slice frame;
			int rc;

			while ((rc = frame_read(&r, &bytes, &frame)) > 0)
				assert_true(slice_is_text(frame, texts[seen++]));
			assert_int_equal(rc, 0);
			assert_int_equal(bytes.len, 0);
		}
		assert_int_equal(seen, 4);
		frame_reader_done(&r);
	}
	buf_done(&stream);
}

static void a_frame_over_the_bound_is_refused_before_it_comes(void **state)
{
	for (size_t len = 8; len <= 12; len++) {
		struct frame_reader r;
		uint8_t head[FRAME_HEAD_LEN];
		struct slice bytes = slice_of(head, sizeof head);
		struct slice frame;

		frame_head(len, head);
		frame_reader_init(&r, 10);
		assert_int_equal(frame_read(&r, &bytes, &frame), len > 10 ? -EMSGSIZE : 0);
		frame_reader_done(&r);
	}
}

static void memory_grows_with_what_came(void **state)
{
	struct frame_reader r;
	uint8_t head[FRAME_HEAD_LEN + 1] = {0x7f, 0xff, 0xff, 0xff, 'x'};
	struct slice bytes = slice_of(head, sizeof head);
	struct slice frame;

	frame_reader_init(&r, SIZE_MAX);
	assert_int_equal(frame_read(&r, &bytes, &frame), 0);
	assert_true(r.body.cap < 4096);
	frame_reader_done(&r);
}

static void check_tail(const char *bytes, size_t repeat, const char *end)
{
	struct tail t = {.total = 0};
	struct buf text;

	buf_init(&text, 100000);
	for (size_t i = 0; i < repeat; i++)
		tail_add(&t, slice_text(bytes));
	assert_int_equal(tail_text(&t, &text), 0);
	assert_true(text.len >= strlen(end));
	assert_string_equal(buf_text(&text) + text.len - strlen(end), end);
	assert_true(text.len <= 3 * TAIL_MAX);
	assert_int_not_equal(text.data[0] & 0xc0, 0x80);
	buf_done(&text);
}

static void a_tail_keeps_the_end(void **state)
{
	check_tail("", 1, "");
	check_tail("abc \n\t\n", 1, "abc");
	check_tail("0123456789", 1000, "56789");
	check_tail("\xc3\xbc\xe2\x82\xac", 2001, "\xc3\xbc\xe2\x82\xac");
	check_tail("a\xff", 5000, "a\xef\xbf\xbd");
}

static void a_tail_takes_pieces_larger_than_itself(void **state)
{
	static char large[3 * TAIL_MAX + 1];
	struct tail t = {.total = 0};
	struct buf text;

	memset(large, 'x', sizeof large - 1);
	memcpy(large + sizeof large - 5, "tail", 4);
	buf_init(&text, 100000);
	tail_add(&t, slice_text("head"));
	tail_add(&t, slice_text(large));
	assert_int_equal(t.total, 4 + sizeof large - 1);
	assert_int_equal(tail_text(&t, &text), 0);
	assert_int_equal(text.len, TAIL_MAX);
	assert_memory_equal(text.data + text.len - 5, "xtail", 5);
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_read_from_pieces_of_any_size),
		cmocka_unit_test(a_frame_over_the_bound_is_refused_before_it_comes),
		cmocka_unit_test(memory_grows_with_what_came),
		cmocka_unit_test(a_tail_keeps_the_end),
		cmocka_unit_test(a_tail_takes_pieces_larger_than_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
