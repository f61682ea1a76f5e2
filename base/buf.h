/*
 * A growing buffer that cannot be made without a bound. Errors stick: after the first failed append every further one
 * fails the same way and changes nothing, so a writer may append a whole document and ask once at the end.
 * Never touches a file or a socket.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max; /* bytes; the bound given to buf_init */
	int error;  /* 0, -ENOMEM or -EMSGSIZE (the bound) */
};

void buf_init(struct buf *b, size_t max);
/* Safe on a zeroed struct and twice. */
void buf_done(struct buf *b);
/* Empties it and forgets the error; keeps the memory. */
void buf_reset(struct buf *b);

/*
 * Room for `more` bytes at once, for who knows about how many will come: appending makes it by and by. 0 or -ENOMEM; more
 * than the bound allows is no error here.
 */
int buf_reserve(struct buf *b, size_t more);

/* Each returns 0, -ENOMEM or -EMSGSIZE, which also stays in b->error. */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_slice(struct buf *b, struct slice s);
int buf_append_text(struct buf *b, const char *text);
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Borrows: valid until the next append, reset or done. */
struct slice buf_slice(const struct buf *b);
/* A terminating NUL that is not counted in len, for C strings. NULL when the buffer is in error. Borrows like buf_slice. */
const char *buf_text(struct buf *b);
/*
 * Takes the memory away: the caller owns *data (free()), the buffer is empty as after init. An empty buffer gives
 * a pointer that is not NULL. Returns b->error and sets nothing when an append failed.
 */
int buf_take(struct buf *b, uint8_t **data, size_t *len);

#endif
