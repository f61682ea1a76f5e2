/*
 * The durable lane: hands a submission, and what follows it, to store and broker, so that either all of it is accepted or
 * nothing is (or it says that it does not know).
 */
#ifndef GATEWAY_DISPATCH_H
#define GATEWAY_DISPATCH_H

#include "gateway/gateway.h"
#include "gateway/submission.h"
#include "proto/trace.h"

enum dispatch_outcome {
	DISPATCH_ACCEPTED,
	DISPATCH_NO_QUEUE,  /* no queue for one of its tasks */
	DISPATCH_FULL,	    /* its queue refuses more */
	DISPATCH_AWAY,	    /* the broker is away, blocked or too slow; it has nothing of it */
	DISPATCH_UNKNOWN,   /* the broker may have it */
	DISPATCH_TOO_LARGE, /* over amqp.max_message */
	DISPATCH_STORE_AWAY,
	DISPATCH_PREVIOUS_GONE, /* what it waits for is not known any more */
	DISPATCH_FAILED,	/* out of memory, or a fault of our own */
};
#define DISPATCH_OUTCOMES 9

struct dispatch_request {
	struct slice tenant;
	struct submission *first; /* with ids; lives until the callback, and what its slices point into */
	struct id batch, retry_of;
	/*
	 * An earlier try under these ids ended unknown: when its task has been seen since, it is not sent again, and
	 * nothing that it stored is taken back.
	 */
	bool is_resumed;
	struct trace trace;
};

/* `task`: for DISPATCH_NO_QUEUE the one without; borrowed. */
typedef void dispatch_cb(enum dispatch_outcome outcome, const char *task, void *arg);

/*
 * Exactly one callback, at once or later. When nothing has to be stored, the bytes that the slices of `first` point into
 * are needed no more once this has returned.
 */
void dispatch_start(struct gateway *g, const struct dispatch_request *r, dispatch_cb *cb, void *arg);
/* True when some of it is to be stored before it is published: it is scheduled, or something follows. */
bool dispatch_needs_store(const struct submission *first);

const char *dispatch_outcome_name(enum dispatch_outcome outcome);
/* The problem and its sentence for an outcome that is not ACCEPTED. */
enum problem dispatch_problem(enum dispatch_outcome outcome);
const char *dispatch_detail(enum dispatch_outcome outcome);

#endif
