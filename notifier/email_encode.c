#include "notifier/email_encode.h"

#include <openssl/evp.h>

#include "base/utf8.h"

enum {
	LINE_MAX_BYTES = 76,
	NAME_BYTES = 22, /* taken of a header field's first line by its name */
	PLAIN_WORD_MAX = 50,
	WORD_BYTES = 30,   /* in one encoded word: with the field's name below 76 */
	BASE64_BYTES = 57, /* make a line of 76 */
};

static struct slice rest_of(struct slice s, size_t from)
{
	return slice_of(s.data + from, s.len - from);
}

/* ---- headers ---- */

static size_t word_len(struct slice text)
{
	const uint8_t *space = text.len ? memchr(text.data, ' ', text.len) : NULL;

	return space ? (size_t)(space - text.data) : text.len;
}

/* Printable ASCII in words with single spaces between them, which can be folded and never read as encoded words. */
static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
		if (text.data[i] == '=' && i + 1 < text.len && text.data[i + 1] == '?')
			return false;
	}
	while (text.len > 0) {
		size_t len = word_len(text);

		if (len == 0 || len > PLAIN_WORD_MAX || len + 1 == text.len)
			return false;
		text = rest_of(text, len < text.len ? len + 1 : len);
	}
	return true;
}

static void append_folded(struct buf *out, struct slice text)
{
	size_t column = NAME_BYTES;

	while (text.len > 0) {
		size_t len = word_len(text);

		buf_append(out, text.data, len);
		column += len;
		text = rest_of(text, len);
		if (text.len == 0)
			break;
		text = rest_of(text, 1);
		if (column + 1 + word_len(text) > LINE_MAX_BYTES) {
			buf_append_text(out, "\r\n");
			column = 0;
		}
		buf_append_byte(out, ' ');
		column++;
	}
}

static void append_base64(struct buf *out, struct slice bytes)
{
	uint8_t text[4 * ((BASE64_BYTES + 2) / 3) + 1];
	int len = EVP_EncodeBlock(text, bytes.data, (int)bytes.len);

	buf_append(out, text, (size_t)len);
}

static void append_word(struct buf *out, struct slice bytes)
{
	buf_append_text(out, "=?UTF-8?B?");
	append_base64(out, bytes);
	buf_append_text(out, "?=");
}

/* The first character as it goes into a word; `len`: of `text`. */
static struct slice first_char(struct slice text, size_t *len)
{
	*len = utf8_char_len(text);
	if (*len == 1 && (text.data[0] < 0x20 || text.data[0] == 0x7f))
		return slice_text(" ");
	if (*len > 0)
		return slice_of(text.data, *len);
	*len = 1;
	return slice_text("\xef\xbf\xbd");
}

int email_encode_words(struct buf *out, struct slice text)
{
	uint8_t word[WORD_BYTES];
	size_t word_bytes = 0;

	while (text.len > 0) {
		size_t len;
		struct slice c = first_char(text, &len);

		if (word_bytes + c.len > WORD_BYTES) {
			append_word(out, slice_of(word, word_bytes));
			buf_append_text(out, "\r\n ");
			word_bytes = 0;
		}
		memcpy(word + word_bytes, c.data, c.len);
		word_bytes += c.len;
		text = rest_of(text, len);
	}
	if (word_bytes > 0)
		append_word(out, slice_of(word, word_bytes));
	return out->error;
}

int email_encode_header(struct buf *out, struct slice text)
{
	if (!is_plain(text))
		return email_encode_words(out, text);
	append_folded(out, text);
	return out->error;
}

/* ---- bodies ---- */

static bool is_literal(uint8_t c)
{
	return (c > 0x20 && c < 0x7f && c != '=') || c == ' ' || c == '\t';
}

/* Bytes of the line's end that stands at `at`; 0: none does. */
static size_t line_end_len(struct slice text, size_t at)
{
	if (text.data[at] == '\n')
		return 1;
	if (text.data[at] != '\r')
		return 0;
	return at + 1 < text.len && text.data[at + 1] == '\n' ? 2 : 1;
}

/* A blank at a line's end would be lost on the way. */
static bool must_be_quoted(struct slice text, size_t at)
{
	bool is_last = at + 1 == text.len || line_end_len(text, at + 1) > 0;

	return !is_literal(text.data[at]) || (is_last && (text.data[at] == ' ' || text.data[at] == '\t'));
}

static void append_quoted_byte(struct buf *out, struct slice text, size_t at, size_t *column)
{
	bool is_quoted = must_be_quoted(text, at);
	size_t len = is_quoted ? 3 : 1;

	if (*column + len > LINE_MAX_BYTES - 1) {
		buf_append_text(out, "=\r\n");
		*column = 0;
	}
	if (is_quoted)
		buf_printf(out, "=%02X", text.data[at]);
	else
		buf_append_byte(out, text.data[at]);
	*column += len;
}

int email_encode_quoted(struct buf *out, struct slice text)
{
	size_t column = 0;

	for (size_t i = 0, end; i < text.len && !out->error; i += end ? end : 1) {
		end = line_end_len(text, i);
		if (end == 0) {
			append_quoted_byte(out, text, i, &column);
		} else {
			buf_append_text(out, "\r\n");
			column = 0;
		}
	}
	if (column > 0)
		buf_append_text(out, "\r\n");
	return out->error;
}

int email_encode_base64(struct buf *out, struct slice bytes)
{
	while (bytes.len > 0 && !out->error) {
		size_t len = bytes.len < BASE64_BYTES ? bytes.len : BASE64_BYTES;

		append_base64(out, slice_of(bytes.data, len));
		buf_append_text(out, "\r\n");
		bytes = rest_of(bytes, len);
	}
	return out->error;
}

int email_encode_base64_text(struct buf *out, struct slice text)
{
	uint8_t line[BASE64_BYTES + 1];
	size_t len = 0;

	for (size_t i = 0, end; i < text.len && !out->error; i += end ? end : 1) {
		end = line_end_len(text, i);
		line[len++] = end ? '\r' : text.data[i];
		if (end)
			line[len++] = '\n';
		if (len < BASE64_BYTES)
			continue;
		email_encode_base64(out, slice_of(line, BASE64_BYTES));
		line[0] = line[BASE64_BYTES];
		len -= BASE64_BYTES;
	}
	return email_encode_base64(out, slice_of(line, len));
}

bool email_encode_prefers_quoted(struct slice text)
{
	size_t quoted = 0;

	for (size_t i = 0; i < text.len; i++)
		quoted += !is_literal(text.data[i]) && line_end_len(text, i) == 0;
	return quoted * 4 <= text.len;
}
