#include "runtime/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/utf8.h"
#include "runtime/clock.h"

enum { STDERR_WAIT_MS = 100 };

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};
enum { LEVELS = sizeof level_names / sizeof level_names[0] };

static const char *log_service = "postback";
static enum log_level log_level = LOG_WARN;
static atomic_uint dropped_lines;

void log_init(const char *service, enum log_level level)
{
	log_service = service;
	log_level = level;
}

int log_level_parse(const char *name, enum log_level *out)
{
	for (int i = 0; i < LEVELS; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool log_is_on(enum log_level level)
{
	return level >= log_level;
}

/* The end of every line has its room kept from the start, so that a full line can always be ended. */
static const char cut_mark[] = " cut=true\n";

struct line {
	char text[LOG_LINE_MAX];
	size_t len;
	bool is_full;
};

static void put(struct line *l, const void *data, size_t len)
{
	if (l->is_full || len > sizeof l->text - (sizeof cut_mark - 1) - l->len) {
		l->is_full = true;
		return;
	}
	memcpy(l->text + l->len, data, len);
	l->len += len;
}

static void put_text(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static bool is_bare(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("_./:@+-", c) != NULL);
}

static bool needs_quotes(struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!is_bare(value.data[i]))
			return true;
	return value.len == 0;
}

/* One of U+0080 to U+009F: terminals obey them like the control characters of ASCII. */
static bool is_c1_control(const uint8_t *c)
{
	return c[0] == 0xc2 && c[1] < 0xa0;
}

static void put_escaped(struct line *l, uint8_t byte)
{
	static const char letters[256] = {
		['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};
	char text[8];

	if (letters[byte])
		snprintf(text, sizeof text, "\\%c", letters[byte]);
	else
		snprintf(text, sizeof text, "\\x%02x", byte);
	put_text(l, text);
}

static void put_quoted(struct line *l, struct slice value)
{
	for (size_t i = 0, len; i < value.len; i += len) {
		const uint8_t *c = value.data + i;

		len = utf8_char_len(slice_of(c, value.len - i));
		if (len == 1 ? *c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\'
			     : len > 1 && !is_c1_control(c)) {
			put(l, c, len);
			continue;
		}
		len = len ? len : 1;
		for (size_t k = 0; k < len; k++)
			put_escaped(l, c[k]);
	}
}

static void put_value(struct line *l, struct slice whole)
{
	struct slice value = slice_of(whole.data, utf8_cut(whole, LOG_VALUE_MAX));
	bool is_quoted = needs_quotes(value);

	if (is_quoted)
		put_text(l, "\"");
	put_quoted(l, value);
	if (value.len < whole.len)
		put_text(l, "...");
	if (is_quoted)
		put_text(l, "\"");
}

static struct slice field_value(const struct log_field *f, char *scratch, size_t scratch_len)
{
	switch (f->type) {
	case LOG_FIELD_TEXT: return slice_text(f->text);
	case LOG_FIELD_SLICE: return f->slice;
	case LOG_FIELD_INT: snprintf(scratch, scratch_len, "%" PRId64, f->number); return slice_text(scratch);
	case LOG_FIELD_ERRNO:
		return slice_text(
			strerror_r((int)(f->number < 0 ? -f->number : f->number), scratch, scratch_len));
	}
	return slice_text(NULL);
}

static void put_field(struct line *l, const char *key, struct slice value)
{
	size_t before = l->len;

	if (!slice_is_set(value) || l->is_full)
		return;
	if (l->len > 0)
		put_text(l, " ");
	put_text(l, key);
	put_text(l, "=");
	put_value(l, value);
	if (l->is_full)
		l->len = before;
}

static void end_line(struct line *l)
{
	const char *end = l->is_full ? cut_mark : "\n";

	memcpy(l->text + l->len, end, strlen(end));
	l->len += strlen(end);
}

static void begin_line(struct line *l, enum log_level level, const char *event)
{
	char now[CLOCK_TEXT_LEN + 1];

	l->len = 0;
	l->is_full = false;
	clock_format(clock_wall_ms(), now);
	put_field(l, "ts", slice_text(now));
	put_field(l, "level", slice_text(level_names[level]));
	put_field(l, "service", slice_text(log_service));
	put_field(l, "event", slice_text(event));
}

/*
 * True when all of it was written: by one write(2), but for a socket or terminal that has room for a part only.
 * `wait_ms`: how long to wait for the first byte of room.
 */
static bool write_line(const struct line *l, int64_t wait_ms)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	int64_t deadline = clock_mono_ms() + wait_ms;
	size_t done = 0;

	while (done < l->len) {
		ssize_t n = write(STDERR_FILENO, l->text + done, l->len - done);
		int64_t now;

		if (n >= 0) {
			done += (size_t)n;
			deadline = clock_mono_ms() + STDERR_WAIT_MS;
			continue;
		}
		if (errno == EINTR)
			continue;
		now = clock_mono_ms();
		if (errno != EAGAIN || now >= deadline)
			return false;
		poll(&room, 1, (int)(deadline - now));
	}
	return true;
}

/* Tells of lines dropped before. False when there is still no room; that is found out without waiting. */
static bool report_dropped(void)
{
	unsigned lost = atomic_exchange(&dropped_lines, 0);
	char text[16];
	struct line l;

	if (lost == 0)
		return true;
	begin_line(&l, LOG_WARN, "log_dropped");
	snprintf(text, sizeof text, "%u", lost);
	put_field(&l, "lines", slice_text(text));
	end_line(&l);
	if (write_line(&l, 0))
		return true;
	atomic_fetch_add(&dropped_lines, lost);
	return false;
}

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t len)
{
	int saved = errno;
	char scratch[128];
	struct line l;

	if (!log_is_on(level))
		return;
	begin_line(&l, level, event);
	for (size_t i = 0; i < len; i++)
		put_field(&l, fields[i].key, field_value(&fields[i], scratch, sizeof scratch));
	end_line(&l);
	if (!report_dropped() || !write_line(&l, STDERR_WAIT_MS))
		atomic_fetch_add(&dropped_lines, 1);
	errno = saved;
}

bool log_gate_pass(struct log_gate *gate, int64_t every_ms, unsigned *suppressed)
{
	int64_t now = clock_mono_ms();

	if (now < gate->next_ms) {
		gate->suppressed++;
		return false;
	}
	*suppressed = gate->suppressed;
	gate->suppressed = 0;
	gate->next_ms = now + every_ms;
	return true;
}
