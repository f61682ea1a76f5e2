/*
 * The inline lane: a transient request, and its reply to the same open connection. Nothing is stored; whatever breaks is
 * an error of the call. Replies come to an exclusive queue of this process, a fresh one for each connection.
 */
#ifndef GATEWAY_INLINE_H
#define GATEWAY_INLINE_H

#include "gateway/message.h"
#include "proto/trace.h"
#include "proto/reply.h"
#include "service/service.h"

struct inline_lane;
struct inline_call;

/* Declares and consumes the reply queue. Borrows: service. */
int inline_lane_new(struct service *service, struct inline_lane **out);
/* Calls that are left end without a callback. */
void inline_lane_free(struct inline_lane *lane);

enum inline_end {
	INLINE_REPLIED,	    /* `reply` holds the outcome */
	INLINE_NO_QUEUE,    /* nobody consumes this task's inline queue */
	INLINE_FULL,	    /* the broker refused it */
	INLINE_AWAY,	    /* the broker is away; nobody has it */
	INLINE_LOST,	    /* the connection broke on the way: it may have run */
	INLINE_UNCONFIRMED, /* the broker does not answer: it may run */
	INLINE_TIMED_OUT,   /* no reply within the wait */
	INLINE_TOO_LARGE,
};
/* `reply` is borrowed until it returns; NULL unless INLINE_REPLIED. */
typedef void inline_cb(enum inline_end end, const struct reply *reply, void *arg);

struct inline_request {
	struct id id;
	const char *task;
	struct message message; /* encoded; taken over when the call succeeds */
	int64_t wait_ms;
	int64_t confirm_ms; /* how long the broker may take to confirm it; longer than the wait: the wait */
	struct trace trace;
};
/* 0 and later exactly one callback; -EAGAIN, -ENOTCONN, -EMSGSIZE or -ENOMEM and none. */
int inline_call_start(struct inline_lane *lane, const struct inline_request *r, inline_cb *cb, void *arg,
	struct inline_call **out);
/* Ends it without a callback; its reply will be ignored. Not from its own callback. */
void inline_call_drop(struct inline_call *call);

#endif
