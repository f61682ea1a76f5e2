#include "gateway/router.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "gateway/call.h"

enum { PATTERN_MAX = 1024, NAME_MAX_BYTES = 64 };

struct entry {
	unsigned methods;
	const char *pattern;
	const void *target;
	struct entry *next;
};

struct router {
	struct entry *entries;
};

static const char *const reserved[] = {
	"v1", "livez", "readyz", "metrics", "openapi.json", "docs", "problems"};

bool router_is_reserved(struct slice segment)
{
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (slice_is_text(segment, reserved[i]))
			return true;
	return false;
}

/* ---- percent escapes ---- */

/* The byte at the start of `raw`, decoded, and how many bytes it took; -EBADMSG for a broken escape. */
static int decode_one(struct slice raw, size_t *used)
{
	int high, low;

	*used = 1;
	if (raw.data[0] != '%')
		return raw.data[0];
	if (raw.len < 3)
		return -EBADMSG;
	high = hex_value(raw.data[1]);
	low = hex_value(raw.data[2]);
	*used = 3;
	return high < 0 || low < 0 ? -EBADMSG : high << 4 | low;
}

int router_decode(struct slice raw, bool plus, struct buf *out)
{
	size_t used;

	for (size_t at = 0; at < raw.len; at += used) {
		int c = decode_one(slice_of(raw.data + at, raw.len - at), &used);

		if (c < 0)
			return c;
		if (plus && raw.data[at] == '+')
			c = ' ';
		buf_append_byte(out, (uint8_t)c);
	}
	return out->error;
}

/* ---- paths ---- */

static bool is_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < 0x20 || s.data[i] == 0x7f)
			return false;
	return utf8_is_valid(s);
}

/* Appends one decoded segment, at least a byte long, to the path. */
static int add_segment(struct router_path *path, struct slice raw)
{
	size_t start = path->text_len + 1;
	size_t used;

	if (raw.len == 0)
		return -EBADMSG;
	if (path->len == ROUTER_SEGMENTS_MAX || start > ROUTER_PATH_MAX)
		return -EMSGSIZE;
	path->text[path->text_len++] = '/';
	for (size_t at = 0; at < raw.len; at += used) {
		int c = decode_one(slice_of(raw.data + at, raw.len - at), &used);

		if (c < 0)
			return c;
		if (path->text_len == ROUTER_PATH_MAX)
			return -EMSGSIZE;
		path->text[path->text_len++] = (char)c;
	}
	path->segments[path->len] = slice_of(path->text + start, path->text_len - start);
	return is_printable(path->segments[path->len++]) ? 0 : -EBADMSG;
}

int router_path_parse(struct slice raw, struct router_path *out)
{
	size_t at = 1;
	int rc = 0;

	out->len = out->text_len = 0;
	if (raw.len == 0 || raw.data[0] != '/')
		return -EBADMSG;
	while (rc == 0 && at < raw.len) {
		const uint8_t *end = memchr(raw.data + at, '/', raw.len - at);
		size_t len = end ? (size_t)(end - raw.data) - at : raw.len - at;

		rc = add_segment(out, slice_of(raw.data + at, len));
		at += len + 1;
	}
	if (out->text_len == 0)
		out->text[out->text_len++] = '/';
	out->text[out->text_len] = '\0';
	return rc;
}

/* ---- patterns ---- */

struct segment {
	struct slice text; /* the literal, or the name without its braces */
	bool is_name;
};

/* The next segment of a valid pattern; false after the last. *at starts at 0. */
static bool next_segment(const char *pattern, size_t *at, struct segment *out)
{
	const char *start;
	size_t len;

	if (pattern[*at] == '\0' || pattern[*at + 1] == '\0')
		return false;
	start = pattern + *at + 1;
	len = strcspn(start, "/");
	*at += len + 1;
	out->is_name = start[0] == '{';
	out->text = out->is_name ? slice_of(start + 1, len - 2) : slice_of(start, len);
	return true;
}

static const char *check_name(struct slice name)
{
	if (name.len == 0 || name.len > NAME_MAX_BYTES)
		return "a {name} has 1 to 64 characters";
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
			    c == '-'))
			return "a {name} has only letters, digits, _ and -";
	}
	return NULL;
}

static const char *check_literal(struct slice text)
{
	if (text.len == 0)
		return "a segment is empty";
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] <= 0x20 || text.data[i] == 0x7f || strchr("{}%?#", text.data[i]))
			return "a segment holds a blank, one of {}%?# or a control character; only a whole segment can be a "
			       "{name}";
	return is_printable(text) ? NULL : "it is not UTF-8";
}

