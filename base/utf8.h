/*
 * UTF-8, one character at a time, strict: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* Bytes of the character that `text` begins with: 1 to 4, or 0 when it begins with none (or is empty). */
static inline size_t utf8_step(struct slice text)
{
	const uint8_t *p = text.data;
	size_t len = text.len == 0 ? 0
		     : p[0] < 0x80 ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
				   : 4;

	if (len == 0 || len > text.len || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (len > 1) {
		uint8_t least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
		uint8_t most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

		if (p[1] < least || p[1] > most)
			return 0;
	}
	return len;
}

#endif
