/*
 * Frames on a pipe: a 4-byte big-endian length, then so many bytes. Reads them from pieces of any size; memory grows
 * with what has come, never with what a length promises. Pure: no descriptors.
 */
#ifndef PROCESSOR_FRAME_H
#define PROCESSOR_FRAME_H

#include "base/buf.h"

#define FRAME_HEAD_LEN 4

struct frame_reader {
	uint8_t head[FRAME_HEAD_LEN];
	size_t head_len;
	size_t body_len; /* once the head is complete */
	struct buf body;
};

/* `max`: the longest frame. */
void frame_reader_init(struct frame_reader *r, size_t max);
void frame_reader_done(struct frame_reader *r);

/*
 * Takes bytes from the front of *bytes. 1: a frame is complete, *frame is borrowed until the next call; 0: all was taken,
 * more is needed; -EMSGSIZE: longer than the bound (r->body_len says how long); -ENOMEM. After an error the reader is of
 * no use any more.
 */
int frame_read(struct frame_reader *r, struct slice *bytes, struct slice *frame);

void frame_head(size_t len, uint8_t out[FRAME_HEAD_LEN]);

#endif
