#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/websocket.h"

enum { MESSAGE_MAX = 1000, BYTES_MAX = 1 << 20 };

/* ---- a peer ---- */

struct peer {
	struct websocket *w;
	struct buf out, texts;
	size_t texts_len;
	int write_rc;
	bool closes_on_text, answers_texts;
};

static int on_write(struct slice bytes, void *arg)
{
	struct peer *p = arg;

	return p->write_rc ? p->write_rc : buf_append_slice(&p->out, bytes);
}

static void on_text(struct slice text, void *arg)
{
	struct peer *p = arg;

	p->texts_len++;
	buf_append_slice(&p->texts, text);
	buf_append_byte(&p->texts, '|');
	if (p->answers_texts)
		websocket_send(p->w, text);
	if (p->closes_on_text)
		websocket_close(p->w, WEBSOCKET_NORMAL, "enough");
}

static const struct websocket_handlers handlers = {on_write, on_text};
static const struct websocket_handlers deaf = {on_write, NULL};

static void peer_init(struct peer *p, const struct websocket_handlers *h)
{
	*p = (struct peer){0};
	buf_init(&p->out, BYTES_MAX);
	buf_init(&p->texts, BYTES_MAX);
	assert_int_equal(websocket_new(MESSAGE_MAX, h, p, &p->w), 0);
}

static void peer_done(struct peer *p)
{
	websocket_free(p->w);
	buf_done(&p->out);
	buf_done(&p->texts);
}

static void feed(struct peer *p, const void *bytes, size_t len)
{
	struct evbuffer *input = evbuffer_new();

	evbuffer_add(input, bytes, len);
	websocket_feed(p->w, input);
	assert_int_equal(evbuffer_get_length(input), 0);
	evbuffer_free(input);
}

static void feed_in_steps(struct peer *p, struct slice bytes, size_t step)
{
	for (size_t at = 0; at < bytes.len; at += step)
		feed(p, bytes.data + at, bytes.len - at < step ? bytes.len - at : step);
}

/* A frame as clients send it, masked. */
static void frame(struct buf *out, unsigned first, const void *payload, size_t len)
{
	static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
	const uint8_t *bytes = payload;

	buf_append_byte(out, (uint8_t)first);
	if (len < 126) {
		buf_append_byte(out, (uint8_t)(0x80 | len));
	} else {
		buf_append_byte(out, 0x80 | 126);
		buf_append_byte(out, (uint8_t)(len >> 8));
		buf_append_byte(out, (uint8_t)len);
	}
	buf_append(out, mask, 4);
	for (size_t i = 0; i < len; i++)
		buf_append_byte(out, bytes[i] ^ mask[i % 4]);
}

static void feed_frame(struct peer *p, unsigned first, const void *payload, size_t len)
{
	struct buf bytes;

	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, first, payload, len);
	feed(p, bytes.data, bytes.len);
	buf_done(&bytes);
}

static void assert_texts(struct peer *p, const char *texts)
{
	assert_true(slice_is_text(buf_slice(&p->texts), texts));
}

/* The last frame that went out is a close frame with this code. */
static void assert_closed_with(struct peer *p, unsigned code)
{
	size_t at = 0, last = 0;

	while (at < p->out.len) {
		size_t len = p->out.data[at + 1];

		assert_true(len <= 126);
		last = at;
		at += 2 + (len < 126 ? len : 2 + (size_t)(p->out.data[at + 2] << 8 | p->out.data[at + 3]));
	}
	assert_int_equal(at, p->out.len);
	assert_true(p->out.len > 3);
	assert_int_equal(p->out.data[last], 0x88);
	assert_int_equal(p->out.data[last + 2] << 8 | p->out.data[last + 3], code);
}

