/*
 * What every decoder of the wire format shares: the limits, the bounded pre-check before msgpack-c, the description of
 * what was wrong.
 */
#ifndef PROTO_DECODE_H
#define PROTO_DECODE_H

#include "base/slice.h"

#define PROTO_VERSION	1
#define PROTO_DEPTH_MAX 64

/* Where and why a message was refused, for the dead letter and the log: "retry.base_ms: not an integer". */
struct decode_error {
	char path[64];	 /* key path; empty for the message as a whole; only printable ASCII */
	char reason[96]; /* never holds bytes of the message */
};

/*
 * Walks one msgpack object once, allocating nothing: depth at most PROTO_DEPTH_MAX, every count held against the bytes
 * that remain, no trailing bytes. 0 or -EBADMSG with *error set.
 */
int wire_check(struct slice bytes, struct decode_error *error);

#endif
