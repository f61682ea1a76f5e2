/*
 * UTF-8 as Unicode defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Never allocates but through the
 * caller's buffer.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/buf.h"

bool utf8_is_valid(struct slice text);
/* Bytes of the character at the start of `text` (1 to 4); 0 when there is none or it is not valid. */
size_t utf8_char_len(struct slice text);
/* The longest prefix of at most `max` bytes that does not cut a character. */
size_t utf8_cut(struct slice text, size_t max);
/* Appends one character; `code` is a Unicode scalar value. 0 or the buffer's error. */
int utf8_append(struct buf *out, uint32_t code);
/* Appends `text`, each byte that belongs to no character replaced by U+FFFD. 0 or the buffer's error. */
int utf8_append_valid(struct buf *out, struct slice text);

#endif
