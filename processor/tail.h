/*
 * The end of a stream of bytes: keeps the last TAIL_MAX, whatever comes.
 */
#ifndef PROCESSOR_TAIL_H
#define PROCESSOR_TAIL_H

#include "base/buf.h"

#define TAIL_MAX 4096

struct tail {
	uint8_t ring[TAIL_MAX];
	uint64_t total; /* bytes seen */
};

void tail_add(struct tail *t, struct slice bytes);
/* Appends it as text: valid UTF-8, beginning with a whole character, no white space at its end. 0 or the buffer's error. */
int tail_text(const struct tail *t, struct buf *out);

#endif