static const char *check_segment(const char *pattern, size_t at, size_t len)
{
	struct slice text = slice_of(pattern + at, len);
	struct slice name = slice_of(pattern + at + 1, len - 2);
	size_t before = 0;
	struct segment other;
	const char *why;

	if (len < 2 || text.data[0] != '{' || text.data[len - 1] != '}')
		return check_literal(text);
	why = check_name(name);
	while (!why && before + 1 < at && next_segment(pattern, &before, &other))
		if (other.is_name && slice_is_equal(other.text, name))
			return "two segments have the same {name}";
	return why;
}

int router_check_pattern(const char *pattern, const char **why)
{
	size_t len = strlen(pattern);
	size_t count = 0;

	*why = pattern[0] != '/' ? "it must begin with \"/\"" : len > PATTERN_MAX ? "it is too long" : NULL;
	for (size_t at = 1; !*why && at < len;) {
		size_t segment = strcspn(pattern + at, "/");

		*why = ++count > ROUTER_SEGMENTS_MAX ? "it has too many segments"
						     : check_segment(pattern, at, segment);
		at += segment + 1;
	}
	return *why ? -EINVAL : 0;
}

bool router_has_name(const char *pattern, const char *name)
{
	struct segment s;

	for (size_t at = 0; next_segment(pattern, &at, &s);)
		if (s.is_name && slice_is_text(s.text, name))
			return true;
	return false;
}

bool router_is_same_shape(const char *a, const char *b)
{
	struct segment left = {0}, right = {0};
	size_t at = 0, bt = 0;

	for (;;) {
		bool has_left = next_segment(a, &at, &left);
		bool has_right = next_segment(b, &bt, &right);

		if (!has_left || !has_right)
			return has_left == has_right;
		if (left.is_name != right.is_name ||
			(!left.is_name && !slice_is_equal(left.text, right.text)))
			return false;
	}
}

static bool is_match(const char *pattern, const struct router_path *path)
{
	struct segment s;
	size_t count = 0;

	for (size_t at = 0; next_segment(pattern, &at, &s); count++) {
		if (count == path->len)
			return false;
		if (s.is_name ? count == 0 && router_is_reserved(path->segments[0])
			      : !slice_is_equal(s.text, path->segments[count]))
			return false;
	}
	return count == path->len;
}

/* Of two patterns that match one path: whether `a` is the nearer one. */
static bool is_nearer(const char *a, const char *b)
{
	struct segment left = {0}, right = {0};
	size_t at = 0, bt = 0;

	while (next_segment(a, &at, &left) && next_segment(b, &bt, &right))
		if (left.is_name != right.is_name)
			return right.is_name;
	return false;
}

struct slice router_segment(const char *pattern, const struct router_path *path, const char *name)
{
	struct segment s;
	size_t count = 0;

	for (size_t at = 0; next_segment(pattern, &at, &s) && count < path->len; count++)
		if (s.is_name && slice_is_text(s.text, name))
			return path->segments[count];
	return (struct slice){0};
}

/* ---- the table ---- */

int router_new(struct router **out)
{
	struct router *r = calloc(1, sizeof *r);

	if (!r)
		return -ENOMEM;
	*out = r;
	return 0;
}

void router_free(struct router *r)
{
	struct entry *next;

	for (struct entry *e = r ? r->entries : NULL; e; e = next) {
		next = e->next;
		free(e);
	}
	free(r);
}

int router_add(struct router *r, unsigned methods, const char *pattern, const void *target)
{
	struct entry *e;
	const char *why;

	if (methods & CALL_GET)
		methods |= CALL_HEAD;
	if (router_check_pattern(pattern, &why) < 0)
		return -EINVAL;
	for (e = r->entries; e; e = e->next)
		if ((e->methods & methods) && router_is_same_shape(e->pattern, pattern))
			return -EEXIST;
	e = malloc(sizeof *e);
	if (!e)
		return -ENOMEM;
	*e = (struct entry){methods, pattern, target, r->entries};
	r->entries = e;
	return 0;
}

void router_find(
	const struct router *r, unsigned method, const struct router_path *path, struct router_match *out)
{
	*out = (struct router_match){0};
	for (const struct entry *e = r->entries; e; e = e->next) {
		if (!is_match(e->pattern, path))
			continue;
		out->allowed |= e->methods;
		if ((e->methods & method) && (!out->target || is_nearer(e->pattern, out->pattern))) {
			out->target = e->target;
			out->pattern = e->pattern;
		}
	}
}
