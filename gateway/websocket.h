/*
 * The WebSocket protocol of one connection, the server's side (RFC 6455, by wslay): bytes come in, texts and bytes go out.
 * Checks frames, masks, lengths and UTF-8, joins fragments, answers pings and closes. Never touches a socket, a clock or
 * a log.
 */
#ifndef GATEWAY_WEBSOCKET_H
#define GATEWAY_WEBSOCKET_H

#include <event2/buffer.h>

#include "base/slice.h"

enum websocket_code {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_UNSUPPORTED = 1003, /* a binary message */
	WEBSOCKET_NO_UTF8 = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_BIG = 1009,
	WEBSOCKET_INTERNAL = 1011,
	WEBSOCKET_TRY_LATER = 1013,
};

enum websocket_state {
	WEBSOCKET_OPEN,
	WEBSOCKET_CLOSING, /* our close frame is out, theirs is awaited */
	WEBSOCKET_CLOSED,  /* there is nothing more to say: the connection is to end */
	WEBSOCKET_BROKEN,  /* bytes could not be written, or no memory: it is to be cut */
};

struct websocket;

struct websocket_handlers {
	/* Bytes for the peer; copied before it returns. 0 or a negative errno. */
	int (*write)(struct slice bytes, void *arg);
	/* A whole text message, valid UTF-8; borrowed until it returns. May send and close. NULL: texts are dropped. */
	void (*on_text)(struct slice text, void *arg);
};

/* `message_max`: bytes of one message that comes in, however many fragments. Borrows: handlers. 0 or -ENOMEM. */
int websocket_new(
	size_t message_max, const struct websocket_handlers *handlers, void *arg, struct websocket **out);
/* NULL is fine. Not inside its callbacks. */
void websocket_free(struct websocket *w);

enum websocket_state websocket_state(const struct websocket *w);
/* Whole messages that came in, control frames too: what a peer that is alive makes grow. */
uint64_t websocket_heard(const struct websocket *w);
/* Bytes held of a message that is not whole yet. */
size_t websocket_held(const struct websocket *w);

/* Drains the input: what comes after the end is dropped. */
void websocket_feed(struct websocket *w, struct evbuffer *input);
/* One text message. `text` is UTF-8. 0; -EPIPE: not open, nothing was sent; -ENOMEM. */
int websocket_send(struct websocket *w, struct slice text);
/* 0 or as above. */
int websocket_ping(struct websocket *w);
/* Sends the close frame; `reason`: for people, at most 123 bytes. Does nothing when that was done before. */
void websocket_close(struct websocket *w, enum websocket_code code, const char *reason);

#endif
