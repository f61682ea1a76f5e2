#include "proto/json.h"

#include <errno.h>
#include <stdio.h>

#include "base/hex.h"
#include "proto/json_keys.h"
#include "proto/json_string.h"

struct scan {
	const uint8_t *at;
	const uint8_t *start;
	const uint8_t *end;
	unsigned depth; /* containers open */
	struct json_keys keys;
	struct json_error *error;
};

static int scan_value(struct scan *s);

static int refuse(struct scan *s, const uint8_t *where, const char *reason)
{
	s->error->offset = (size_t)(where - s->start);
	snprintf(s->error->reason, sizeof s->error->reason, "%s", reason);
	return -EBADMSG;
}

/* -1 at the end of the text. */
static int peek(const struct scan *s)
{
	return s->at < s->end ? *s->at : -1;
}

static bool take(struct scan *s, uint8_t byte)
{
	if (peek(s) != byte)
		return false;
	s->at++;
	return true;
}

static struct slice rest(const struct scan *s)
{
	return slice_of(s->at, (size_t)(s->end - s->at));
}

static void skip_space(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
}

/* ---- scalars ---- */

/* After the '\'. */
static int scan_escape(struct scan *s)
{
	int c = peek(s);

	if (c < 0 || !strchr("\"\\/bfnrtu", c) || c == 0)
		return refuse(s, s->at, "an unknown escape");
	s->at++;
	if (c != 'u')
		return 0;
	for (int i = 0; i < 4; i++) {
		if (s->at == s->end || hex_value(*s->at) < 0)
			return refuse(s, s->at, "four hexadecimal digits expected");
		s->at++;
	}
	return 0;
}

static int scan_character(struct scan *s)
{
	size_t len = utf8_char_len(rest(s));

	if (peek(s) < 0x20)
		return refuse(s, s->at, "a control character in a string");
	if (len == 0)
		return refuse(s, s->at, "not UTF-8");
	s->at += len;
	return 0;
}

/* After the opening quote. *has_escapes is only ever set. */
static int scan_string(struct scan *s, bool *has_escapes)
{
	int rc = 0;

	while (rc == 0) {
		s->at += json_plain_len(rest(s));
		if (s->at == s->end)
			return refuse(s, s->at, "a string without its end");
		if (take(s, '"'))
			return 0;
		if (take(s, '\\')) {
			*has_escapes = true;
			rc = scan_escape(s);
		} else {
			rc = scan_character(s);
		}
	}
	return rc;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static int scan_digits(struct scan *s)
{
	if (!is_digit(peek(s)))
		return refuse(s, s->at, "a digit expected");
	while (is_digit(peek(s)))
		s->at++;
	return 0;
}

static int scan_number(struct scan *s)
{
	int rc = 0;

	take(s, '-');
	if (!take(s, '0'))
		rc = scan_digits(s);
	if (rc == 0 && take(s, '.'))
		rc = scan_digits(s);
	if (rc == 0 && (take(s, 'e') || take(s, 'E'))) {
		if (!take(s, '+'))
			take(s, '-');
		rc = scan_digits(s);
	}
	return rc;
}

static int scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if (rest(s).len < len || memcmp(s->at, word, len) != 0)
		return refuse(s, s->at, "a value expected");
	s->at += len;
	return 0;
}

/* ---- containers ---- */

static int scan_key(struct scan *s)
{
	bool has_escapes = false;
	const uint8_t *key;
	int rc;

	skip_space(s);
	if (!take(s, '"'))
		return refuse(s, s->at, "a key in quotes expected");
	key = s->at;
	rc = scan_string(s, &has_escapes);
	if (rc == 0)
		rc = json_keys_add(&s->keys, slice_of(key, (size_t)(s->at - 1 - key)), has_escapes);
	skip_space(s);
	if (rc == 0 && !take(s, ':'))
		rc = refuse(s, s->at, "':' expected");
	return rc;
}

static int scan_member(struct scan *s)
{
	int rc = scan_key(s);

	return rc < 0 ? rc : scan_value(s);
}

/* One or more of what `scan_one` reads, up to the closing bracket. */
static int scan_list(struct scan *s, int (*scan_one)(struct scan *), uint8_t close, const char *expected)
{
	while (true) {
		int rc = scan_one(s);

		if (rc < 0)
			return rc;
		skip_space(s);
		if (take(s, close))
			return 0;
		if (!take(s, ','))
			return refuse(s, s->at, expected);
	}
}

static int scan_object(struct scan *s)
{
	size_t first_key = s->keys.len;
	const uint8_t *duplicate;
	int rc;

	skip_space(s);
	if (take(s, '}'))
		return 0;
	rc = scan_list(s, scan_member, '}', "',' or '}' expected");
	if (rc < 0)
		return rc;
	duplicate = json_keys_end_object(&s->keys, first_key);
	return duplicate ? refuse(s, duplicate, "a key that is there twice") : 0;
}

static int scan_array(struct scan *s)
{
	skip_space(s);
	return take(s, ']') ? 0 : scan_list(s, scan_value, ']', "',' or ']' expected");
}

static int scan_container(struct scan *s)
{
	bool is_object = *s->at == '{';
	int rc;

	if (s->depth == JSON_DEPTH_MAX)
		return refuse(s, s->at, "nested too deep");
	s->at++;
	s->depth++;
	rc = is_object ? scan_object(s) : scan_array(s);
	s->depth--;
	return rc;
}

/* Recursion is as deep as JSON_DEPTH_MAX. */
static int scan_value(struct scan *s)
{
	bool has_escapes;

	skip_space(s);
	switch (peek(s)) {
	case '{':
	case '[': return scan_container(s);
	case '"': s->at++; return scan_string(s, &has_escapes);
	case 't': return scan_word(s, "true");
	case 'f': return scan_word(s, "false");
	case 'n': return scan_word(s, "null");
	case '-': return scan_number(s);
	default: return is_digit(peek(s)) ? scan_number(s) : refuse(s, s->at, "a value expected");
	}
}

int json_check(struct slice text, struct json_error *error)
{
	struct scan s;
	int rc;

	s.at = s.start = text.data;
	s.end = text.len > 0 ? text.data + text.len : text.data;
	s.depth = 0;
	s.error = error;
	if (text.len > UINT32_MAX)
		return refuse(&s, s.at, "too long");
	json_keys_init(&s.keys);
	rc = scan_value(&s);
	skip_space(&s);
	if (rc == 0 && s.at != s.end)
		rc = refuse(&s, s.at, "text after the value");
	json_keys_done(&s.keys);
	return rc;
}
