#include "proto/json_keys.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/json_string.h"

/* Up to here comparing each with each is cheaper than hashing. */
#define FEW    16 /* a power of two */
#define PROBES 16

void json_keys_init(struct json_keys *k)
{
	k->list = k->first;
	k->len = 0;
	k->cap = JSON_KEYS_FIRST;
}

void json_keys_done(struct json_keys *k)
{
	if (k->list != k->first)
		free(k->list);
}

static int grow(struct json_keys *k)
{
	bool is_first = k->list == k->first;
	struct json_key *list = realloc(is_first ? NULL : k->list, 2 * k->cap * sizeof *list);

	if (!list)
		return -ENOMEM;
	if (is_first)
		memcpy(list, k->first, sizeof k->first);
	k->list = list;
	k->cap *= 2;
	return 0;
}

int json_keys_add(struct json_keys *k, struct slice key, bool has_escapes)
{
	if (k->len == k->cap && grow(k) < 0)
		return -ENOMEM;
	/* The hash comes with the end of the object, when there are enough keys to need it. */
	k->list[k->len].data = key.data;
	k->list[k->len].len = (uint32_t)key.len;
	k->list[k->len].has_escapes = has_escapes;
	k->len++;
	return 0;
}

static struct slice text_of(const struct json_key *key)
{
	return slice_of(key->data, key->len);
}

static bool is_same(const struct json_key *a, const struct json_key *b)
{
	if (a->has_escapes || b->has_escapes)
		return json_string_compare(text_of(a), text_of(b)) == 0;
	return slice_is_equal(text_of(a), text_of(b));
}

/* FNV-1a over the decoded bytes. */
static uint64_t hash_of(const struct json_key *key)
{
	struct json_decoded decoded = {.rest = text_of(key)};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	int byte;

	if (!key->has_escapes) {
		for (size_t i = 0; i < key->len; i++)
			hash = (hash ^ key->data[i]) * UINT64_C(0x100000001b3);
		return hash;
	}
	while ((byte = json_decoded_next(&decoded)) >= 0)
		hash = (hash ^ (uint64_t)byte) * UINT64_C(0x100000001b3);
	return hash;
}

static int compare_bytes(struct slice a, struct slice b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	if (order != 0 || a.len == b.len)
		return order;
	return a.len < b.len ? -1 : 1;
}

static int compare(const void *left, const void *right)
{
	const struct json_key *a = left;
	const struct json_key *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->has_escapes || b->has_escapes)
		return json_string_compare(text_of(a), text_of(b));
	return compare_bytes(text_of(a), text_of(b));
}

static const uint8_t *later(const struct json_key *a, const struct json_key *b)
{
	return a->data > b->data ? a->data : b->data;
}

static const uint8_t *find_among_few(const struct json_key *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (is_same(&keys[i], &keys[j]))
				return keys[i].data;
		}
	}
	return NULL;
}

static const uint8_t *find_by_sorting(struct json_key *keys, size_t n)
{
	qsort(keys, n, sizeof *keys, compare);
	for (size_t i = 1; i < n; i++) {
		if (compare(&keys[i - 1], &keys[i]) == 0)
			return later(&keys[i - 1], &keys[i]);
	}
	return NULL;
}

/*
 * Puts the keys into a table of indexes (0: free, else one more than the index) of twice their number. False when that
 * took more than PROBES looks a key, as it does for keys made to collide.
 */
static bool find_by_hashing(
	const struct json_key *keys, size_t n, uint32_t *table, size_t size, const uint8_t **out)
{
	size_t looks = PROBES * n;

	for (size_t i = 0; i < n; i++) {
		size_t slot = keys[i].hash & (size - 1);

		for (; table[slot]; slot = (slot + 1) & (size - 1)) {
			const struct json_key *other = &keys[table[slot] - 1];

			if (other->hash == keys[i].hash && is_same(other, &keys[i])) {
				*out = keys[i].data;
				return true;
			}
			if (looks-- == 0)
				return false;
		}
		table[slot] = (uint32_t)i + 1;
	}
	*out = NULL;
	return true;
}

static const uint8_t *find_among_many(struct json_key *keys, size_t n)
{
	const uint8_t *found = NULL;
	size_t size = 4 * FEW;
	uint32_t *table;
	bool done;

	while (size < 2 * n)
		size *= 2;
	for (size_t i = 0; i < n; i++)
		keys[i].hash = hash_of(&keys[i]);
	table = calloc(size, sizeof *table);
	done = table && find_by_hashing(keys, n, table, size, &found);
	free(table);
	return done ? found : find_by_sorting(keys, n);
}

const uint8_t *json_keys_end_object(struct json_keys *k, size_t start)
{
	struct json_key *keys = k->list + start;
	size_t n = k->len - start;

	k->len = start;
	return n <= FEW ? find_among_few(keys, n) : find_among_many(keys, n);
}
