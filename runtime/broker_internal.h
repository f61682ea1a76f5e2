/*
 * What the files of the broker module share. Two sides: the loop side (struct broker, see broker_loop.h) and the thread
 * side (struct link, the rest), which owns rabbitmq-c. They share nothing but parcels in two mailboxes and the few
 * fields marked as shared; a parcel belongs to the side that holds it.
 */
#ifndef RUNTIME_BROKER_INTERNAL_H
#define RUNTIME_BROKER_INTERNAL_H

#include <amqp.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "runtime/broker.h"
#include "runtime/log.h"

enum {
	WHY_MAX = 512,
	REPLY_TEXT_MAX = 300, /* a reply code and RabbitMQ's text, a short string */
	SHORT_MAX = 255,      /* AMQP's short string */
	BACKOFF_FIRST_MS = 100,
	BACKOFF_CAP_MS = 10000,
	CHANNEL_DECLARE = 1,
	CHANNEL_PUBLISH,
	CHANNEL_QUERY,
	CHANNEL_CONSUME, /* the first consumer's; the others follow */
	CONSUMERS_MAX = 1024,
	CHANNEL_MAX = CHANNEL_CONSUME + CONSUMERS_MAX,
	PUBLISH_BUCKETS = 1024,
	ARGS_MAX = 16,		    /* of a declaration */
	LINK_TURN_BYTES = 64 << 10, /* written at most in a turn of the loop */
};

#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- parcels ---- */

enum parcel_kind {
	PARCEL_PUBLISH,	  /* there and back */
	PARCEL_DELIVERY,  /* to the loop and back */
	PARCEL_QUERY,	  /* there and back */
	PARCEL_DECLARE,	  /* to the thread */
	PARCEL_CONSUMER,  /* to the thread: its wish has changed */
	PARCEL_STOP,	  /* to the thread */
	PARCEL_STATE,	  /* to the loop */
	PARCEL_CONSUMING, /* to the loop */
	PARCEL_BOUND,	  /* to the loop */
	PARCEL_KINDS,
};

struct parcel {
	struct mail mail; /* first, so that a mail is a parcel */
	enum parcel_kind kind;
};

/* Whatever it is: what nobody will handle any more. */
void parcel_free(struct parcel *parcel);
void parcel_free_all(struct mail *mail);

/*
 * Who decides how a publish ended: the thread takes it from WAITING to WRITTEN before the first byte, the loop from
 * either to ENDED when its time is over. So a message that the loop called withdrawn is never sent. CONFIRMED is set on
 * what need not be told at once (see link_publisher.lazy).
 */
enum publish_phase { PUBLISH_WAITING, PUBLISH_WRITTEN, PUBLISH_CONFIRMED, PUBLISH_ENDED };

struct publish_list {
	struct publish *first, *last;
	size_t len;
	size_t bytes;
};

struct publish {
	struct parcel parcel;
	/* loop */
	struct broker *broker;
	struct publish *older, *newer;
	broker_publish_cb *cb; /* NULL once told */
	void *arg;
	struct event timeout;
	/* shared */
	_Atomic int phase;
	/* written by the thread before it goes home */
	enum broker_outcome outcome;
	/* thread */
	struct publish_list *list;
	struct publish *prev, *next;
	struct publish *bucket_next;
	uint64_t tag;
	uint32_t nacks;
	int64_t due_ms;
	bool is_returned;
	bool is_suspect; /* one of those in flight when RabbitMQ closed the channel */
	/* fixed; the slices lie behind the struct */
	struct slice exchange, routing_key, content_type, correlation_id, reply_to, type, app_id, body;
	struct broker_header headers[BROKER_HEADERS_MAX];
	size_t headers_len;
	int64_t expiration_ms;
	uint64_t timestamp_s;
	bool persistent, mandatory, until_confirmed;
	uint8_t *body_owned;
	amqp_field_value_t *more_keys;
	size_t more_keys_len;
	_Alignas(amqp_field_value_t) uint8_t storage[];
};

