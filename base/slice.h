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

/* For printf's "%.*s": SLICE_ARG(s) gives both arguments. Only for text known to be printable. */
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).data

#endif
