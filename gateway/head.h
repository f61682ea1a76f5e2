/*
 * The head of one HTTP/1.x request, checked strictly: what two servers
 * could read in two ways (smuggling) is refused, as are obsolete folding, control characters and line ends that are not
 * CRLF. Incremental: the outcome does not depend on how the bytes were cut. Pure: no I/O, no clock.
 *
 * Accepted: at most HEAD_EMPTY_LINES_MAX empty lines, METHOD SP TARGET SP HTTP/1.0|1.1, then fields. TARGET is in origin
 * form, or absolute http(s) form (its authority is dropped), or "*" for OPTIONS.
 */
#ifndef GATEWAY_HEAD_H
#define GATEWAY_HEAD_H

#include "base/buf.h"
#include "gateway/call.h"

#define HEAD_FIELDS_MAX	     100
#define HEAD_EMPTY_LINES_MAX 2

enum head_status { HEAD_MORE, HEAD_DONE, HEAD_REFUSED };

struct head_field {
	uint32_t name, name_len; /* offsets into text */
	uint32_t value, value_len;
};

struct head {
	struct buf text; /* all lines as received, without the empty ones before the first */
	size_t max;	 /* bytes of text allowed */
	size_t line;	 /* where the unfinished line begins in text */
	unsigned empty_lines;
	unsigned seen; /* single fields that have come, by bit */
	struct head_field fields[HEAD_FIELDS_MAX];
	size_t fields_len;
	uint32_t target, target_len; /* path and query as sent; offsets into text */
	bool has_close, has_keep_alive;

	/* Set when HEAD_DONE. */
	enum call_method method;
	unsigned minor;		/* of HTTP/1.x */
	int64_t content_length; /* -1: none given */
	bool is_chunked;
	bool is_kept; /* the client wants the connection kept */
	bool expects_continue;

	/* Set when HEAD_REFUSED. */
	enum problem problem;
	const char *why; /* a sentence, a literal */
};

/* `max`: bytes of one head with its last empty line, at most 1 MiB. */
void head_init(struct head *h, size_t max);
void head_done(struct head *h);
/* Ready for the next request; gives the memory back. */
void head_reset(struct head *h);
/* True when bytes of a request have come (empty lines are none). */
bool head_is_begun(const struct head *h);

/* Takes bytes; *used tells how many belonged to the head. After DONE or REFUSED: not before head_reset. */
enum head_status head_feed(struct head *h, struct slice bytes, size_t *used);

/* Of a head that is DONE. Borrow from it. */
struct slice head_target(const struct head *h);
/* The first field of that name, any case; unset: none. */
struct slice head_field(const struct head *h, const char *name);
/* The next of that name; *at: 0 at first. False: there is none. For lists that may stand in several lines. */
bool head_next_field(const struct head *h, const char *name, size_t *at, struct slice *value);
/* True when a field of that name, a list in one line or several, has the token; any case. */
bool head_has_token(const struct head *h, const char *name, const char *token);
bool head_has_body(const struct head *h);

#endif
