/*
 * The connection guard: all client connections, from the socket to one whole request at a time and back. libevent gives
 * the sockets and buffers; what evhttp would make of them cannot be bounded enough, so that the framing is ours too:
 *
 *   - the head is checked by head.h, and refused with a problem document
 *   - total deadlines for a head, a body and an answer that is not read; an idle limit between requests
 *   - one byte budget over everything that all connections make us keep
 *   - pipelined requests wait until the answer before them is out
 *   - a client that leaves while its request is worked on is noticed
 *   - answers on connections that end are out before the socket is closed, and what the client still sends is read for a
 *     while, so that no reset overtakes them
 *   - an answer that goes on and on (stream.h) is bounded like all others, and told when the service ends
 *   - a cap on connections, at which the longest idle one makes room; accepting pauses when descriptors run out
 *
 * Never looks at paths, keys or bodies. Everything on the loop thread.
 */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include "gateway/conn.h"
#include "gateway/options.h"
#include "runtime/loop.h"
#include "runtime/metrics.h"

struct guard;

/*
 * A whole request has come: take its head, its body and its charge. The conn is there until conn_answer or until it is
 * gone. Must be answered, now or later.
 */
typedef void guard_request_cb(struct conn *c, void *arg);
/*
 * A head has come whose body is still to come, whole or in part, or awaits "100 Continue". False: whatever it holds, the
 * request will be refused. It is then handed out at once, without its body, to be answered; the connection ends after it.
 */
typedef bool guard_wants_body_cb(struct conn *c, const struct head *h, void *arg);

struct guard_config {
	struct loop *loop;
	struct metrics *metrics;
	const struct gateway_limits *limits;
	guard_request_cb *on_request;
	guard_wants_body_cb *wants_body;
	void *arg;
};

int guard_new(const struct guard_config *config, struct guard **out);
/* Cuts all connections; requests in work are told that they are gone. Not inside a callback of the guard's. */
void guard_free(struct guard *g);

/* Listens on "host:port". 0, -EINVAL for an address that is none, or the error of bind and listen. */
int guard_listen(struct guard *g, const char *address);
/* "127.0.0.1:43211", where it listens. Borrows. */
const char *guard_address(const struct guard *g);
/* Stops listening; connections end after the answer that they wait for. `on_drained_cb` is called once, from the loop. */
void guard_stop(struct guard *g, void (*on_drained_cb)(void *arg), void *arg);
bool guard_is_stopping(const struct guard *g);

/* Streams never take all connections: a new client still gets an answer. Known when it listens. */
size_t guard_streams_max(const struct guard *g);

/* The time as the Date field has it, made once a second. Borrows: until the next call. */
const char *guard_date(struct guard *g);

/* The byte budget. False: it would be passed, and nothing was taken. */
bool guard_take_bytes(struct guard *g, size_t len);
void guard_give_bytes(struct guard *g, size_t len);

#endif
