#include "proto/json_string.h"

#include "base/hex.h"
#include "proto/json.h"

#define REPLACEMENT 0xfffd
#define EACH(byte)  (UINT64_C(0x0101010101010101) * (byte))

/*
 * Not zero when one of the eight bytes is a control character, '"', '\' or beyond ASCII. A borrow may blame a byte above
 * a real one, never miss one.
 */
static uint64_t is_special(uint64_t word)
{
	uint64_t quote = word ^ EACH('"');
	uint64_t backslash = word ^ EACH('\\');

	return (word | (word - EACH(0x20)) | (quote - EACH(1)) | (backslash - EACH(1))) & EACH(0x80);
}

size_t json_plain_len(struct slice text)
{
	size_t i = 0;

	for (; text.len - i >= 8; i += 8) {
		uint64_t word;

		memcpy(&word, text.data + i, 8);
		if (is_special(word))
			break;
	}
	while (i < text.len && text.data[i] >= 0x20 && text.data[i] < 0x80 && text.data[i] != '"' &&
		text.data[i] != '\\')
		i++;
	return i;
}

/* "uXXXX"; -1 for anything else. */
static int32_t read_unit(struct slice text)
{
	int32_t unit = 0;

	if (text.len < 5 || text.data[0] != 'u')
		return -1;
	for (size_t i = 1; i < 5; i++) {
		int digit = hex_value(text.data[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static struct slice after(struct slice s, size_t len)
{
	return slice_of(s.data + len, s.len - len);
}

static bool is_high(int32_t unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int32_t unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static uint32_t read_units(struct slice text, size_t *len)
{
	int32_t high = read_unit(text);
	int32_t low;

	*len = high < 0 ? 1 : 5;
	if (high < 0 || is_low(high))
		return REPLACEMENT;
	if (!is_high(high))
		return (uint32_t)high;
	low = text.len > 6 && text.data[5] == '\\' ? read_unit(after(text, 6)) : -1;
	if (!is_low(low))
		return REPLACEMENT;
	*len = 11;
	return 0x10000U + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}

uint32_t json_escape(struct slice text, size_t *len)
{
	*len = text.len > 0 ? 1 : 0;
	switch (text.len > 0 ? text.data[0] : 0) {
	case '"':
	case '\\':
	case '/': return text.data[0];
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'u': return read_units(text, len);
	default: return REPLACEMENT;
	}
}

int json_decoded_next(struct json_decoded *d)
{
	struct buf held = {.data = d->held, .cap = sizeof d->held + 1, .max = sizeof d->held};
	uint8_t byte;
	uint32_t code;
	size_t len;

	if (d->held_at < d->held_len)
		return d->held[d->held_at++];
	if (d->rest.len == 0)
		return -1;
	byte = d->rest.data[0];
	d->rest = after(d->rest, 1);
	if (byte != '\\')
		return byte;
	code = json_escape(d->rest, &len);
	d->rest = after(d->rest, len);
	utf8_append(&held, code);
	d->held_len = held.len;
	d->held_at = 1;
	return d->held[0];
}

int json_string_compare(struct slice a, struct slice b)
{
	struct json_decoded left = {.rest = a};
	struct json_decoded right = {.rest = b};

	while (true) {
		int x = json_decoded_next(&left);
		int y = json_decoded_next(&right);

		if (x != y)
			return x < y ? -1 : 1;
		if (x < 0)
			return 0;
	}
}

bool json_key_is(struct slice key, const char *text)
{
	struct json_decoded decoded = {.rest = key};

	while (true) {
		int byte = json_decoded_next(&decoded);

		if (byte < 0)
			return *text == '\0';
		/* A decoded NUL is no end: it equals no byte of the text. */
		if (byte == 0 || byte != (uint8_t)*text++)
			return false;
	}
}

static struct slice without_quotes(struct slice value)
{
	bool has_quotes = value.len >= 2 && value.data[0] == '"';

	return has_quotes ? slice_of(value.data + 1, value.len - 2) : value;
}

int json_decode_string(struct slice value, struct buf *out)
{
	struct slice rest = without_quotes(value);

	while (rest.len > 0) {
		const uint8_t *backslash = memchr(rest.data, '\\', rest.len);
		size_t len = backslash ? (size_t)(backslash - rest.data) : rest.len;

		buf_append(out, rest.data, len);
		rest = after(rest, len);
		if (rest.len > 0) {
			uint32_t code = json_escape(after(rest, 1), &len);

			utf8_append(out, code);
			rest = after(rest, 1 + len);
		}
	}
	return out->error;
}

static int append_special(struct buf *out, uint8_t byte)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *form = short_forms; *form; form += 2) {
		if (byte == (uint8_t)*form) {
			buf_append_byte(out, '\\');
			return buf_append_byte(out, (uint8_t)form[1]);
		}
	}
	return buf_printf(out, "\\u%04x", byte);
}

int json_append_string(struct buf *out, struct slice text)
{
	buf_append_byte(out, '"');
	while (text.len > 0) {
		size_t len = json_plain_len(text);

		if (len == 0 && text.data[0] >= 0x80)
			len = utf8_char_len(text);
		if (len > 0) {
			buf_append(out, text.data, len);
		} else {
			if (text.data[0] >= 0x80)
				utf8_append(out, REPLACEMENT);
			else
				append_special(out, text.data[0]);
			len = 1;
		}
		text = after(text, len);
	}
	return buf_append_byte(out, '"');
}