void publish_free(struct publish *p);

enum settlement { SETTLE_ACK, SETTLE_REJECT, SETTLE_REQUEUE, SETTLE_DROP };

struct delivery {
	struct parcel parcel;
	struct broker_delivery public;
	struct broker *broker; /* loop */
	/* fixed */
	uint64_t incarnation; /* of the channel that brought it */
	uint64_t tag;
	size_t bytes;
	bool no_ack;
	/* written by the loop before it goes back */
	enum settlement settlement;
	/* thread */
	struct delivery *prev, *next; /* unsettled ones of a consumer, by tag */
	struct delivery *acked_next;
	bool is_acked;
	bool is_covered;
	uint8_t storage[];
};

struct query {
	struct parcel parcel;
	/* loop */
	struct broker *broker;
	struct query *older, *newer;
	broker_queue_cb *cb; /* NULL once told */
	void *arg;
	struct event timeout;
	/* written by the thread before it goes home */
	int rc;
	struct broker_queue_info info;
	/* thread */
	struct query *next;
	char queue[];
};

enum declare_phase { DECLARE_TODO, DECLARE_SENT, DECLARE_DONE };

struct declaration {
	struct parcel parcel;
	struct broker_declaration what; /* points behind the struct */
	bool is_removal;		/* of a binding */
	bool is_told;			/* the loop hears when it is in place */
	/* thread */
	struct declaration *next;
	enum declare_phase phase;
	bool is_passive;
	bool is_dropped; /* to be freed when its answer comes */
	bool is_difference_logged;
	_Alignas(struct broker_arg) char storage[];
};

struct state_notice {
	struct parcel parcel;
	enum broker_state state;
	char why[WHY_MAX];
};

struct consuming_notice {
	struct parcel parcel;
	struct broker_consumer *consumer;
	bool is_told; /* else only the incarnation has changed */
	bool is_consuming;
	uint64_t incarnation; /* 0: the channel is gone and all that it brought is stale */
	char queue[SHORT_MAX + 1];
	char why[WHY_MAX];
};

struct bound_notice {
	struct parcel parcel;
	char queue[SHORT_MAX + 1], key[SHORT_MAX + 1];
};

/* What the service wants of a consumer; changed under wish_lock, taken over by the thread at the next parcel. */
struct wish {
	bool is_wanted;
	uint16_t prefetch;
	bool is_posted;
};

/* A message on its way in: method, header and body come as separate frames. */
struct incoming {
	uint64_t tag;
	bool redelivered;
	uint8_t exchange[SHORT_MAX], routing_key[SHORT_MAX];
	size_t exchange_len, routing_key_len;
	struct delivery *delivery; /* from the header on; NULL while skipping */
	bool is_open;		   /* a method was seen, the message is not complete */
	bool has_header;
	uint64_t left; /* of the body */
};

struct broker_consumer {
	/* loop */
	struct broker *broker;
	struct broker_consumer *loop_next;
	broker_delivery_cb *on_delivery;
	void (*on_change)(bool is_consuming, const char *why, void *arg);
	void *arg;
	bool is_stopped, is_paused;
	uint64_t loop_incarnation;
	struct mail *held, **held_end; /* came while paused */
	char actual[SHORT_MAX + 1];    /* the queue's name; empty: not consuming */
	/* shared */
	struct parcel parcel;
	struct wish wish;
	/* fixed */
	char *tag;
	char *queue;
	bool exclusive, no_ack, stream_from_first;
	/* thread */
	struct link *link;
	struct broker_consumer *dirty_next;
	uint16_t channel;
	uint16_t prefetch;
	bool is_wanted;
	bool is_known;	  /* in the link's list */
	bool is_open;	  /* the channel */
	bool is_sent;	  /* basic.consume, and no cancel after it */
	bool is_begun;	  /* its consume-ok has come */
	bool is_answered; /* since the connection came up: consuming, or failed at least once */
	bool is_told_consuming;
	bool is_dirty;	  /* has acks to flush */
	bool has_dropped; /* a tag without settlement: a `multiple` ack would cover it */
	char why[WHY_MAX];
	uint16_t sent_prefetch;
	unsigned serial; /* of basic.consume on this channel */
	char sent_tag[SHORT_MAX + 1];
	uint32_t failures;
	int64_t retry_ms;
	uint64_t incarnation;
	int64_t last_offset; /* of a stream; -1: none yet */
	struct delivery *first, *last;
	struct delivery *acked;
	struct incoming incoming;
};

