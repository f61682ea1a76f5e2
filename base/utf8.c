#include "base/utf8.h"

#define REPLACEMENT 0xfffd

/* Eight bytes at a time: most text is ASCII. */
static size_t ascii_len(struct slice text)
{
	size_t i = 0;

	for (; text.len - i >= 8; i += 8) {
		uint64_t word;

		memcpy(&word, text.data + i, 8);
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
	while (i < text.len && text.data[i] < 0x80)
		i++;
	return i;
}

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* The second byte's range is what excludes overlong forms, surrogates and everything above U+10FFFF. */
static bool is_second(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0: return second >= 0xa0 && second <= 0xbf;
	case 0xed: return second >= 0x80 && second <= 0x9f;
	case 0xf0: return second >= 0x90 && second <= 0xbf;
	case 0xf4: return second >= 0x80 && second <= 0x8f;
	default: return is_continuation(second);
	}
}

size_t utf8_char_len(struct slice text)
{
	uint8_t first = text.len > 0 ? text.data[0] : 0xff;
	size_t len;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (text.len < len || !is_second(first, text.data[1]))
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (!is_continuation(text.data[i]))
			return 0;
	}
	return len;
}

static struct slice after(struct slice text, size_t len)
{
	return slice_of(text.data + len, text.len - len);
}

bool utf8_is_valid(struct slice text)
{
	while (text.len > 0) {
		size_t len = ascii_len(text);

		if (len == 0)
			len = utf8_char_len(text);
		if (len == 0)
			return false;
		text = after(text, len);
	}
	return true;
}

size_t utf8_cut(struct slice text, size_t max)
{
	size_t len = max;

	if (text.len <= max)
		return text.len;
	while (len > 0 && max - len < 3 && is_continuation(text.data[len]))
		len--;
	return len;
}

int utf8_append(struct buf *out, uint32_t code)
{
	uint8_t bytes[4];
	size_t len = 0;

	if (code < 0x80) {
		bytes[len++] = (uint8_t)code;
	} else if (code < 0x800) {
		bytes[len++] = (uint8_t)(0xc0 | code >> 6);
		bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		bytes[len++] = (uint8_t)(0xe0 | code >> 12);
		bytes[len++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
		bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
	} else {
		bytes[len++] = (uint8_t)(0xf0 | code >> 18);
		bytes[len++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
		bytes[len++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
		bytes[len++] = (uint8_t)(0x80 | (code & 0x3f));
	}
	return buf_append(out, bytes, len);
}

int utf8_append_valid(struct buf *out, struct slice text)
{
	while (text.len > 0) {
		size_t len = ascii_len(text);

		if (len == 0)
			len = utf8_char_len(text);
		if (len == 0) {
			utf8_append(out, REPLACEMENT);
			len = 1;
		} else {
			buf_append(out, text.data, len);
		}
		text = after(text, len);
	}
	return out->error;
}
