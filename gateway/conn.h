/*
 * One client connection, from the handing out of its request to the answer. The guard makes and ends them (guard.h).
 * Everything on the loop thread.
 */
#ifndef GATEWAY_CONN_H
#define GATEWAY_CONN_H

#include <event2/buffer.h>

#include "gateway/head.h"
#include "gateway/share.h"
#include "gateway/stream.h"

struct conn;
struct guard;

struct guard *conn_guard(const struct conn *c);
bool conn_is_local(const struct conn *c);	 /* the peer's address is a loopback one */
bool conn_is_without_body(const struct conn *c); /* wants_body said no */
/* Owns: the caller, from here on: head_done() and free(). Once a request. */
struct head *conn_take_head(struct conn *c);
/* NULL: there is none. Owns: the caller, from here on. Once a request. */
struct evbuffer *conn_take_body(struct conn *c);
/* Bytes of the budget that the request took; the caller gives them back from here on. */
size_t conn_take_charge(struct conn *c);
/* `cb` is called once when the client has left; the conn is gone then. */
void conn_on_gone(struct conn *c, void (*cb)(void *arg), void *arg);
/*
 * While an answer may be long in coming, a client that ends its stream has left. Otherwise, and at first, it gets the
 * answers to what it has sent: some say all and close their side before they read.
 */
void conn_watch(struct conn *c, bool is_long);
/* What the answer has to say of the connection: the value of its field, or NULL for nothing. */
const char *conn_connection_field(struct conn *c);
/*
 * Sends the answer: `head` is a status line and fields with their empty line; empty when there was no
 * memory for one, which ends the connection. Both are copied. The conn is the guard's
 * again; `charge` bytes of the budget are given back when all has been sent.
 */
void conn_answer(struct conn *c, struct slice head, struct slice body, size_t charge);
/*
 * Sends `head` and makes a stream of the rest, of somebody's share. 0; -EAGAIN (as many streams as may be), -EDQUOT (as
 * many of the share), -ENOMEM: nothing was done. Borrows: share, events.
 */
int conn_stream(struct conn *c, struct slice head, struct share *share, const struct stream_events *events,
	void *arg, struct stream **out);

#endif
