/*
 * What a long-lived child says on stderr, as log lines: one a line, cut, at most LINES_A_SECOND of them; what was left
 * out is counted in the next one.
 */
#ifndef PROCESSOR_LINES_H
#define PROCESSOR_LINES_H

#include "base/slice.h"

#define LINE_MAX_LEN   480
#define LINES_A_SECOND 20

struct lines {
	uint8_t line[LINE_MAX_LEN];
	size_t len;
	int64_t second;
	unsigned logged, left_out;
};

/* `task` and `pid` stand beside each line. */
void lines_add(struct lines *l, struct slice bytes, const char *task, int64_t pid);
/* The last line may have no end. */
void lines_finish(struct lines *l, const char *task, int64_t pid);

#endif
