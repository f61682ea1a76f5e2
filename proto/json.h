/*
 * The JSON scanner: strict RFC 8259 over UTF-8 (no BOM, no text after the value, no duplicate keys), with offsets, so
 * that a payload inside an envelope is found and passed on without changing a byte. Never decodes numbers, never builds
 * a tree; allocates only to find duplicate keys, and only in objects of many.
 *
 * An escaped surrogate without its other half ("\ud800") is valid by the grammar and passes, as the bytes travel
 * unchanged; decoded it is U+FFFD. Keys count as duplicates when they are equal decoded ("a" and "\u0061").
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include "base/buf.h"
#include "base/utf8.h"

#define JSON_DEPTH_MAX 64

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_error {
	size_t offset;	 /* bytes from the start of the text */
	char reason[96]; /* never holds bytes of the text */
};

/* Strict check of one whole text: syntax, UTF-8, depth, duplicate keys at every level. 0, -EBADMSG with *error, -ENOMEM. */
int json_check(struct slice text, struct json_error *error);

/* Of a value that passed json_check (white space around it is allowed). */
enum json_type json_type_of(struct slice value);

/*
 * Members of a checked object, in order:  struct json_member m = {0}; while (json_next_member(object, &m)) …
 * Items of a checked array likewise. All slices point into the text; `value` bears no white space around it.
 */
struct json_member {
	struct slice key; /* between its quotes, escapes as they stand */
	struct slice value;
	size_t offset; /* where the next one is looked for; 0 to start */
};
/* False after the last one, and for a value that is no object. */
bool json_next_member(struct slice object, struct json_member *m);

struct json_item {
	struct slice value;
	size_t offset;
};
/* False after the last one, and for a value that is no array. */
bool json_next_item(struct slice array, struct json_item *i);

/* True when the key, its escapes decoded, is this text. */
bool json_key_is(struct slice key, const char *text);
/* Appends the decoded bytes of a checked string value (with its quotes) or of a key (without). 0 or the buffer's error. */
int json_decode_string(struct slice value, struct buf *out);
/*
 * Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, so the outcome is always
 * valid.
 */
int json_append_string(struct buf *out, struct slice text);

#endif
