/*
 * Messages put together from hand-written pieces of msgpack, for tests of what decoders refuse.
 */
#ifndef TESTS_WIRE_TEXT_H
#define TESTS_WIRE_TEXT_H

#include "proto/wire.h"

struct wire_text {
	const char *data; /* NULL: leave it out */
	size_t len;
};

struct wire_pair {
	const char *key;
	struct wire_text value;
};

#define WIRE(literal)                          \
	{                                      \
		(literal), sizeof(literal) - 1 \
	}

static inline void wire_put(struct buf *out, const char *key, struct wire_text value)
{
	assert_int_equal(wire_str(slice_text(key), out), 0);
	assert_int_equal(buf_append(out, value.data, value.len), 0);
}

/* The pairs as a map, in which `key` bears `value` instead, or also when it is new. The caller frees the buffer. */
static inline struct buf wire_message(
	const struct wire_pair *pairs, size_t n, const char *key, struct wire_text value)
{
	struct buf body, out;
	uint8_t count = 0;
	bool is_new = true;

	buf_init(&body, 100000);
	buf_init(&out, 100000);
	for (size_t i = 0; i < n; i++) {
		bool is_it = strcmp(pairs[i].key, key) == 0;

		is_new = is_new && !is_it;
		if (is_it && !value.data)
			continue;
		wire_put(&body, pairs[i].key, is_it ? value : pairs[i].value);
		count++;
	}
	if (is_new && value.data) {
		wire_put(&body, key, value);
		count++;
	}
	buf_append_byte(&out, 0xde);
	buf_append_byte(&out, 0);
	buf_append_byte(&out, count);
	assert_int_equal(buf_append_slice(&out, buf_slice(&body)), 0);
	buf_done(&body);
	return out;
}

/* What a decoder should say of a message with one value changed. */
struct wire_case {
	const char *key;
	struct wire_text value;
	const char *path;
	const char *reason;
};

#define ASSERT_REFUSED(name, pairs, c)                                                                 \
	do {                                                                                           \
		struct buf message =                                                                   \
			wire_message((pairs), sizeof(pairs) / sizeof(*(pairs)), (c)->key, (c)->value); \
		struct decode_error error;                                                             \
		struct name out;                                                                       \
                                                                                                       \
		assert_int_equal(name##_decode(buf_slice(&message), &out, &error), -EBADMSG);          \
		assert_string_equal(error.path, (c)->path);                                            \
		assert_string_equal(error.reason, (c)->reason);                                        \
		buf_done(&message);                                                                    \
	} while (0)

#endif
