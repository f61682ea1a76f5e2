/*
 * Messages of the stream postback.control, read by every processor.
 */
#ifndef PROTO_CONTROL_H
#define PROTO_CONTROL_H

#include "base/buf.h"
#include "proto/decode.h"
#include "proto/id.h"

enum control_kind { CONTROL_CANCEL };

struct control {
	enum control_kind kind;
	struct id id;
	int64_t at_ms; /* since the epoch */
};

/* As request_encode. */
int control_encode(const struct control *c, struct buf *out);
/* As request_decode; a kind not known here is -ENOMSG whatever else the message holds, to be skipped. */
int control_decode(struct slice bytes, struct control *out, struct decode_error *error);

#endif
