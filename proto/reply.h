/*
 * The reply: processor (or anybody's worker) -> reply_to.
 *
 * `retry` is the policy that the handler's own settings gave, for a request that had none; `retry_after_ms` is what the
 * handler was told to wait at least, as by an upstream's Retry-After. Both are optional.
 */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include "proto/request.h"
#include "proto/wire.h"

enum reply_kind { REPLY_STARTED, REPLY_PROGRESS, REPLY_SUCCEEDED, REPLY_FAILED, REPLY_RETRY, REPLY_CANCELED };
#define REPLY_KINDS 6

/* In bytes. A longer error message is cut, by the encoder and by the decoder; the others are refused. */
#define REPLY_MESSAGE_MAX    4096
#define REPLY_ERROR_TYPE_MAX 64
#define REPLY_WORKER_MAX     255
#define REPLY_PROGRESS_MAX   65536

struct reply_error {
	struct slice type; /* a word such as "timeout"; see reply_error_type_is_valid and docs/protocol.md */
	struct slice message; /* for people; the encoder puts U+FFFD for bytes that are not UTF-8 */
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
	bool has_error; /* failed, retry; a worker may have left it out */
	struct reply_error error;
	struct slice request; /* retry, failed: its bytes as received; a worker may have left it out */
	struct slice context;
	struct slice progress; /* one msgpack object; see wire_to_json() */
	uint64_t seq;	       /* counts up in one attempt */
	struct slice worker;
	bool has_retry;
	struct retry_policy retry;
	uint32_t retry_after_ms;
};

const char *reply_kind_name(enum reply_kind kind);

/* What an error's type may be: REPLY_ERROR_TYPE_MAX bytes of printable ASCII without a space. */
bool reply_error_type_is_valid(struct slice type);

/* As request_encode. */
int reply_encode(const struct reply *r, struct buf *out);
/* As request_decode. */
int reply_decode(struct slice bytes, struct reply *out, struct decode_error *error);

#endif
