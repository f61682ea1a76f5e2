/*
 * What the JSON scanner, its search for duplicate keys and the readers share about strings. Private to proto.
 */
#ifndef PROTO_JSON_STRING_H
#define PROTO_JSON_STRING_H

#include "base/slice.h"

/* The length of the run at the start of `text` that stands for itself: ASCII but control characters, '"' and '\'. */
size_t json_plain_len(struct slice text);

/*
 * Reads the escape at the start of `text` (after its '\'), a surrogate pair in one go, and gives its length. Half a
 * pair, and what is no escape, is U+FFFD.
 */
uint32_t json_escape(struct slice text, size_t *len);

/* The decoded bytes of a checked string, one by one. */
struct json_decoded {
	struct slice rest;
	uint8_t held[4]; /* of the escape that was read last */
	size_t held_len;
	size_t held_at;
};

/* -1 after the last one. */
int json_decoded_next(struct json_decoded *d);

/* Order of two checked strings (without their quotes) by their decoded bytes: below, above or 0. */
int json_string_compare(struct slice a, struct slice b);

#endif
