/*
 * One connection to RabbitMQ, kept up by a thread of its own; the service sees only this asynchronous interface, from
 * its loop thread, and never waits. The thread dials, declares, consumes and publishes; it redials with jittered
 * backoff, declares and consumes again after every loss, sends heartbeats and sees what the broker says
 * (blocked, returned, cancelled, closed). Everything handed over is bounded.
 *
 * A service uses one broker for publishing and one for consuming: a connection that RabbitMQ blocks because of an alarm
 * still acks on the other.
 *
 * Every function is for the loop thread, every callback comes on it. Never blocks, but for broker_free.
 */
#ifndef RUNTIME_BROKER_H
#define RUNTIME_BROKER_H

#include "base/slice.h"
#include "runtime/loop.h"

struct broker;

/* ---- connection ---- */

enum broker_state {
	BROKER_DOWN, /* dialling, or waiting to */
	BROKER_UP,
	BROKER_BLOCKED, /* up, but RabbitMQ takes no publishes (memory or disk alarm) */
};

struct broker_options {
	/*
	 * amqp://user:password@host:port/vhost or amqps; copied, the password is never logged. No vhost is "/". With amqps
	 * the peer must prove its name by the system's certificates (SSL_CERT_FILE, SSL_CERT_DIR).
	 */
	const char *url;
	const char *name; /* connection_name: "postback-gateway host:pid publish"; copied */
	int heartbeat_s;  /* 10 */
	int64_t connect_timeout_ms;
	size_t message_max; /* a larger body is refused with -EMSGSIZE before it is handed over */
	size_t queue_max;   /* publishes handed over and not come back; one more is -EAGAIN */
	size_t bytes_max;   /* the bodies of those together; 0: 256 MiB */
	/* Told at every change, on the loop; `why` for people, never NULL, no secrets. */
	void (*on_state)(enum broker_state state, const char *why, void *arg);
	void *arg;
};

/* 0, -ENOMEM, -EINVAL (no URL of a broker). Pure. */
int broker_check_url(const char *url);
/* 0, -ENOMEM, -EINVAL (the URL). */
int broker_new(struct loop *loop, const struct broker_options *opt, struct broker **out);
/* 0 or -EAGAIN (no thread). Starts dialling. Declarations and consumers added before are there when on_state says up. */
int broker_start(struct broker *b);
/*
 * Closes the connection and joins the thread, within about a second even when the broker hangs. No callback comes
 * after; publishes not ended get none, deliveries not acked go back to their queues (they must still be ended here by
 * broker_drop, before or after, which frees them). Settlements given before are sent first. Safe in every callback.
 */
void broker_free(struct broker *b);
enum broker_state broker_state(const struct broker *b);

/* ---- declarations ---- */

struct broker_arg {
	const char *name;
	const char *text; /* NULL: the number counts */
	int64_t number;
};

struct broker_declaration {
	enum { BROKER_EXCHANGE, BROKER_QUEUE, BROKER_BINDING, BROKER_PERMISSION } kind;
	const char *name;   /* exchange or queue; of a binding, the queue */
	const char *source; /* binding: the exchange */
	const char *key;    /* binding */
	const char *type;   /* exchange */
	bool durable;
	bool exclusive;
	bool passive; /* exchange, queue: only sees that it is there */
	const struct broker_arg *args;
	size_t args_len;
};

/*
 * Adds to what this connection declares whenever it comes up, in order; now, when it is up. All is copied. Where the
 * broker has it with other arguments (406) it is checked passively and the difference logged. -ENOMEM.
 *
 * BROKER_PERMISSION sees that this user may publish to a direct exchange, before the first message that counts: an empty
 * one is sent under a key that no queue has, and comes back.
 *
 * An exclusive queue whose name ends in '%' is a fresh one each time the connection comes up: the broker keeps an old one
 * locked up to two heartbeats after its connection was lost. The '%' becomes eight random hex digits, the same ones in
 * `name` and `key` of its bindings and in `queue` of its consumers; see broker_consumer_queue().
 */
int broker_declare(struct broker *b, const struct broker_declaration *d, size_t len);

/* ---- publishing ---- */

struct broker_header {
	const char *name;
	struct slice value; /* as a string */
};
#define BROKER_HEADERS_MAX 8
#define BROKER_KEYS_MAX	   1024

struct broker_message {
	const char *exchange;
	struct slice routing_key;
	struct slice body; /* see body_owned */
	const char *content_type;
	struct slice correlation_id, reply_to, type; /* may be unset */
	const char *app_id;
	int64_t expiration_ms; /* 0 or less: none */
	bool persistent;
	bool mandatory;
	const struct broker_header *headers;
	size_t headers_len;
	/*
	 * Further routing keys: it goes to every queue bound under one of them too, once to each (RabbitMQ's sender-selected
	 * distribution, the header BCC, which receivers never see). At most BROKER_KEYS_MAX.
	 */
	const struct slice *more_keys;
	size_t more_keys_len;
	/*
	 * Publish until confirmed: again after a lost connection or a nack, as often as it takes (at least once). Else it is
	 * sent at most once.
	 */
	bool until_confirmed;
	/* At most once: how long until the outcome must be known. 0 with until_confirmed: no limit. */
	int64_t timeout_ms;
	/* Malloced body that the broker frees with free() once it has ended, instead of copying. Taken only on success. */
	uint8_t *body_owned;
};

enum broker_outcome {
	BROKER_CONFIRMED,
	BROKER_RETURNED,  /* no queue is bound under this key */
	BROKER_NACKED,	  /* refused by the broker (a full queue) */
	BROKER_WITHDRAWN, /* never written to the socket: the broker cannot have it */
	BROKER_UNKNOWN,	  /* written, no word came back in time or before the connection broke */
};
const char *broker_outcome_name(enum broker_outcome outcome);

