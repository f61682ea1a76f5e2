#include "gateway/header.h"

#include <strings.h>

static bool is_clean(const char *value)
{
	for (; *value; value++)
		if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

/* Where the line of this name begins; lines->len: there is none. *len with its end. */
static size_t find(const struct buf *lines, const char *name, size_t *len)
{
	size_t name_len = strlen(name);

	for (size_t at = 0; at < lines->len; at += *len) {
		const uint8_t *line = lines->data + at;
		const uint8_t *end = memchr(line, '\n', lines->len - at);

		*len = end ? (size_t)(end - line) + 1 : lines->len - at;
		if (*len > name_len && line[name_len] == ':' &&
			strncasecmp((const char *)line, name, name_len) == 0)
			return at;
	}
	*len = 0;
	return lines->len;
}

bool header_is_set(const struct buf *lines, const char *name)
{
	size_t len;

	return find(lines, name, &len) < lines->len;
}

void header_remove(struct buf *lines, const char *name)
{
	size_t len, at = find(lines, name, &len);

	if (len == 0)
		return;
	memmove(lines->data + at, lines->data + at + len, lines->len - at - len);
	lines->len -= len;
}

void header_set(struct buf *lines, const char *name, const char *value)
{
	if (!is_clean(value))
		return;
	header_remove(lines, name);
	buf_append_text(lines, name);
	buf_append(lines, ": ", 2);
	buf_append_text(lines, value);
	buf_append(lines, "\r\n", 2);
}
