/*
 * Hexadecimal digits, of either case.
 */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <errno.h>

#include "base/slice.h"

/* 0 to 15; -1 for what is no digit. */
static inline int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly `len` bytes. 0; -EINVAL leaves `out` undefined. */
static inline int hex_decode(struct slice text, uint8_t *out, size_t len)
{
	if (text.len != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

#endif
