#include "base/buf.h"
#include "base/utf8.h"
#include "gateway/websocket.h"
#include "tests/fuzz/fuzz.h"

enum { MESSAGE_MAX = 300, OUT_MAX = 1 << 24 };

struct peer {
	struct websocket *w;
	struct buf out, texts;
};

static int on_write(struct slice bytes, void *arg)
{
	struct peer *p = arg;

	return buf_append_slice(&p->out, bytes);
}

/* Does what it is told, so that answers and our own close come in between. */
static void on_text(struct slice text, void *arg)
{
	struct peer *p = arg;

	fuzz_require(text.len <= MESSAGE_MAX && utf8_is_valid(text));
	fuzz_require(websocket_state(p->w) == WEBSOCKET_OPEN);
	buf_append_slice(&p->texts, text);
	buf_append_byte(&p->texts, 0xff);
	if (slice_is_text(text, "close"))
		websocket_close(p->w, WEBSOCKET_NORMAL, "as told");
	else
		websocket_send(p->w, text);
}

static const struct websocket_handlers handlers = {on_write, on_text};

static enum websocket_state run(struct peer *p, struct slice bytes, size_t step)
{
	static const uint8_t tail[256];
	struct evbuffer *input = evbuffer_new();
	enum websocket_state state;

	buf_init(&p->out, OUT_MAX);
	buf_init(&p->texts, OUT_MAX);
	fuzz_require(input && websocket_new(MESSAGE_MAX, &handlers, p, &p->w) == 0);
	for (size_t at = 0; at < bytes.len; at += step) {
		evbuffer_add(input, bytes.data + at, bytes.len - at < step ? bytes.len - at : step);
		websocket_feed(p->w, input);
		fuzz_require(evbuffer_get_length(input) == 0);
		fuzz_require(websocket_held(p->w) <= 2 * MESSAGE_MAX);
	}
	/* Ends whatever close frame is under way: what is wrong with it may be seen sooner or later. */
	evbuffer_add(input, tail, sizeof tail);
	websocket_feed(p->w, input);
	state = websocket_state(p->w);
	fuzz_require(state != WEBSOCKET_BROKEN);
	websocket_free(p->w);
	evbuffer_free(input);
	return state;
}

/* What goes out is whole unmasked frames, a close frame the last one. */
static void check_frames(struct slice out, enum websocket_state state)
{
	size_t at = 0;
	bool is_closed = false;

	while (at < out.len) {
		size_t len, head = 2;

		fuzz_require(!is_closed && out.len - at >= 2);
		is_closed = out.data[at] == 0x88;
		fuzz_require(is_closed || out.data[at] == 0x81 || out.data[at] == 0x8a);
		len = out.data[at + 1];
		fuzz_require(len <= 126);
		if (len == 126) {
			head = 4;
			len = (size_t)(out.data[at + 2] << 8 | out.data[at + 3]);
		}
		fuzz_require(out.len - at >= head + len);
		at += head + len;
	}
	fuzz_require(is_closed == (state != WEBSOCKET_OPEN));
}

/* The order of pongs and texts may depend on the cuts; texts, the end and the bytes in all may not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice bytes = slice_of(data, len);
	struct peer whole, pieces;
	enum websocket_state first = run(&whole, bytes, len ? len : 1);
	enum websocket_state second = run(&pieces, bytes, 1);

	fuzz_require(first == second);
	fuzz_require(slice_is_equal(buf_slice(&whole.texts), buf_slice(&pieces.texts)));
	check_frames(buf_slice(&whole.out), first);
	check_frames(buf_slice(&pieces.out), second);
	buf_done(&whole.out);
	buf_done(&whole.texts);
	buf_done(&pieces.out);
	buf_done(&pieces.texts);
	return 0;
}
