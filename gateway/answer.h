/*
 * An answer put together before it is sent, so that it can be kept under an idempotency key and sent again.
 */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "gateway/call.h"
#include "gateway/fault.h"

/* What an idempotency key remembers of it. */
enum answer_fate {
	ANSWER_KEEP,	/* the outcome stands: the same answer from now on */
	ANSWER_RELEASE, /* nothing happened: the next try starts anew */
	ANSWER_UNKNOWN, /* it may have happened: the next try goes on under the same id */
};

struct answer {
	int32_t status; /* 0: none yet */
	enum answer_fate fate;
	char content_type[256];
	char location[128];	/* empty: none */
	int32_t retry_after_s;	/* 0: none */
	int32_t applied_wait_s; /* Preference-Applied: wait=N; 0: none */
	bool is_foreign;	/* a handler's bytes: the browser must not run them on our origin */
	struct buf body;
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);

/* A problem document; `field`, `members` as call_problem_with. Retry-After: 1 with 503. */
void answer_problem(struct answer *a, enum problem problem, const char *field, const char *members,
	const char *detail, const struct call *call);
/* A handler's bytes in its content type. Copies. */
void answer_foreign(struct answer *a, int status, struct slice content_type, struct slice body);

/* Answers the call. A body that could not be put together for lack of memory is a 500. */
void answer_send(const struct answer *a, struct call *call);
/* The headers that make a handler's bytes harmless in a browser. */
void answer_guard_headers(struct call *call);

/* Answers with a JSON document that was put together, or with a 500 when it could not be; gives its memory back. */
void answer_document(struct call *call, int status, struct buf *document);
/* Answers a refusal at once. */
void fault_send(const struct fault *fault, struct call *call);
/* Answers what a reader of the request has returned: -EINVAL with its fault, or another error, which is lack of memory. */
void fault_answer(int rc, const struct fault *fault, struct call *call);

/* To and from the bytes that the store keeps. 0; -EMSGSIZE, -ENOMEM; -EBADMSG. */
int answer_encode(const struct answer *a, struct buf *out);
int answer_decode(struct slice bytes, struct answer *out);

#endif
