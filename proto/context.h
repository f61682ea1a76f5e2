/*
 * The context: what Postback itself must know of a task when only its reply arrives. The gateway writes it into the
 * request, whoever runs the task copies it, the notifier reads it. Opaque to everybody else. The tenant is safe against
 * a forging worker because the id's check covers it.
 */
#ifndef PROTO_CONTEXT_H
#define PROTO_CONTEXT_H

#include "base/buf.h"
#include "proto/decode.h"
#include "proto/id.h"
#include "proto/trace.h"

#define CONTEXT_TENANT_MAX 255 /* bytes */

struct context {
	struct slice tenant;   /* required */
	struct slice task;     /* required: the name */
	struct slice metadata; /* JSON object text; unset: none */
	/* JSON array text of normalised deliveries, one for each receiver; unset: none */
	struct slice deliver;
	struct id batch;    /* zero: none */
	struct id retry_of; /* zero: none */
	struct trace trace; /* of the client; for what is published later */
	bool has_next;	    /* rows wait for this task's outcome (a chain or `then`) */
	bool is_inline;	    /* inline lane: the reply goes to an open connection, nothing is stored */
};

/* As request_encode. The JSON texts are checked, here and when decoding: a worker may have forged them. */
int context_encode(const struct context *c, struct buf *out);
/* As request_decode. */
int context_decode(struct slice bytes, struct context *out, struct decode_error *error);

#endif