static void assert_fails(const void *bytes, size_t len, unsigned code)
{
	struct peer p;

	peer_init(&p, &handlers);
	feed(&p, bytes, len);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSED);
	assert_closed_with(&p, code);
	assert_int_equal(p.texts_len, 0);
	/* What comes after is dropped, and nothing more is said. */
	p.out.len = 0;
	feed_frame(&p, 0x81, "x", 1);
	assert_int_equal(websocket_send(p.w, slice_text("x")), -EPIPE);
	websocket_close(p.w, WEBSOCKET_NORMAL, "");
	assert_int_equal(p.out.len, 0);
	assert_int_equal(p.texts_len, 0);
	peer_done(&p);
}

static void assert_frame_fails(unsigned first, const void *payload, size_t len, unsigned code)
{
	struct buf bytes;

	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, first, payload, len);
	assert_fails(bytes.data, bytes.len, code);
	buf_done(&bytes);
}

/* ---- tests ---- */

static void texts_come_whole_however_they_are_cut(void **state)
{
	struct buf bytes;

	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, 0x81, "one", 3);
	frame(&bytes, 0x01, "t\xc3", 2);
	frame(&bytes, 0x89, "in between", 10);
	frame(&bytes, 0x00, "", 0);
	frame(&bytes, 0x80, "\xbc", 1);
	frame(&bytes, 0x81, "", 0);
	for (size_t step = 1; step <= bytes.len; step++) {
		struct peer p;

		peer_init(&p, &handlers);
		feed_in_steps(&p, buf_slice(&bytes), step);
		assert_texts(&p, "one|t\xc3\xbc||");
		assert_true(slice_is_equal(buf_slice(&p.out), slice_text("\x8a\x0ain between")));
		assert_int_equal(websocket_heard(p.w), 4);
		assert_int_equal(websocket_held(p.w), 0);
		peer_done(&p);
	}
	buf_done(&bytes);
}

static void what_breaks_the_protocol_is_closed_with_1002(void **state)
{
	static const uint8_t unmasked[] = {0x81, 0x01, 'x'};
	static const uint8_t long_ping[] = {0x89, 0x80 | 126, 0, 126, 0, 0, 0, 0};
	static const uint8_t padded_length[] = {0x81, 0x80 | 126, 0, 5, 0, 0, 0, 0};
	static const uint8_t negative_length[] = {0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};

	assert_fails(unmasked, sizeof unmasked, 1002);
	assert_fails(long_ping, sizeof long_ping, 1002);
	assert_fails(padded_length, sizeof padded_length, 1002);
	assert_fails(negative_length, sizeof negative_length, 1002);
	for (unsigned bits = 0x10; bits <= 0x70; bits += 0x10)
		assert_frame_fails(0x81 | bits, "x", 1, 1002);
	for (unsigned opcode = 0x3; opcode <= 0xf; opcode++)
		if (opcode < 0x8 || opcode > 0xa)
			assert_frame_fails(0x80 | opcode, "x", 1, 1002);
	assert_frame_fails(0x09, "x", 1, 1002); /* a ping in pieces */
	assert_frame_fails(0x80, "x", 1, 1002); /* goes on with nothing */
}

static void a_text_within_another_is_closed_with_1002(void **state)
{
	struct buf bytes;

	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, 0x01, "a", 1);
	frame(&bytes, 0x81, "b", 1);
	assert_fails(bytes.data, bytes.len, 1002);
	buf_done(&bytes);
}

static void binary_messages_are_closed_with_1003(void **state)
{
	assert_frame_fails(0x82, "x", 1, 1003);
	assert_frame_fails(0x02, "", 0, 1003);
}

static void what_is_no_utf8_is_closed_with_1007(void **state)
{
	static const char *const wrong[] = {
		"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8", "a\x80"};
	struct buf bytes;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_frame_fails(0x81, wrong[i], strlen(wrong[i]), 1007);
	assert_frame_fails(0x88, "\x03\xe8\xff", 3, 1007);
	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, 0x01, "\xf0\x9f", 2);
	frame(&bytes, 0x80, "\x98x", 2);
	assert_fails(bytes.data, bytes.len, 1007);
	buf_done(&bytes);
}

