/*
 * The inside of the guard and its connections, for guard.c, conn.c and conn_in.c only.
 */
#ifndef GATEWAY_CONN_INTERNAL_H
#define GATEWAY_CONN_INTERNAL_H

/* Before libevent's headers, which undefine what they find missing. */
#include <sys/queue.h>

#include <event2/bufferevent.h>
#include <event2/event_struct.h>

#include "gateway/chunked.h"
#include "gateway/conn.h"
#include "gateway/guard.h"
#include "gateway/http.h"
#include "gateway/metrics.h"
#include "gateway/stream.h"
#include "runtime/listener.h"

#define CONN_LINGER_BYTES \
	((size_t)32 << 20) /* read and dropped of what a client still sends after the last word */

enum conn_state {
	CONN_IDLE, /* no byte of a request */
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY,	/* the request is handed out */
	CONN_SENDING,	/* its answer is on its way */
	CONN_STREAM,	/* its answer has no end of its own (stream.h) */
	CONN_REFUSING,	/* an answer of the guard's own is */
	CONN_LINGERING, /* said all, reads and drops */
	CONN_CLOSED,	/* its memory goes with the loop's next round */
};

struct conn {
	struct guard *guard;
	TAILQ_ENTRY(conn) all;
	TAILQ_ENTRY(conn) idle; /* in guard->idle while CONN_IDLE */
	enum conn_state state;
	int64_t idle_since_ms; /* monotonic */
	bool is_last;	       /* ends after this answer */
	bool is_local;
	bool expects_keep_alive; /* an HTTP/1.0 client that wants to be told */
	bool is_head_request;
	bool is_without_body;
	bool has_eof;		 /* the client says no more */
	bool is_watched;	 /* and that means that it has left */
	bool is_whole;		 /* a request has come and is to be handed out */
	struct bufferevent *bev; /* NULL: closed */
	int fd;
	struct event timer;
	int64_t ends_ms,
		armed_ms;  /* monotonic: when the state's time is over, and when the timer comes to look */
	struct event pump; /* what must not be done inside the callbacks of bev */

	struct head *head;     /* while one is read and until it is taken */
	int64_t body_left;     /* of a body with a length */
	struct evbuffer *body; /* as far as it has come; NULL: none */
	struct chunked chunked;
	size_t charge;	      /* of the budget, for what came in */
	size_t answer_charge; /* for what goes out */
	size_t unsent;	      /* at the last look of the write timeout */
	size_t lingered;
	void (*on_gone)(void *arg);
	void *on_gone_arg;
	struct stream *stream; /* from conn_stream on until it is closed */
};

struct stream {
	struct conn *conn;
	struct share *share;
	const struct stream_events *events;
	void *arg;
	size_t held;  /* of the budget, for the owner */
	size_t taken; /* bytes by the socket, since the last look of the write timeout */
	bool is_woken, is_ending, is_cut;
};

TAILQ_HEAD(conn_list, conn);

struct guard {
	struct event_base *base;
	struct metrics *metrics;
	struct gateway_limits limits;
	guard_request_cb *on_request;
	guard_wants_body_cb *wants_body;
	void *arg;
	struct listener *listener;
	struct conn_list all, idle;
	size_t count;
	size_t crowd;	/* the most there were since memory was given back */
	size_t streams; /* of these */
	size_t bytes;	/* of the budget taken */
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	struct event drained;
	struct event make_room; /* pending while full */
	char date[HTTP_DATE_LEN + 1];
	int64_t date_s;
};

/* ---- guard.c ---- */

/* The connection is going: its memory is the caller's. */
void guard_remove(struct conn *c);

/* ---- conn.c ---- */

/* Owns the socket, which is closed on failure too. 0 or -ENOMEM. */
int conn_new(struct guard *g, int fd, const struct sockaddr *peer, struct conn **out);
/* At once; after conn_close and outside of its callbacks. */
void conn_free(struct conn *c);
/* The only writer of state; arms the timer that goes with it. */
void conn_enter(struct conn *c, enum conn_state state);
/* At once, whatever its state. What is left of it goes with the loop's next round. */
void conn_close(struct conn *c);
/* All was said: what the client still sends is read and dropped for a while, so that no reset overtakes the last word. */
void conn_linger(struct conn *c);
/* Says why and ends the connection. */
void conn_refuse(struct conn *c, enum problem problem, const char *why);
/* Its state has `ms` from now on; 0: as long as it takes. */
void conn_limit(struct conn *c, int64_t ms);
bool conn_is_limited(const struct conn *c);
/* Sends as much as the socket takes now, the rest as it can. 0 or -ENOMEM: nothing was written. */
int conn_write(struct conn *c, struct slice bytes);
/* Of a watched client that sent so much ahead that nothing more is read: looks now and then whether it has left. */
void conn_look_out(struct conn *c);
/* Makes the connection's share of the budget what it holds now. False: it does not fit. */
bool conn_charge(struct conn *c, size_t held);

/* ---- stream.c, of a conn in CONN_STREAM ---- */

/* Bytes have come, or the owner wants to look again. */
void conn_stream_input(struct conn *c);
/* The socket took `taken` bytes. */
void conn_stream_output(struct conn *c, size_t taken);
/* write_timeout is over. */
void conn_stream_slow(struct conn *c);
/* The pump's share. */
void conn_stream_pump(struct conn *c);
/* The guard stops. */
void conn_stream_stop(struct conn *c);

/* ---- conn_in.c ---- */

/* Takes what has come as far as the state allows, and hands out a request that is whole. May close the connection. */
void conn_input(struct conn *c);

#endif
