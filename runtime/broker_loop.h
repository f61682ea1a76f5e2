/*
 * The loop side: what a service calls, and what it is told. broker.c has the connection, broker_send.c what is published,
 * broker_receive.c what is consumed, broker_ask.c declarations and questions.
 */
#ifndef RUNTIME_BROKER_LOOP_H
#define RUNTIME_BROKER_LOOP_H

#include "runtime/broker_internal.h"

struct broker {
	struct loop *loop;
	struct link *link;
	struct loop_mail *mail;
	struct event *unheld; /* delivers what came during a pause */
	struct event *flush;  /* hands over what was posted, once the callbacks at hand are done */
	struct mail *posted, **posted_end;
	pthread_t thread;
	bool is_started;
	size_t message_max, queue_max, bytes_max;
	void (*on_state)(enum broker_state state, const char *why, void *arg);
	void *arg;
	broker_bound_cb *on_bound;
	void *on_bound_arg;
	enum broker_state state;
	struct publish *publishes; /* the newest of those not home; each has its timer */
	size_t publishes_len, publishes_bytes;
	struct query *queries;
	size_t queries_len;
	struct broker_consumer *consumers;
	size_t consumers_len;
	size_t deliveries_out; /* in the service's hands; they keep the broker's memory */
	struct broker_stats stats;
	unsigned depth; /* callbacks on the stack */
	bool is_freed;
};

/* Around every callback of the service that a timer or a mail leads to: the broker may be freed inside. */
void broker_enter(struct broker *b);
void broker_leave(struct broker *b);
/* Frees the memory of a broker that was freed, when nothing is left of it on the stack or in the service's hands. */
void broker_dispose(struct broker *b);
/* To the thread. */
void broker_post(struct broker *b, struct parcel *parcel);

/* What the thread sends home; each owns its parcel. */
void broker_publish_home(struct broker *b, struct parcel *parcel);
void broker_delivery_home(struct broker *b, struct parcel *parcel);
void broker_consuming_home(struct broker *b, struct parcel *parcel);
void broker_query_home(struct broker *b, struct parcel *parcel);
void broker_bound_home(struct broker *b, struct parcel *parcel);

/* Timer: delivers what came during a pause. */
void broker_on_unheld(evutil_socket_t fd, short what, void *arg);

static inline size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* Copies to *at, which moves on. */
struct slice broker_keep(uint8_t **at, struct slice s);
const char *broker_keep_text(uint8_t **at, const char *text);

#endif
