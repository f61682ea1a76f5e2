#include "runtime/quote.h"

#include "base/utf8.h"

#define REPLACEMENT 0xfffd

static void append_json_byte(struct buf *out, uint8_t byte)
{
	static const char letters[128] = {['"'] = '"',
		['\\'] = '\\',
		['\b'] = 'b',
		['\f'] = 'f',
		['\n'] = 'n',
		['\r'] = 'r',
		['\t'] = 't'};

	if (letters[byte])
		buf_printf(out, "\\%c", letters[byte]);
	else if (byte < 0x20 || byte == 0x7f)
		buf_printf(out, "\\u%04x", byte);
	else
		buf_append_byte(out, byte);
}

int quote_json(struct buf *out, struct slice text)
{
	buf_append_byte(out, '"');
	for (size_t i = 0, len; i < text.len; i += len ? len : 1) {
		len = utf8_char_len(slice_of(text.data + i, text.len - i));
		if (len == 1)
			append_json_byte(out, text.data[i]);
		else if (len > 1)
			buf_append(out, text.data + i, len);
		else
			utf8_append(out, REPLACEMENT);
	}
	return buf_append_byte(out, '"');
}

int quote_plain(struct buf *out, struct slice text, size_t max)
{
	for (size_t i = 0, len; i < text.len; i += len ? len : 1) {
		len = utf8_char_len(slice_of(text.data + i, text.len - i));
		if (i + (len ? len : 1) > max)
			return buf_append_text(out, "...");
		if (len == 0 || text.data[i] < 0x20 || text.data[i] == 0x7f ||
			(text.data[i] == 0xc2 && text.data[i + 1] < 0xa0))
			buf_append_byte(out, '?');
		else
			buf_append(out, text.data + i, len);
	}
	return out->error;
}
