#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->error = 0;
}

/* Room for `more` bytes and the NUL of buf_text, which the bound does not count. */
static int reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST;
	uint8_t *data;

	if (b->error)
		return b->error;
	if (more > b->max - b->len)
		return b->error = -EMSGSIZE;
	if (b->len + more < b->cap)
		return 0;
	while (cap <= b->len + more)
		cap += cap / 2 + 1;
	if (cap > b->max)
		cap = b->max + 1;
	data = realloc(b->data, cap);
	if (!data)
		return b->error = -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t room = b->max - b->len;

	return reserve(b, more < room ? more : room);
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	int rc = reserve(b, len);

	if (rc < 0)
		return rc;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int buf_append_slice(struct buf *b, struct slice s)
{
	return buf_append(b, s.data, s.len);
}

int buf_append_text(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
	return buf_append(b, &byte, 1);
}

int buf_vprintf(struct buf *b, const char *format, va_list args)
{
	va_list again;
	int len;
	int rc;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	rc = len < 0 ? (b->error = -EINVAL) : reserve(b, (size_t)len);
	if (rc < 0)
		return rc;
	vsnprintf((char *)b->data + b->len, (size_t)len + 1, format, args);
	b->len += (size_t)len;
	return 0;
}

int buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = buf_vprintf(b, format, args);
	va_end(args);
	return rc;
}

struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->data, b->len);
}

const char *buf_text(struct buf *b)
{
	if (reserve(b, 0) < 0)
		return NULL;
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

int buf_take(struct buf *b, uint8_t **data, size_t *len)
{
	if (!buf_text(b))
		return b->error;
	*data = b->data;
	*len = b->len;
	*b = (struct buf){.max = b->max};
	return 0;
}
