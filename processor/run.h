/*
 * A run: one attempt of one task, from its delivery to the ack. It goes waiting -> running -> replying and is gone when
 * the reply of a durable request was confirmed and all its deliveries are acked. Redeliveries meanwhile join it.
 *
 * Durable: the reply is published until it is confirmed, then the request is acked. A reply that cannot be delivered
 * (no such reply queue) is tried for about two minutes, then the request goes to the dead letters. Inline: the reply is
 * sent at most once and the request acked with it.
 */
#ifndef PROCESSOR_RUN_H
#define PROCESSOR_RUN_H

#include <sys/queue.h>

#include "processor/handler.h"
#include "processor/job.h"
#include "processor/live.h"
#include "processor/verdict.h"
#include "proto/reply.h"
#include "runtime/broker.h"

enum run_state { RUN_WAITING, RUN_RUNNING, RUN_REPLYING };

enum run_stop {
	RUN_GOES_ON,
	RUN_TIMED_OUT,
	RUN_EXPIRED, /* nobody waits for the result any more */
	RUN_CANCELED,
	RUN_INTERRUPTED, /* the processor ends */
};

struct joined {
	SLIST_ENTRY(joined) link;
	struct broker_delivery *delivery;
};

SLIST_HEAD(joined_list, joined);

struct run {
	struct job job; /* first: a job is its run */
	struct live_entry live;
	TAILQ_ENTRY(run) line;	 /* while waiting */
	TAILQ_ENTRY(run) active; /* of its handler, all its life */
	struct handler *handler;
	bool is_inline;
	bool is_redelivered;
	enum run_state state;
	enum run_stop stop;
	struct request request;
	struct terms terms;
	struct broker_delivery *delivery; /* the bytes of the request */
	struct joined_list joined;
	struct event *timer;	    /* made when a run does not end at once */
	int64_t began_ms, began_us; /* since the epoch; monotonic */
	int64_t timeout_ms;	    /* monotonic moments from here on; 0: none */
	int64_t started_ms, progress_ms;
	uint64_t seq;
	uint8_t *progress; /* the latest that was not sent */
	size_t progress_len;
	uint8_t *reply; /* until it is confirmed */
	size_t reply_len;
	bool is_publishing;
	unsigned returns;
};

/* Owns the delivery from then on. NULL: no memory, the delivery is the caller's. `request` borrows from the delivery. */
struct run *run_new(
	struct handler *h, bool is_inline, struct broker_delivery *d, const struct request *request);
/* Frees without a word to the broker. */
void run_free(struct run *r);
/* Puts one that waits, or is stuck, back into its queue. */
void run_return(struct run *r);
/* Its reply came back, and it pauses before the next try. */
bool run_is_stuck(const struct run *r);
/* The same request came again. Owns the delivery. 0 or -ENOMEM. */
int run_join(struct run *r, struct broker_delivery *d);
/* Lets go of joined deliveries whose connection is gone. Returns how many. */
size_t run_forget_stale(struct run *r);

/* Takes it out of waiting: runs it, or ends it at once when it was canceled or its deadline has passed. */
void run_begin(struct run *r);
/* Ends a waiting one with this failure, without running it. */
void run_refuse(struct run *r, enum outcome_kind kind, const char *type, const char *message);
/* A running one ends soon, for this reason; a waiting one at its start; one that replies already: nothing. */
void run_stop(struct run *r, enum run_stop why);

#endif
