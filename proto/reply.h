/*
 * The reply: processor (or anybody's worker) -> reply_to.
 *
 * Beyond the table of the design a reply may carry `retry` (the policy that the handler's own settings gave, for a
 * request that had none) and `retry_after_ms` (the handler was told to wait at least that long, as by an upstream's
 * Retry-After). Both are optional.
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include "proto/request.h"

enum reply_kind { REPLY_STARTED, REPLY_PROGRESS, REPLY_SUCCEEDED, REPLY_FAILED, REPLY_RETRY, REPLY_CANCELED };
#define REPLY_KINDS 6

struct reply_error {
	struct slice type;    /* a short word such as "timeout"; the field terms are in docs/protocol.md */
	struct slice message; /* UTF-8, for people */
	bool retryable;
	int32_t status;	   /* HTTP status of an http handler's upstream, exit code of a program; 0: none */
	struct slice data; /* one msgpack object as it stands on the wire; unset: none. See wire_to_json() */
};

struct reply {
	struct id id;
	uint32_t attempt;
	enum reply_kind kind;
	struct slice result;	   /* succeeded */
	struct slice content_type; /* of the result */
	int64_t started_at_ms;	   /* since the epoch; 0: not given */
	int64_t finished_at_ms;
	bool has_error; /* failed, retry */
	struct reply_error error;
	struct slice request; /* retry, failed: the request's bytes as received */
	struct slice context;
	struct slice progress; /* one msgpack object; see wire_to_json() */
	uint64_t seq;	       /* counts up in one attempt */
	struct slice worker;
	bool has_retry;
	struct retry_policy retry;
	uint32_t retry_after_ms;
};

const char *reply_kind_name(enum reply_kind kind);

int reply_encode(const struct reply *r, struct buf *out);
/* As request_decode. */
int reply_decode(struct slice bytes, struct reply *out, struct decode_error *error);

/*
 * One checked msgpack object as JSON text, appended: str -> string, bin -> itself when it is valid JSON (how our own
 * processor passes an upstream's body through unchanged), else a string of its text or, not being UTF-8, null.
 * Maps need string keys. 0 or -EBADMSG or the buffer's error.
 */
int wire_to_json(struct slice object, struct buf *out);
/* The other way for texts of our own: a msgpack str, or a bin, appended. */
int wire_str(struct slice text, struct buf *out);
int wire_bin(struct slice bytes, struct buf *out);

#endif