void consumer_free(struct broker_consumer *c);

/* ---- thread side ---- */

struct link_publisher {
	bool is_open;
	uint32_t nonce; /* of this incarnation of the channel, in every message_id */
	uint64_t next_tag;
	struct publish *buckets[PUBLISH_BUCKETS]; /* those in flight, by tag */
	struct publish_list ready, flight, delayed;
	/* Confirmed and transient: nobody hurries to hear it, so it waits for company on its way home. */
	struct publish_list lazy;
	int64_t delayed_ms, sweep_ms;
	int64_t reopen_ms;
	size_t writable; /* bytes that may be written before the socket is asked again */
	bool is_stuck;	 /* the socket takes nothing more: poll for POLLOUT */
	struct {
		bool is_open, has_header;
		uint64_t left;
	} returned;
};

struct link_declarer {
	bool is_open;
	struct declaration *first, **end;
	struct declaration *sent; /* at most one at a time */
	/* Why `sent` is only looked for, where it was to be made. */
	uint16_t refusal_code;
	char refusal_text[REPLY_TEXT_MAX];
	bool is_ready; /* all done at least once on this connection */
	bool is_stale; /* something of it may be gone: all is to be declared again */
};

struct link_querier {
	bool is_open;
	bool is_sent; /* the first of the list */
	struct query *first, **end;
};

struct link {
	/* fixed */
	char *url_copy; /* what `info` points into */
	struct amqp_connection_info info;
	char *name;
	char host[300]; /* "host:port", for logs */
	int heartbeat_s;
	int64_t connect_timeout_ms;
	size_t message_max;
	/* shared */
	struct mailbox *inbox;	/* to the thread */
	struct mailbox *outbox; /* to the loop */
	struct parcel stop;
	atomic_int refs;
	atomic_bool is_stopping;
	atomic_size_t transit_len,
		transit_bytes; /* deliveries in the outbox that the loop has not taken yet */
	pthread_mutex_t wish_lock;
	pthread_mutex_t fd_lock;
	int fd; /* -1: none; for the loop to shut down */
	/*
	 * Held by whoever works on all below, marked as the thread's: the thread but while it waits in poll, and now and
	 * then the loop, which takes a turn itself instead of waking a thread that sleeps (link_try_turn).
	 */
	pthread_mutex_t turn_lock;
	/* thread */
	amqp_connection_state_t conn;
	bool is_serving; /* connected, logged in, between two polls or in one */
	bool is_roomy;	 /* the socket's buffer holds what a turn of the loop may write */
	bool is_lost;
	bool is_blocked;
	bool must_stop;
	int64_t beat_ms;   /* when rabbitmq-c must be called for its heartbeats */
	char why[WHY_MAX]; /* of the loss */
	enum broker_state told_state;
	char told_why[WHY_MAX];
	struct mail *home, **home_end; /* collected for the outbox */
	uint64_t incarnations;	       /* of channels, counting up */
	char fresh[9];		       /* what stands for '%' on this connection */
	struct log_gate oversize_gate, nack_gate, close_gate;
	struct link_declarer declarer;
	struct link_publisher publisher;
	struct link_querier querier;
	struct broker_consumer *consumers[CONSUMERS_MAX]; /* by channel */
	uint16_t consumers_len;
	struct broker_consumer *dirty;
	int64_t consume_ms; /* when a consumer wants looking at */
};

