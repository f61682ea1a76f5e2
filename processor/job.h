/*
 * A job: one attempt as a handler kind sees it, and what it makes of it. A kind knows nothing of queues, replies or
 * retries; it is given a job and ends it with exactly one outcome.
 */
#ifndef PROCESSOR_JOB_H
#define PROCESSOR_JOB_H

#include "proto/request.h"

enum outcome_kind {
	OUTCOME_SUCCEEDED,
	OUTCOME_FAILED, /* for good: another attempt would fail as well */
	OUTCOME_RETRY,	/* this attempt failed, another may not */
	OUTCOME_CANCELED,
};

/* Everything is borrowed until job_done returns. */
struct outcome {
	enum outcome_kind kind;
	struct slice result;
	struct slice content_type; /* of the result; of a failure's data when that is a document of its own */
	struct slice error_type;   /* failures: a short word, see docs/protocol.md */
	struct slice message;	   /* failures: for people; need not be UTF-8 */
	int32_t status;		   /* failures: exit code, upstream's status; 0: none */
	struct slice data;	   /* failures: one msgpack object; unset: none */
	uint32_t retry_after_ms;   /* OUTCOME_RETRY: wait at least so long; 0: not said */
};

struct job {
	/* Borrowed until job_done. */
	const struct request *request;
	struct slice bytes; /* the request as received */
	struct slice traceparent, tracestate;
	int64_t timeout_ms;  /* how long this attempt may take */
	int64_t deadline_ms; /* since the epoch: when it is ended at the latest */
	void *state;	     /* the kind's own while the job runs */
	void (*done)(struct job *job, const struct outcome *outcome);
	void (*progress)(struct job *job, struct slice object);
};

/* Once for each job that was started. The job is gone afterwards, and so is what it borrowed. */
static inline void job_done(struct job *job, const struct outcome *outcome)
{
	job->done(job, outcome);
}

/* `object`: one checked msgpack object; borrowed until it returns. May be dropped: the latest wins. */
static inline void job_progress(struct job *job, struct slice object)
{
	job->progress(job, object);
}

/* A failure without data. The texts are literals or outlive job_done. */
static inline void job_fail(struct job *job, enum outcome_kind kind, const char *type, const char *message)
{
	struct outcome outcome = {
		.kind = kind, .error_type = slice_text(type), .message = slice_text(message)};

	job_done(job, &outcome);
}

#endif
