#include "gateway/prefer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

/* ---- reading header fields ---- */

struct cursor {
	const uint8_t *at, *end;
};

static struct cursor cursor_of(struct slice text)
{
	/* Not even nothing may be added to a null pointer. */
	return (struct cursor){text.data, text.len > 0 ? text.data + text.len : text.data};
}

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
		c->at++;
}

static bool skip_byte(struct cursor *c, uint8_t byte)
{
	skip_space(c);
	if (c->at == c->end || *c->at != byte)
		return false;
	c->at++;
	return true;
}

static struct slice read_until(struct cursor *c, const char *stops)
{
	const uint8_t *from = c->at;

	while (c->at < c->end && !memchr(stops, *c->at, strlen(stops)))
		c->at++;
	return slice_of(from, (size_t)(c->at - from));
}

/* Between its quotes, escapes as they stand. */
static struct slice read_quoted(struct cursor *c)
{
	const uint8_t *from = ++c->at;
	struct slice text;

	while (c->at < c->end && *c->at != '"')
		c->at += *c->at == '\\' && c->at + 1 < c->end ? 2 : 1;
	text = slice_of(from, (size_t)(c->at - from));
	if (c->at < c->end)
		c->at++;
	return text;
}

static struct slice read_word(struct cursor *c)
{
	skip_space(c);
	if (c->at < c->end && *c->at == '"')
		return read_quoted(c);
	return read_until(c, " \t,;=\"");
}

static int read_seconds(struct slice text, int *out)
{
	int seconds = 0;

	if (text.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (!isdigit(text.data[i]))
			return -EINVAL;
		seconds = seconds * 10 + (text.data[i] - '0');
		if (seconds > PREFER_WAIT_MAX_S)
			seconds = PREFER_WAIT_MAX_S;
	}
	*out = seconds;
	return 0;
}

/* ---- Prefer ---- */

static bool is_word(struct slice text, const char *word)
{
	return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/* token [= value] *( ; parameter ) */
static void read_preference(struct cursor *c, struct slice *name, struct slice *value)
{
	*name = read_word(c);
	*value = (struct slice){0};
	if (skip_byte(c, '='))
		*value = read_word(c);
	while (skip_byte(c, ';')) {
		read_word(c);
		if (skip_byte(c, '='))
			read_word(c);
	}
}

int prefer_wait_s(struct slice header)
{
	struct cursor c = cursor_of(header);

	while (c.at < c.end) {
		struct slice name, value;
		int seconds;

		read_preference(&c, &name, &value);
		if (is_word(name, "wait"))
			return read_seconds(value, &seconds) < 0 ? 0 : seconds;
		read_until(&c, ",");
		skip_byte(&c, ',');
	}
	return 0;
}

int wait_parse(struct slice text, int *seconds)
{
	return read_seconds(text, seconds);
}

/* ---- ETag ---- */

void etag_format(uint64_t rev, char out[ETAG_LEN])
{
	snprintf(out, ETAG_LEN, "\"%" PRIu64 "\"", rev);
}

bool etag_matches(struct slice if_none_match, uint64_t rev)
{
	struct cursor c = cursor_of(if_none_match);
	char own[ETAG_LEN];

	if (!slice_is_set(if_none_match))
		return false;
	snprintf(own, sizeof own, "%" PRIu64, rev);
	while (c.at < c.end) {
		skip_space(&c);
		if (skip_byte(&c, '*'))
			return true;
		if (c.end - c.at > 2 && memcmp(c.at, "W/", 2) == 0)
			c.at += 2;
		if (c.at < c.end && *c.at == '"' && slice_is_text(read_quoted(&c), own))
			return true;
		read_until(&c, ",");
		skip_byte(&c, ',');
	}
	return false;
}