/* broker_thread.c. link_new takes 1 reference; the last one frees everything that the link holds. */
int link_new(const struct broker_options *opt, struct link **out);
void link_unref(struct link *l);
void *link_run(void *arg);
/*
 * Loop side: hands these parcels over. Where the thread sleeps and the socket is sure to take what they lead to without
 * waiting, the work is done here and now, which saves waking the thread; else they go to its mailbox.
 */
void link_hand_over(struct link *l, struct mail *first, struct mail **end);
/* The connection is of no use any more; the first reason stays. */
void link_lose(struct link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
void link_send_home(struct link *l, struct parcel *parcel);
void link_set_state(struct link *l, enum broker_state state, const char *why);
/* Any method; false when the connection is lost. */
bool link_send(struct link *l, uint16_t channel, amqp_method_number_t method, void *decoded);
bool link_open_channel(struct link *l, uint16_t channel);
/* "404 NOT_FOUND - no queue …" of a channel.close or connection.close. */
void link_close_text(uint16_t code, amqp_bytes_t text, char *out, size_t len);

/* broker_dial.c. 0 (connected and logged in), or -1 with l->why. */
int link_parse_url(struct link *l, const char *url);
int link_dial(struct link *l);
void link_hang_up(struct link *l);

/* broker_declare.c */
void link_declare_add(struct link *l, struct declaration *d);
void link_declare_again(struct link *l);
void link_declare_run(struct link *l);
void link_declare_frame(struct link *l, const amqp_frame_t *frame);
void link_declare_lost(struct link *l);
void link_declare_done(struct link *l);

/* broker_publish.c */
void link_publish_add(struct link *l, struct publish *p);
void link_publish_run(struct link *l, int64_t now_ms);
/* Writes what may be written, a bounded batch; true: there is more to write at once. */
bool link_publish_write(struct link *l, int64_t now_ms);
void link_publish_frame(struct link *l, const amqp_frame_t *frame);
/* Sends home what was confirmed and waits for company. */
void link_publish_send_lazy(struct link *l);
/* What is sent at most once and was not written yet has no chance in time. */
void link_publish_withdraw(struct link *l);
void link_publish_lost(struct link *l);
void link_publish_done(struct link *l);
int64_t link_publish_due(const struct link *l);

/* broker_consume.c */
void link_consume_wish(struct link *l, struct broker_consumer *c);
void link_consume_settle(struct link *l, struct delivery *v);
void link_consume_flush(struct link *l);
void link_consume_run(struct link *l, int64_t now_ms);
void link_consume_frame(struct link *l, const amqp_frame_t *frame);
void link_consume_lost(struct link *l);
void link_consume_done(struct link *l);
/* Every consumer consumes or has failed at least once. */
bool link_consume_is_answered(const struct link *l);

/* broker_delivery.c. NULL: out of memory. */
struct delivery *delivery_new(const struct incoming *in, const amqp_basic_properties_t *p, size_t body_len);

/* broker_query.c */
void link_query_add(struct link *l, struct query *q);
void link_query_run(struct link *l);
void link_query_frame(struct link *l, const amqp_frame_t *frame);
void link_query_lost(struct link *l);

/* A name as it is on this connection: a last '%' becomes the fresh digits. `out` holds SHORT_MAX + 1. */
amqp_bytes_t link_name(const struct link *l, const char *name, char *out);

static inline amqp_bytes_t bytes_of(struct slice s)
{
	return (amqp_bytes_t){.len = s.len, .bytes = (void *)(uintptr_t)s.data};
}

static inline amqp_bytes_t bytes_text(const char *text)
{
	return bytes_of(slice_text(text));
}

#endif
