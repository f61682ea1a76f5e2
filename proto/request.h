/*
 * The request: gateway -> processor, and notifier -> processor for everything that ran later.
 */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include "base/buf.h"
#include "proto/decode.h"
#include "proto/id.h"

struct retry_policy {
	uint32_t base_ms; /* wait before the second attempt; doubles for each further one */
	uint32_t cap_ms;  /* longest wait */
};

#define CONTENT_TYPE_MAX   255	   /* bytes */
#define ATTEMPT_MAX	   1000000 /* also of max_attempts */
#define RETRY_ATTEMPTS_MAX 100	   /* what clients and operators may ask for */

struct request {
	struct id id;
	struct slice task; /* a valid name */
	struct slice payload;
	struct slice content_type; /* see content_type_is_valid */
	int64_t created_at_ms;	   /* since the epoch */
	int64_t deadline_ms;	   /* since the epoch; 0: none */
	uint32_t attempt;	   /* from 1 */
	uint32_t max_attempts;	   /* 0: not given, the handler's own */
	uint32_t timeout_ms;	   /* 0: not given, the handler's own */
	bool has_retry;		   /* false: the handler's own policy */
	struct retry_policy retry;
	struct slice context; /* opaque to whoever runs the task; copied into every reply; may be unset */
};

/* 1 to CONTENT_TYPE_MAX bytes of printable ASCII: it becomes an HTTP header as it stands. */
bool content_type_is_valid(struct slice type);

/*
 * Appends to `out`. 0; -EINVAL with nothing appended for a request that request_decode would refuse; -ENOMEM or
 * -EMSGSIZE from the buffer.
 */
int request_encode(const struct request *r, struct buf *out);
/* 0, or -EBADMSG with *error set, or -ENOMEM. Borrows: the slices of *out point into `bytes`. */
int request_decode(struct slice bytes, struct request *out, struct decode_error *error);

#endif
