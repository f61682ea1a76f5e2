/*
 * Sweeps that every decoder and encoder goes through. Inputs are copied to memory of their exact length, so that
 * AddressSanitizer sees the first byte read beyond.
 */
#ifndef TESTS_SWEEPS_H
#define TESTS_SWEEPS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"

/* Decodes and, where that worked, encodes and decodes again and compares; 0 or the decoder's error. */
typedef int sweep_decode(struct slice bytes);
typedef int sweep_encode(struct buf *out);

static inline int sweep_one(sweep_decode *decode, struct slice bytes)
{
	uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, bytes.data, bytes.len);
	rc = decode(slice_of(copy, bytes.len));
	free(copy);
	return rc;
}

static inline void sweep_prefixes(sweep_decode *decode, struct slice good)
{
	assert_int_equal(sweep_one(decode, good), 0);
	for (size_t len = 0; len < good.len; len++)
		assert_int_equal(sweep_one(decode, slice_of(good.data, len)), -EBADMSG);
}

/* Each byte takes every value: nothing crashes, and what is still accepted survives the round trip. */
static inline void sweep_mutations(sweep_decode *decode, struct slice good)
{
	uint8_t *copy = malloc(good.len);

	assert_non_null(copy);
	memcpy(copy, good.data, good.len);
	for (size_t i = 0; i < good.len; i++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			int rc;

			copy[i] = (uint8_t)byte;
			rc = decode(slice_of(copy, good.len));
			assert_true(rc == 0 || rc == -EBADMSG || rc == -ENOMSG);
		}
		copy[i] = good.data[i];
	}
	free(copy);
}

/* Each smaller bound is refused and keeps within itself; the exact one is enough. */
static inline void sweep_bounds(sweep_encode *encode)
{
	struct buf whole, b;

	buf_init(&whole, SIZE_MAX / 2);
	assert_int_equal(encode(&whole), 0);
	for (size_t max = 0; max < whole.len; max++) {
		buf_init(&b, max);
		assert_int_equal(encode(&b), -EMSGSIZE);
		assert_true(b.len <= max);
		buf_done(&b);
	}
	buf_init(&b, whole.len);
	assert_int_equal(encode(&b), 0);
	assert_true(slice_is_equal(buf_slice(&b), buf_slice(&whole)));
	buf_done(&b);
	buf_done(&whole);
}

#endif
