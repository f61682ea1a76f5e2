#include "processor/frame.h"

#include <errno.h>

void frame_reader_init(struct frame_reader *r, size_t max)
{
	*r = (struct frame_reader){0};
	buf_init(&r->body, max);
}

void frame_reader_done(struct frame_reader *r)
{
	buf_done(&r->body);
}

static void take(struct slice *bytes, size_t n)
{
	bytes->data += n;
	bytes->len -= n;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void read_head(struct frame_reader *r, struct slice *bytes)
{
	size_t n = smaller(FRAME_HEAD_LEN - r->head_len, bytes->len);

	memcpy(r->head + r->head_len, bytes->data, n);
	r->head_len += n;
	take(bytes, n);
	if (r->head_len == FRAME_HEAD_LEN) {
		r->body_len = (size_t)r->head[0] << 24 | (size_t)r->head[1] << 16 | (size_t)r->head[2] << 8 |
			      r->head[3];
		buf_reset(&r->body);
	}
}

int frame_read(struct frame_reader *r, struct slice *bytes, struct slice *frame)
{
	size_t n;
	int rc;

	if (bytes->len == 0)
		return 0;
	if (r->head_len < FRAME_HEAD_LEN)
		read_head(r, bytes);
	if (r->head_len < FRAME_HEAD_LEN)
		return 0;
	if (r->body_len > r->body.max)
		return -EMSGSIZE;
	n = smaller(r->body_len - r->body.len, bytes->len);
	rc = n ? buf_append(&r->body, bytes->data, n) : 0;
	if (rc < 0)
		return rc;
	take(bytes, n);
	if (r->body.len < r->body_len)
		return 0;
	r->head_len = 0;
	*frame = buf_slice(&r->body);
	return 1;
}

void frame_head(size_t len, uint8_t out[FRAME_HEAD_LEN])
{
	out[0] = (uint8_t)(len >> 24);
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
}
