/*
 * The keys of the objects that a scan has open, and the search for duplicates among those of one object. Private to
 * proto. Keys are borrowed from the text.
 */
#ifndef PROTO_JSON_KEYS_H
#define PROTO_JSON_KEYS_H

#include "base/slice.h"

struct json_key {
	const uint8_t *data; /* between its quotes */
	uint32_t len;
	bool has_escapes;
	uint64_t hash;
};

#define JSON_KEYS_FIRST 64 /* kept without allocating */

struct json_keys {
	struct json_key *list;
	size_t len;
	size_t cap;
	struct json_key first[JSON_KEYS_FIRST];
};

void json_keys_init(struct json_keys *k);
void json_keys_done(struct json_keys *k);
/* 0 or -ENOMEM. */
int json_keys_add(struct json_keys *k, struct slice key, bool has_escapes);
/*
 * Takes away the keys from index `start` on, those of the object that ends. The later one of two that are equal when
 * decoded, or NULL. Linear, and n log n for keys that were made to collide.
 */
const uint8_t *json_keys_end_object(struct json_keys *k, size_t start);

#endif
