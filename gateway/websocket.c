#include "gateway/websocket.h"

#include <errno.h>
#include <stdlib.h>

#include <wslay/wslay.h>

#include "base/utf8.h"

struct websocket {
	wslay_event_context_ptr wslay;
	const struct websocket_handlers *handlers;
	void *arg;
	size_t message_max;
	struct buf message;	/* what has come of a text, or of the close frame that ends all */
	size_t message_len;	/* the same of one that is dropped */
	struct evbuffer *input; /* inside websocket_feed */
	uint64_t heard;
	uint8_t opcode;	 /* of the frame that comes in */
	bool is_closing; /* a close frame is queued, by whomever */
	bool is_refused; /* for a frame that wslay could not read; it has been told */
	bool is_broken;
};

/* ---- what wslay calls ---- */

static ssize_t on_read(wslay_event_context_ptr wslay, uint8_t *out, size_t len, int flags, void *arg)
{
	struct websocket *w = arg;
	int read = evbuffer_remove(w->input, out, len);

	if (read > 0)
		return read;
	wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t on_write(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len, int flags, void *arg)
{
	struct websocket *w = arg;

	if (w->handlers->write(slice_of(bytes, len), w->arg) == 0)
		return (ssize_t)len;
	wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

/* The peer is at fault: nothing more is read of it. */
static void fail(struct websocket *w, enum websocket_code code, const char *reason)
{
	wslay_event_shutdown_read(w->wslay);
	websocket_close(w, code, reason);
}

static void on_frame_start(
	wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *frame, void *arg)
{
	struct websocket *w = arg;

	w->opcode = frame->opcode;
	if (frame->opcode == WSLAY_PING || frame->opcode == WSLAY_PONG)
		return;
	if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
		buf_reset(&w->message);
		w->message_len = 0;
	}
	/* Half a code; wslay would take it for none. */
	if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1)
		fail(w, WEBSOCKET_PROTOCOL_ERROR, "");
	if (frame->opcode == WSLAY_BINARY_FRAME)
		fail(w, WEBSOCKET_UNSUPPORTED, "only text is taken");
	else if (frame->payload_length > w->message_max - w->message_len)
		fail(w, WEBSOCKET_TOO_BIG, "the message is too large");
}

static void on_frame_bytes(
	wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *arg)
{
	struct websocket *w = arg;

	if (w->opcode == WSLAY_PING || w->opcode == WSLAY_PONG || w->is_closing)
		return;
	w->message_len += chunk->data_length;
	if ((w->handlers->on_text || w->opcode == WSLAY_CONNECTION_CLOSE) &&
		buf_append(&w->message, chunk->data, chunk->data_length) < 0)
		fail(w, WEBSOCKET_INTERNAL, "out of memory");
}

/* wslay checks the reason of a close frame only where it comes in one piece, and would send it back as it is. */
static void on_frame_end(wslay_event_context_ptr wslay, void *arg)
{
	struct websocket *w = arg;
	struct slice bytes = buf_slice(&w->message);

	if (w->opcode != WSLAY_CONNECTION_CLOSE || w->is_closing || bytes.len <= 2)
		return;
	if (!utf8_is_valid(slice_of(bytes.data + 2, bytes.len - 2)))
		fail(w, WEBSOCKET_NO_UTF8, "");
}

static void on_message(
	wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct websocket *w = arg;

	w->heard++;
	if (wslay_is_ctrl_frame(message->opcode))
		return;
	if (w->handlers->on_text && !w->is_closing)
		w->handlers->on_text(buf_slice(&w->message), w->arg);
	/* A connection that is quiet most of the time keeps no memory for what it may say. */
	buf_done(&w->message);
	w->message_len = 0;
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = on_read,
	.send_callback = on_write,
	.on_frame_recv_start_callback = on_frame_start,
	.on_frame_recv_chunk_callback = on_frame_bytes,
	.on_frame_recv_end_callback = on_frame_end,
	.on_msg_recv_callback = on_message,
};

/* ---- making and freeing ---- */