static void a_close_reason_is_checked_however_it_is_cut(void **state)
{
	struct buf bytes;

	buf_init(&bytes, BYTES_MAX);
	frame(&bytes, 0x88, "\x03\xe8\xe4\xb8z", 5);
	for (size_t step = 1; step <= bytes.len; step++) {
		struct peer p;

		peer_init(&p, &deaf);
		feed_in_steps(&p, buf_slice(&bytes), step);
		assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSED);
		assert_closed_with(&p, 1007);
		peer_done(&p);
	}
	buf_done(&bytes);
}

static void the_limit_of_a_message_holds_to_the_byte(void **state)
{
	static char text[MESSAGE_MAX + 1];
	static const uint8_t huge[] = {
		0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 'x'};
	struct peer p;

	memset(text, 'x', sizeof text);
	peer_init(&p, &handlers);
	feed_frame(&p, 0x81, text, MESSAGE_MAX);
	assert_int_equal(p.texts.len, MESSAGE_MAX + 1);
	assert_int_equal(websocket_held(p.w), 0);
	peer_done(&p);
	assert_frame_fails(0x81, text, MESSAGE_MAX + 1, 1009);
	assert_fails(huge, sizeof huge, 1009);
}

static void fragments_count_together(void **state)
{
	static const struct websocket_handlers *const both[] = {&handlers, &deaf};
	static char text[MESSAGE_MAX];

	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < 2; i++) {
		struct peer p;

		peer_init(&p, both[i]);
		feed_frame(&p, 0x01, text, MESSAGE_MAX - 1);
		feed_frame(&p, 0x00, text, 1);
		assert_int_equal(websocket_state(p.w), WEBSOCKET_OPEN);
		assert_true(websocket_held(p.w) <= 2 * MESSAGE_MAX);
		feed_frame(&p, 0x00, text, 1);
		assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSED);
		assert_closed_with(&p, 1009);
		peer_done(&p);
	}
}

static void who_hears_nothing_keeps_nothing(void **state)
{
	struct peer p;

	peer_init(&p, &deaf);
	feed_frame(&p, 0x01, "abc", 3);
	assert_int_equal(websocket_held(p.w), 0);
	feed_frame(&p, 0x80, "def", 3);
	assert_int_equal(websocket_heard(p.w), 1);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_OPEN);
	assert_int_equal(p.texts_len, 0);
	peer_done(&p);
}

static void a_close_is_answered_with_its_code(void **state)
{
	static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 3000, 4999};
	static const unsigned wrong[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
	struct peer p;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		const uint8_t code[] = {(uint8_t)(good[i] >> 8), (uint8_t)good[i], 'o', 'k'};

		assert_frame_fails(0x88, code, sizeof code, good[i]);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const uint8_t code[] = {(uint8_t)(wrong[i] >> 8), (uint8_t)wrong[i]};

		assert_frame_fails(0x88, code, sizeof code, 1002);
	}
	assert_frame_fails(0x88, "x", 1, 1002);
	peer_init(&p, &handlers);
	feed_frame(&p, 0x88, "", 0);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSED);
	assert_true(slice_is_equal(buf_slice(&p.out), slice_of("\x88\0", 2)));
	peer_done(&p);
}

static void our_close_waits_for_theirs(void **state)
{
	struct peer p;

	peer_init(&p, &handlers);
	websocket_close(p.w, WEBSOCKET_GOING_AWAY, "bye");
	websocket_close(p.w, WEBSOCKET_NORMAL, "again");
	assert_true(slice_is_equal(buf_slice(&p.out), slice_of("\x88\x05\x03\xe9"
							       "bye",
							      7)));
	assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSING);
	/* What was on its way is not listened to any more. */
	feed_frame(&p, 0x81, "late", 4);
	feed_frame(&p, 0x89, "late", 4);
	assert_int_equal(p.texts_len, 0);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSING);
	assert_int_equal(websocket_ping(p.w), -EPIPE);
	feed_frame(&p, 0x88, "\x03\xe9", 2);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_CLOSED);
	assert_int_equal(p.out.len, 7);
	peer_done(&p);
}

