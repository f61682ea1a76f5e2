/*
 * The problem documents: every error that the gateway answers, one row each. docs/problems.md is held against this table.
 */
#ifndef GATEWAY_PROBLEM_H
#define GATEWAY_PROBLEM_H

#include "base/buf.h"

enum problem {
	PROBLEM_BAD_REQUEST,	      /* 400 syntax of HTTP */
	PROBLEM_INVALID_JSON,	      /* 400 */
	PROBLEM_UNAUTHORIZED,	      /* 401 */
	PROBLEM_FORBIDDEN_ORIGIN,     /* 403 browser guard */
	PROBLEM_NOT_FOUND,	      /* 404 no such resource */
	PROBLEM_UNKNOWN_TASK,	      /* 404 no queue for this task */
	PROBLEM_METHOD_NOT_ALLOWED,   /* 405 */
	PROBLEM_TIMEOUT,	      /* 408 request not complete in time */
	PROBLEM_CONFLICT,	      /* 409 state of the task, idempotency key in flight */
	PROBLEM_GONE,		      /* 410 */
	PROBLEM_TOO_LARGE,	      /* 413 */
	PROBLEM_MEDIA_TYPE,	      /* 415 an envelope that is not sent as JSON; Content-Encoding */
	PROBLEM_EXPECTATION_FAILED,   /* 417 Expect with something else than 100-continue */
	PROBLEM_INVALID_FIELD,	      /* 422 envelope, options, parameters */
	PROBLEM_IDEMPOTENCY_MISMATCH, /* 422 */
	PROBLEM_TASK_FAILED,	      /* 422 the handler says the request cannot be done */
	PROBLEM_TASK_CANCELED,	      /* 409 */
	PROBLEM_UPGRADE_REQUIRED,     /* 426 a WebSocket asked for without one */
	PROBLEM_RATE_LIMITED,	      /* 429 */
	PROBLEM_TENANT_LIMIT,	      /* 429 */
	PROBLEM_HEADERS_TOO_LARGE,    /* 431 */
	PROBLEM_INTERNAL,	      /* 500 */
	PROBLEM_NOT_IMPLEMENTED,      /* 501 unknown method */
	PROBLEM_HANDLER_BROKEN,	      /* 502 */
	PROBLEM_TASK_DEAD,	      /* 502 */
	PROBLEM_BROKER_UNAVAILABLE,   /* 503 */
	PROBLEM_STORE_UNAVAILABLE,    /* 503 */
	PROBLEM_BUSY,		      /* 503 one of our own limits */
	PROBLEM_NO_PROCESSOR,	      /* 503 inline: nobody to run it */
	PROBLEM_HANDLER_TIMEOUT,      /* 504 */
	PROBLEM_HTTP_VERSION,	      /* 505 */
};
#define PROBLEMS 31

int problem_status(enum problem problem);
/* The "type" member: a URI reference, "/problems/unknown-task", of which the last part is its name. */
#define PROBLEM_PATH "/problems/"
const char *problem_type(enum problem problem);
const char *problem_title(enum problem problem);

/* "unknown-task". 0 or -ENOENT. */
int problem_parse(struct slice name, enum problem *out);

/* Appends what the type says by itself: {"type","title","status","detail"}. 0 or the buffer's error. */
int problem_describe(enum problem problem, struct buf *out);

/*
 * Appends the document. `detail` comes out as a sentence, with a capital and a full stop, whoever wrote it. `field`,
 * `detail`, `request_id` and `members` may be NULL. 0 or the buffer's error.
 */
int problem_render(enum problem problem, const char *field, const char *members, const char *detail,
	const char *request_id, struct buf *out);

#endif