int websocket_new(
	size_t message_max, const struct websocket_handlers *handlers, void *arg, struct websocket **out)
{
	struct websocket *w = calloc(1, sizeof *w);

	if (!w || wslay_event_context_server_init(&w->wslay, &callbacks, w) != 0) {
		free(w);
		return -ENOMEM;
	}
	/* wslay would take memory for a whole frame on seeing its head, and a piece for each fragment. */
	wslay_event_config_set_no_buffering(w->wslay, 1);
	wslay_event_config_set_max_recv_msg_length(w->wslay, message_max);
	w->handlers = handlers;
	w->arg = arg;
	w->message_max = message_max;
	buf_init(&w->message, message_max);
	*out = w;
	return 0;
}

void websocket_free(struct websocket *w)
{
	if (!w)
		return;
	wslay_event_context_free(w->wslay);
	buf_done(&w->message);
	free(w);
}

/* ---- state ---- */

enum websocket_state websocket_state(const struct websocket *w)
{
	if (w->is_broken)
		return WEBSOCKET_BROKEN;
	if (w->is_refused)
		return WEBSOCKET_CLOSED;
	if (!wslay_event_get_close_sent(w->wslay))
		return WEBSOCKET_OPEN;
	return wslay_event_get_read_enabled(w->wslay) ? WEBSOCKET_CLOSING : WEBSOCKET_CLOSED;
}

uint64_t websocket_heard(const struct websocket *w)
{
	return w->heard;
}

size_t websocket_held(const struct websocket *w)
{
	return w->message.cap;
}

/* ---- in and out ---- */

/* At once: in wslay's queues a close frame would overtake the texts before it. */
static int flush(struct websocket *w)
{
	if (wslay_event_send(w->wslay) == 0)
		return 0;
	w->is_broken = true;
	return -EPIPE;
}

/* A frame's head is broken. What wslay has queued for that is a close frame without a code. */
static void refuse(struct websocket *w)
{
	static const uint8_t frame[] = {0x80 | WSLAY_CONNECTION_CLOSE, 2, WEBSOCKET_PROTOCOL_ERROR >> 8,
		WEBSOCKET_PROTOCOL_ERROR & 0xff};

	w->is_refused = true;
	if (!w->is_closing && w->handlers->write(slice_of(frame, sizeof frame), w->arg) < 0)
		w->is_broken = true;
}

static void receive(struct websocket *w)
{
	switch (wslay_event_recv(w->wslay)) {
	/* Pongs, and the close frame that wslay queues when the peer sends one or breaks the rules. */
	case 0: flush(w); break;
	case WSLAY_ERR_NOMEM: w->is_broken = true; break;
	default: refuse(w);
	}
	w->is_closing |= !wslay_event_get_read_enabled(w->wslay);
}

void websocket_feed(struct websocket *w, struct evbuffer *input)
{
	w->input = input;
	if (!w->is_broken && !w->is_refused)
		receive(w);
	w->input = NULL;
	evbuffer_drain(input, evbuffer_get_length(input));
}

static int send_frame(struct websocket *w, enum wslay_opcode opcode, struct slice bytes)
{
	const struct wslay_event_msg message = {
		.opcode = (uint8_t)opcode, .msg = bytes.data, .msg_length = bytes.len};

	if (w->is_closing || w->is_broken)
		return -EPIPE;
	switch (wslay_event_queue_msg(w->wslay, &message)) {
	case 0: return flush(w);
	case WSLAY_ERR_NOMEM: return -ENOMEM;
	default: return -EPIPE;
	}
}

int websocket_send(struct websocket *w, struct slice text)
{
	return send_frame(w, WSLAY_TEXT_FRAME, text);
}

int websocket_ping(struct websocket *w)
{
	return send_frame(w, WSLAY_PING, (struct slice){0});
}

void websocket_close(struct websocket *w, enum websocket_code code, const char *reason)
{
	if (w->is_closing || w->is_broken)
		return;
	w->is_closing = true;
	if (wslay_event_queue_close(w->wslay, (uint16_t)code, (const uint8_t *)reason, strlen(reason)) ==
		WSLAY_ERR_NOMEM)
		w->is_broken = true;
	else
		flush(w);
}
