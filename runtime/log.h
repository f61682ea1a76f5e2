/*
 * Structured logs: one logfmt line an event on stderr, written with one write(2) so that lines of several threads and
 * processes never mix. Foreign text is quoted and cut; secrets are never handed to it.
 *
 *   ts=2026-01-02T03:04:05.678Z level=warn service=gateway event=broker_lost host=127.0.0.1:5672 error="Broken pipe"
 *
 * A value stands bare when it has only letters, digits and _./:@+- in it; else in double quotes with \" \\ \n \r \t, and
 * \xNN for other control characters and bytes that are not UTF-8. It is cut at LOG_VALUE_MAX bytes with "..." behind.
 * A field that finds no room in the LOG_LINE_MAX bytes of a line is left out with all that follow; the line then ends
 * in cut=true. Keys are written as given.
 *
 * Any thread. Never blocks on anything but stderr, and there at most 100 ms when it is a full non-blocking pipe: the
 * line is dropped then, and the next one that gets through comes after a line event=log_dropped with the number.
 */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include "base/slice.h"

#define LOG_VALUE_MAX 512
#define LOG_LINE_MAX  4096

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `service` is kept (a literal). Called once before threads start; until then only warnings and errors are written. */
void log_init(const char *service, enum log_level level);
/* "debug", "info", "warn", "error". 0 or -EINVAL. */
int log_level_parse(const char *name, enum log_level *out);
bool log_is_on(enum log_level level);

/* One field. The macros below make them. A text or slice that is NULL leaves its field out. */
struct log_field {
	const char *key;
	enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_SLICE, LOG_FIELD_ERRNO } type;
	const char *text;
	int64_t number;
	struct slice slice;
};
#define LOG_TEXT(k, v)	((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .text = (v)})
#define LOG_INT(k, v)	((struct log_field){.key = (k), .type = LOG_FIELD_INT, .number = (v)})
#define LOG_SLICE(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_SLICE, .slice = (v)})
/* `v`: a negative errno, printed as its message under the key "error". */
#define LOG_ERRNO(v) ((struct log_field){.key = "error", .type = LOG_FIELD_ERRNO, .number = (v)})

/* `event` is a fixed word in snake_case, the thing to grep and alert for. Leaves errno as it was. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t len);
#define log_write(level, event, ...)                                     \
	log_event(level, event, (const struct log_field[]){__VA_ARGS__}, \
		sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)

/*
 * For what may repeat thousands of times a second: true at most once in `every_ms` for one `gate` (a static of the
 * caller, used by one thread), with the number left out since then in *suppressed.
 */
struct log_gate {
	int64_t next_ms;
	unsigned suppressed;
};
bool log_gate_pass(struct log_gate *gate, int64_t every_ms, unsigned *suppressed);

#endif
