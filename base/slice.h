/*
 * Borrowed bytes: a pointer and a length, never owned and never terminated. A slice is valid as long as what it was
 * cut from; callbacks that hand one out say until when.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *data;
	size_t len;
};

/* An empty slice that is not there at all (an optional field) has no data; one of length 0 may have. */
static inline bool slice_is_set(struct slice s)
{
	return s.data != NULL;
}

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){.data = data, .len = len};
}

/* `text` is a terminated string or NULL, which gives the slice that is not set. */
static inline struct slice slice_text(const char *text)
{
	return (struct slice){.data = (const uint8_t *)text, .len = text ? strlen(text) : 0};
}

static inline bool slice_is_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_is_text(struct slice s, const char *text)
{
	return slice_is_equal(s, slice_text(text));
}

/* For tables and shares: not for what somebody may want to collide. FNV-1a. */
#define SLICE_HASH_INIT UINT32_C(2166136261)
static inline uint32_t slice_hash_byte(uint32_t hash, uint8_t byte)
{
	return (hash ^ byte) * UINT32_C(16777619);
}

static inline uint32_t slice_hash(struct slice s)
{
	uint32_t hash = SLICE_HASH_INIT;

	for (size_t i = 0; i < s.len; i++)
		hash = slice_hash_byte(hash, s.data[i]);
	return hash;
}

/* For printf's "%.*s": SLICE_ARG(s) gives both arguments. Only for text known to be printable. */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

#endif
