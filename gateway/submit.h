/*
 * One submission over HTTP, from what the client asked for to its answer: idempotency key, the durable or the inline
 * lane, waiting for the end.
 */
#ifndef GATEWAY_SUBMIT_H
#define GATEWAY_SUBMIT_H

#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "gateway/idempotency.h"
#include "gateway/submission.h"
#include "proto/trace.h"

enum submit_mode { SUBMIT_ASYNC, SUBMIT_SYNC };

struct submit_options {
	enum submit_mode mode;
	struct id retry_of; /* zero: none */
	/* The id that stands for the whole is the last step's: a chain. Else the first one's. */
	bool names_last;
	/* Of the call's Idempotency-Key, with the id that goes with it, when the caller has claimed that already. */
	struct idempotency *claim;
	struct id claimed;
	bool is_resumed;
	int64_t wait_ms; /* how long a sync call waits; 0: limits.sync_timeout */
	int status;	 /* in place of 202; 0: that */
	/* Puts another body in place of the usual one; NULL: that. */
	void (*reply)(const struct submission *named, struct call *call, struct answer *a, const void *arg);
	const void *reply_arg; /* borrowed until the answer */
};

/* Answers the call. Owns: `first`, whose slices point into the call or into itself; the claim. */
void submit_start(
	struct gateway *g, struct call *call, struct submission *first, const struct submit_options *options);

/* How long an async call may take, for who claims its key. */
int64_t submit_lease_ms(const struct gateway *g, const struct call *call);
/* "async" or "sync"; for ?mode= and metrics. -EINVAL for another word. */
int submit_mode_parse(struct slice word, enum submit_mode *out);
/* A member of this name: the id and the task of each step, in order. */
void submit_render_steps(const char *name, const struct submission *first, struct buf *out);
/* Of the call's headers; borrows from them. */
struct trace submit_trace(const struct call *call);
/* The clock and limits that options are held against. */
struct submission_rules submit_rules(const struct gateway *g);

#endif
