/*
 * msgpack on the wire: the bounded walk that comes before msgpack-c, and what is made of single objects. Never trusts a
 * count, never allocates but through the caller's buffer.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "base/buf.h"
#include "proto/decode.h"

/*
 * The length in bytes of the one object at the start of `bytes`: containers in it nest at most `depth_max` deep and
 * every count is held against the bytes that remain. -EBADMSG with *reason set (never freed) otherwise.
 */
int64_t wire_object_len(struct slice bytes, unsigned depth_max, const char **reason);

/*
 * What the first byte of a checked object says: for a map (its pairs) or an array (its items) the count, and returned
 * the length of the head; everything else is whole and 0 is returned.
 */
enum wire_kind { WIRE_SCALAR, WIRE_ARRAY, WIRE_MAP };
size_t wire_open(struct slice object, enum wire_kind *kind, uint32_t *count);

/*
 * One msgpack object as JSON text, appended: str -> string, bin -> itself when it is valid JSON (how our own processor
 * passes an upstream's body through unchanged), else a string of its text or, not being UTF-8, null. Numbers that JSON
 * does not know and extension types are null. What is appended passes json_check.
 *
 * 0; -EBADMSG for an object that JSON cannot be made of (keys that are not str, duplicate keys, too deep, not one whole
 * object); -ENOMEM or the buffer's error. On an error nothing is appended.
 */
int wire_to_json(struct slice object, struct buf *out);

/* The other way for texts of our own: a msgpack str, or a bin, appended. 0 or the buffer's error. */
int wire_str(struct slice text, struct buf *out);
int wire_bin(struct slice bytes, struct buf *out);
/* And back: the bytes of a checked str or bin, not set for any other object. */
struct slice wire_bytes(struct slice object);

#endif