static void a_text_goes_out_before_the_close_that_follows_it(void **state)
{
	struct peer p;

	peer_init(&p, &handlers);
	p.answers_texts = p.closes_on_text = true;
	feed_frame(&p, 0x81, "a", 1);
	feed_frame(&p, 0x81, "b", 1);
	assert_true(slice_is_equal(buf_slice(&p.out), slice_of("\x81\x01"
							       "a\x88\x08\x03\xe8"
							       "enough",
							      13)));
	assert_int_equal(p.texts_len, 1);
	peer_done(&p);
}

static void texts_of_all_lengths_go_out_framed(void **state)
{
	static const size_t lens[] = {0, 1, 125, 126, 4096, 65535, 65536, 100000};

	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		size_t head = lens[i] < 126 ? 2 : lens[i] < 65536 ? 4 : 10;
		char *text = malloc(lens[i] + 1);
		struct peer p;

		memset(text, 'x', lens[i] + 1);
		peer_init(&p, &handlers);
		assert_int_equal(websocket_send(p.w, slice_of(text, lens[i])), 0);
		assert_int_equal(p.out.len, head + lens[i]);
		assert_int_equal(p.out.data[0], 0x81);
		assert_int_equal(p.out.data[1], lens[i] < 126 ? lens[i] : lens[i] < 65536 ? 126 : 127);
		assert_int_equal(memcmp(p.out.data + head, text, lens[i]), 0);
		peer_done(&p);
		free(text);
	}
}

static void what_cannot_be_written_breaks_it(void **state)
{
	struct peer p;

	peer_init(&p, &handlers);
	p.write_rc = -ENOBUFS;
	assert_int_equal(websocket_send(p.w, slice_text("x")), -EPIPE);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_BROKEN);
	p.write_rc = 0;
	assert_int_equal(websocket_ping(p.w), -EPIPE);
	websocket_close(p.w, WEBSOCKET_NORMAL, "");
	feed_frame(&p, 0x89, "x", 1);
	assert_int_equal(p.out.len, 0);
	peer_done(&p);
}

static void a_pong_is_heard(void **state)
{
	struct peer p;

	peer_init(&p, &handlers);
	assert_int_equal(websocket_ping(p.w), 0);
	assert_true(slice_is_equal(buf_slice(&p.out), slice_of("\x89\0", 2)));
	feed_frame(&p, 0x8a, "", 0);
	assert_int_equal(websocket_heard(p.w), 1);
	assert_int_equal(websocket_state(p.w), WEBSOCKET_OPEN);
	/* Half a frame is no sign of life. */
	feed(&p, "\x8a", 1);
	assert_int_equal(websocket_heard(p.w), 1);
	peer_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_come_whole_however_they_are_cut),
		cmocka_unit_test(what_breaks_the_protocol_is_closed_with_1002),
		cmocka_unit_test(a_text_within_another_is_closed_with_1002),
		cmocka_unit_test(binary_messages_are_closed_with_1003),
		cmocka_unit_test(what_is_no_utf8_is_closed_with_1007),
		cmocka_unit_test(a_close_reason_is_checked_however_it_is_cut),
		cmocka_unit_test(the_limit_of_a_message_holds_to_the_byte),
		cmocka_unit_test(fragments_count_together),
		cmocka_unit_test(who_hears_nothing_keeps_nothing),
		cmocka_unit_test(a_close_is_answered_with_its_code),
		cmocka_unit_test(our_close_waits_for_theirs),
		cmocka_unit_test(a_text_goes_out_before_the_close_that_follows_it),
		cmocka_unit_test(texts_of_all_lengths_go_out_framed),
		cmocka_unit_test(what_cannot_be_written_breaks_it),
		cmocka_unit_test(a_pong_is_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
