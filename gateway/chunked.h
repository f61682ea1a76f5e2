/*
 * The framing of a chunked body, checked strictly: sizes of at most eight hexadecimal digits, extensions and trailers
 * bounded and dropped. Only framing passes through here; whoever reads moves the data itself. Pure: no I/O.
 */
#ifndef GATEWAY_CHUNKED_H
#define GATEWAY_CHUNKED_H

#include "base/slice.h"

#define CHUNKED_EXTRA_MAX ((size_t)4096) /* bytes of all extensions and trailers of one body */

enum chunked_status {
	CHUNKED_MORE,  /* framing goes on */
	CHUNKED_DATA,  /* the next bytes are data: c->left of them; say chunked_moved */
	CHUNKED_DONE,  /* the body has ended */
	CHUNKED_WRONG, /* not chunked framing */
};

enum chunked_state {
	CHUNKED_IN_SIZE,
	CHUNKED_BEHIND_SIZE, /* blanks, which some senders leave there */
	CHUNKED_IN_EXTENSION,
	CHUNKED_AT_SIZE_LF,
	CHUNKED_IN_DATA,
	CHUNKED_AT_DATA_CR,
	CHUNKED_AT_DATA_LF,
	CHUNKED_AT_TRAILER, /* the beginning of a line behind the last chunk */
	CHUNKED_IN_TRAILER,
	CHUNKED_AT_TRAILER_LF,
	CHUNKED_AT_END_LF,
};

struct chunked {
	enum chunked_state state;
	uint64_t left; /* bytes of the current chunk's data still to come */
	unsigned digits;
	size_t extra;
};

void chunked_init(struct chunked *c);
/* Takes framing bytes until data begins or the body ends; *used tells how many. */
enum chunked_status chunked_feed(struct chunked *c, struct slice bytes, size_t *used);
/* `len` bytes of data were moved, at most c->left. True when that was the chunk's last. */
bool chunked_moved(struct chunked *c, uint64_t len);

#endif
