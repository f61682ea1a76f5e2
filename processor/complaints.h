/*
 * What is wrong with one handler's options, as the configuration reader tells it:
 * "file:line: processor.handlers[2].exec: what".
 */
#ifndef PROCESSOR_COMPLAINTS_H
#define PROCESSOR_COMPLAINTS_H

#include "base/buf.h"

struct complaints {
	const char *path; /* of the file */
	int line;	  /* of the handler */
	size_t index;	  /* in the list, from 0 */
	struct buf *lines;
	int count;
};

/* `option` as it stands in the handler, "http.url"; "" for the handler as a whole. */
void complain(struct complaints *c, const char *option, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
