/*
 * A WebSocket on a client's connection: the protocol (websocket.h) on a stream (stream.h), with pings, limits and an
 * orderly end. A client is closed on
 *
 *   - that sends nothing whole, not even a pong, between two of our pings: 1008
 *   - that lets more than `backlog` bytes wait when it is told more: 1008. One message on top of less is let through,
 *     however large
 *   - that has been left alone for idle_timeout (ws_socket_rest): 1000
 *   - when the service ends: 1001; when the byte budget is used up: 1013
 *
 * and cut when it does not answer the close within 3 s. Everything on the loop thread.
 */
#ifndef GATEWAY_WS_SOCKET_H
#define GATEWAY_WS_SOCKET_H

#include "gateway/call.h"
#include "gateway/handshake.h"
#include "gateway/options.h"
#include "gateway/websocket.h"
#include "runtime/loop.h"
#include "runtime/metrics.h"

struct ws_socket;

/* What all sockets of a process share; the owner keeps it as long as there is one. */
struct ws_context {
	struct loop *loop;
	struct metrics *metrics;
	const struct gateway_live *options;
	size_t count; /* open ones */
};

struct ws_events {
	/* As websocket_handlers.on_text. */
	void (*on_text)(struct slice text, void *arg);
	/* It is gone and freed. Exactly once, from the loop, never inside a function of this header. */
	void (*on_gone)(void *arg);
};

/*
 * Answers the call with 101 and takes its connection. Borrows: context, events, for good. 0; negative: the call has been
 * answered otherwise (or its client had left), and no callback comes.
 */
int ws_socket_open(struct ws_context *context, struct call *call, const struct handshake *handshake,
	const struct ws_events *events, void *arg, struct ws_socket **out);

/* One text message. Nothing comes of it when the socket is closing. */
void ws_socket_send(struct ws_socket *s, struct slice text);
/* Nothing more is sent after it; on_gone comes when the client has answered, or not. */
void ws_socket_close(struct ws_socket *s, enum websocket_code code, const char *reason);
/* There is nothing that it would be told (again, from now on idle_timeout counts), or there is. At first there is. */
void ws_socket_rest(struct ws_socket *s, bool is_resting);

#endif