typedef void broker_publish_cb(enum broker_outcome outcome, void *arg);

/*
 * 0 and later exactly one callback (never inside the call), or a negative errno and none: -EMSGSIZE, -EAGAIN (queue
 * full), -ENOTCONN (at most once, and the connection is down or blocked: known at once), -ENOMEM. -EMSGSIZE also for a
 * name or property over 255 bytes. A message that makes RabbitMQ close the channel when sent alone ends NACKED.
 * That a transient message was confirmed may be told up to a second late, as nobody hurries to hear it.
 * message_id is made anew for every publish. Copies everything but body_owned.
 */
int broker_publish(struct broker *b, const struct broker_message *m, broker_publish_cb *cb, void *arg);

/* ---- consuming ---- */

struct broker_consumer;

/*
 * One message; lives until broker_ack, broker_reject or broker_drop, whichever the consumer calls exactly once. A
 * message over message_max is rejected without requeueing and never seen here.
 */
struct broker_delivery {
	struct broker_consumer *consumer;
	void *consumer_arg;
	struct slice body;
	struct slice routing_key, exchange;
	struct slice content_type, message_id, correlation_id, reply_to, type, app_id,
		expiration; /* unset: not there */
	bool redelivered;
	int64_t delivery_count;	   /* header x-delivery-count; 0: none */
	struct slice death_reason; /* x-first-death-reason or the first x-death's reason; unset: none */
	struct slice death_queue;
	struct slice traceparent, tracestate;
	int64_t stream_offset; /* -1: not from a stream */
};

typedef void broker_delivery_cb(struct broker_delivery *d, void *arg);

struct broker_consumer_options {
	const char *queue;
	const char *tag;   /* consumer tag as operators see it; copied */
	uint16_t prefetch; /* unacked at most */
	bool exclusive;
	bool no_ack;
	bool stream_from_first; /* a stream read from its first message (x-stream-offset) */
	broker_delivery_cb *on_delivery;
	/* Told when consuming has begun and when it was lost or cancelled by the broker (it is tried again). May be NULL. */
	void (*on_change)(bool is_consuming, const char *why, void *arg);
	void *arg;
};

/*
 * A channel of its own. Consumes whenever the connection is up, again after every loss. 0, -ENOMEM, -ENOSPC (1,024 are
 * there already).
 */
int broker_consume(struct broker *b, const struct broker_consumer_options *opt, struct broker_consumer **out);
/*
 * Cancels at the broker; deliveries in hand can still be acked, what was under way goes back to the queue. No delivery
 * comes after the call. Freed with the broker.
 */
void broker_consumer_stop(struct broker_consumer *c);
/*
 * The queue's name as it is on the broker now, with the digits of a fresh one. Set from on_change(true) on until
 * on_change(false), else NULL. Borrows: valid until the next on_change.
 */
const char *broker_consumer_queue(const struct broker_consumer *c);
/* Changes how many may be unacked from now on. */
void broker_consumer_set_prefetch(struct broker_consumer *c, uint16_t prefetch);
/*
 * Stops taking (basic.cancel) and starts again, for a service that cannot work just now. No delivery comes in between;
 * what was under way already is kept for the resume, as a requeue would count against the delivery limit.
 */
void broker_consumer_pause(struct broker_consumer *c);
void broker_consumer_resume(struct broker_consumer *c);

/*
 * Ends a delivery. When its connection is gone meanwhile, nothing is sent: RabbitMQ delivers it again. Acks are
 * batched by the thread.
 */
void broker_ack(struct broker_delivery *d);
/* basic.reject: counted by the delivery limit when requeued, dead-lettered when not. */
void broker_reject(struct broker_delivery *d, bool requeue);
/* Frees without a word to the broker (no_ack consumers; deliveries that go back when the connection closes). */
void broker_drop(struct broker_delivery *d);
/* False once the connection or channel that brought it is gone: acking would do nothing. */
bool broker_delivery_is_live(const struct broker_delivery *d);

/* ---- bindings and questions at run time ---- */

/* Binds or unbinds now and after every reconnect (or no more), in order. Copied. -ENOMEM. */
int broker_bind(struct broker *b, const char *queue, const char *exchange, const char *key);
int broker_unbind(struct broker *b, const char *queue, const char *exchange, const char *key);

/*
 * Told, on the loop, each time a binding made by broker_bind is in place: once after the call and again after every
 * reconnect. What is published under its key from then on comes. `queue` as in broker_bind. One callback a broker.
 */
typedef void broker_bound_cb(const char *queue, const char *key, void *arg);
void broker_on_bound(struct broker *b, broker_bound_cb *cb, void *arg);

struct broker_queue_info {
	bool exists;
	int64_t messages; /* ready */
	int64_t consumers;
};
/* rc: 0, -ENOTCONN when the connection broke meanwhile, -ETIMEDOUT after 5 s. */
typedef void broker_queue_cb(int rc, const struct broker_queue_info *info, void *arg);
/* Passive declare on a channel of its own. 0 and one callback, or -ENOTCONN, -EAGAIN (256 wait already), -ENOMEM. */
int broker_queue_info(struct broker *b, const char *queue, broker_queue_cb *cb, void *arg);

/* ---- numbers for metrics ---- */

struct broker_stats {
	uint64_t published, confirmed, returned, nacked, unknown, delivered, acked, rejected, connects;
	size_t publishes_waiting; /* handed over and not ended */
};
void broker_stats(const struct broker *b, struct broker_stats *out);

#endif
