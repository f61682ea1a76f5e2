#include "notifier/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"

#define ELLIPSIS    "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"

enum { VALUE_BYTES_MAX = 64 << 20 };

/* What the template begins with: a piece of its own text, or (path is set) a placeholder. */
struct piece {
	struct slice text;
	struct slice path;
	bool is_optional;
};

static bool is_path_byte(uint8_t c)
{
	return isalnum(c) || c == '_' || c == '-' || c == '.';
}

static struct slice rest_of(struct slice s, size_t from)
{
	return slice_of(s.data + from, s.len - from);
}

static bool has_empty_key(struct slice path)
{
	for (size_t i = 0; i < path.len; i++)
		if (path.data[i] == '.' && (i + 1 == path.len || path.data[i + 1] == '.'))
			return true;
	return false;
}

/* Begins behind the "{". 0 or -EINVAL. */
static int take_path(struct slice *rest, struct piece *out)
{
	size_t len = 0;

	while (len < rest->len && is_path_byte(rest->data[len]))
		len++;
	out->path = slice_of(rest->data, len);
	out->is_optional = len < rest->len && rest->data[len] == '?';
	len += out->is_optional;
	if (len == rest->len || rest->data[len] != '}' || out->path.len > TEMPLATE_PATH_MAX ||
		has_empty_key(out->path))
		return -EINVAL;
	*rest = rest_of(*rest, len + 1);
	return 0;
}

/* 1 with the next piece, 0 at the end, -EINVAL for a placeholder that is none. */
static int next_piece(struct slice *rest, struct piece *out)
{
	size_t len = 0;

	*out = (struct piece){0};
	if (rest->len == 0)
		return 0;
	if (rest->data[0] == '{' && rest->len > 1 && (isalpha(rest->data[1]) || rest->data[1] == '_')) {
		*rest = rest_of(*rest, 1);
		return take_path(rest, out) < 0 ? -EINVAL : 1;
	}
	if (rest->data[0] == '{')
		len = 1;
	while (len < rest->len && rest->data[len] != '{')
		len++;
	out->text = slice_of(rest->data, len);
	/* Of "{{" the second is dropped. */
	if (rest->data[0] == '{' && len == 1 && rest->len > 1 && rest->data[1] == '{')
		len = 2;
	*rest = rest_of(*rest, len);
	return 1;
}

/* 0, or -EINVAL with *at where the placeholder that is none begins. */
static int walk(struct slice text, struct slice *at)
{
	struct piece p;
	int rc;

	do {
		*at = text;
		rc = next_piece(&text, &p);
	} while (rc == 1);
	return rc;
}

int template_check(struct slice text, char *why, size_t why_len)
{
	struct slice at;

	if (!utf8_is_valid(text)) {
		snprintf(why, why_len, "is not UTF-8");
		return -EINVAL;
	}
	if (walk(text, &at) == 0)
		return 0;
	snprintf(why, why_len, "has no placeholder like {task} or {result.total} at \"%.*s\"; {{ is one {",
		(int)utf8_cut(at, 24), (const char *)at.data);
	return -EINVAL;
}

/* ---- values ---- */

static struct slice cut_key(struct slice *path)
{
	const uint8_t *dot = memchr(path->data, '.', path->len);
	size_t len = dot ? (size_t)(dot - path->data) : path->len;
	struct slice key = slice_of(path->data, len);

	*path = rest_of(*path, dot ? len + 1 : len);
	return key;
}

static struct slice member_of(struct slice object, struct slice key)
{
	struct json_member m = {0};
	char name[TEMPLATE_PATH_MAX + 1];

	snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
	while (json_next_member(object, &m))
		if (json_key_is(m.key, name))
			return m.value;
	return (struct slice){0};
}

static struct slice item_of(struct slice array, struct slice key)
{
	struct json_item item = {0};
	char number[TEMPLATE_PATH_MAX + 1];
	unsigned long wanted;
	char *end;

	snprintf(number, sizeof number, "%.*s", SLICE_ARG(key));
	wanted = strtoul(number, &end, 10);
	if (!isdigit((unsigned char)number[0]) || *end)
		return (struct slice){0};
	for (unsigned long i = 0; json_next_item(array, &item); i++)
		if (i == wanted)
			return item.value;
	return (struct slice){0};
}

/* The JSON at `path`, unset when there is none. */
static struct slice find(struct slice document, struct slice path)
{
	struct slice at = document;

	while (path.len > 0 && slice_is_set(at)) {
		struct slice key = cut_key(&path);

		at = json_type_of(at) == JSON_ARRAY ? item_of(at, key) : member_of(at, key);
	}
	return at;
}

/* Appends the value as text. 0 or -ENOMEM. */
static int append_value(struct slice json, struct buf *out)
{
	if (!slice_is_set(json) || json_type_of(json) == JSON_NULL)
		return 0;
	if (json_type_of(json) == JSON_STRING)
		return json_decode_string(json, out);
	return buf_append_slice(out, json);
}

static int look_up(const struct template_source *source, struct slice path, struct buf *out)
{
	for (size_t i = 0; i < source->values_len; i++)
		if (slice_is_text(path, source->values[i].path))
			return utf8_append_valid(out, source->values[i].text);
	return slice_is_set(source->document) ? append_value(find(source->document, path), out) : 0;
}

static void cut_value(struct buf *value, size_t max)
{
	if (max == 0 || value->len <= max)
		return;
	value->len = utf8_cut(buf_slice(value), max);
	buf_append_text(value, ELLIPSIS);
}

/* ---- escaping: `c` is one character of valid UTF-8 ---- */

static bool is_control(struct slice c)
{
	return (c.len == 1 && (c.data[0] < 0x20 || c.data[0] == 0x7f)) ||
	       (c.len == 2 && c.data[0] == 0xc2 && c.data[1] < 0xa0);
}

static void put_text(struct buf *out, struct slice c)
{
	if (is_control(c) && c.data[0] != '\t' && c.data[0] != '\n' && c.data[0] != '\r')
		buf_append_byte(out, ' ');
	else
		buf_append_slice(out, c);
}

static void put_line(struct buf *out, struct slice c)
{
	if (is_control(c))
		buf_append_byte(out, ' ');
	else
		buf_append_slice(out, c);
}

static void put_html(struct buf *out, struct slice c)
{
	static const char *const entities[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};

	if (c.len == 1 && entities[c.data[0]])
		buf_append_text(out, entities[c.data[0]]);
	else
		put_text(out, c);
}

static void put_url(struct buf *out, struct slice c)
{
	for (size_t i = 0; i < c.len; i++) {
		if (isalnum(c.data[i]) || memchr("-._~", c.data[i], 4))
			buf_append_byte(out, c.data[i]);
		else
			buf_printf(out, "%%%02X", c.data[i]);
	}
}

static void put_json(struct buf *out, struct slice c)
{
	if (is_control(c) && c.len == 1)
		buf_printf(out, "\\u%04x", c.data[0]);
	else if (c.len == 1 && (c.data[0] == '"' || c.data[0] == '\\'))
		buf_printf(out, "\\%c", c.data[0]);
	else
		buf_append_slice(out, c);
}

static void (*const putters[])(struct buf *out, struct slice c) = {
	[TEMPLATE_TEXT] = put_text,
	[TEMPLATE_LINE] = put_line,
	[TEMPLATE_HTML] = put_html,
	[TEMPLATE_URL] = put_url,
	[TEMPLATE_JSON] = put_json,
};

/* What is not UTF-8 gets here from no template that was checked and from no value. */
static void escape(struct buf *out, enum template_kind kind, struct slice text)
{
	for (size_t i = 0, len; i < text.len; i += len ? len : 1) {
		len = utf8_char_len(rest_of(text, i));
		putters[kind](out, len ? slice_of(text.data + i, len) : slice_text(REPLACEMENT));
	}
}

/* ---- rendering ---- */

static int render_piece(
	const struct piece *p, enum template_kind kind, const struct template_source *source, struct buf *out)
{
	struct buf value;
	int rc;

	if (!slice_is_set(p->path)) {
		if (kind == TEMPLATE_LINE)
			escape(out, kind, p->text);
		else
			buf_append_slice(out, p->text);
		return out->error;
	}
	buf_init(&value, VALUE_BYTES_MAX);
	rc = look_up(source, p->path, &value);
	if (rc == 0) {
		cut_value(&value, source->value_max);
		escape(out, kind, buf_slice(&value));
		rc = value.error ? value.error : out->error;
	}
	buf_done(&value);
	return rc;
}

/* 1, 0, or -ENOMEM. */
static int is_empty(const struct template_source *source, struct slice path)
{
	struct buf value;
	int rc;

	buf_init(&value, VALUE_BYTES_MAX);
	rc = look_up(source, path, &value);
	if (rc == 0)
		rc = value.len == 0;
	buf_done(&value);
	return rc;
}

/* 1 when one of its optional placeholders is empty; 0, or -ENOMEM. */
static int is_left_out(struct slice line, const struct template_source *source)
{
	struct piece p;
	int rc = 0;

	while (rc == 0 && next_piece(&line, &p) == 1)
		if (p.is_optional)
			rc = is_empty(source, p.path);
	return rc;
}

static int render_pieces(
	struct slice text, enum template_kind kind, const struct template_source *source, struct buf *out)
{
	struct piece p;
	int rc;

	while ((rc = next_piece(&text, &p)) == 1)
		if ((rc = render_piece(&p, kind, source, out)) < 0)
			break;
	return rc;
}

static int render_lines(
	struct slice text, enum template_kind kind, const struct template_source *source, struct buf *out)
{
	int rc = 0;

	while (text.len > 0 && rc >= 0) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		size_t len = end ? (size_t)(end - text.data) + 1 : text.len;
		struct slice line = slice_of(text.data, len);

		rc = is_left_out(line, source);
		if (rc == 0)
			rc = render_pieces(line, kind, source, out);
		text = rest_of(text, len);
	}
	return rc < 0 ? rc : 0;
}

static void trim(struct buf *out, size_t from)
{
	size_t spaces = 0;

	while (out->len > from && out->data[out->len - 1] == ' ')
		out->len--;
	while (from + spaces < out->len && out->data[from + spaces] == ' ')
		spaces++;
	if (spaces == 0)
		return;
	memmove(out->data + from, out->data + from + spaces, out->len - from - spaces);
	out->len -= spaces;
}

int template_render(
	struct slice text, enum template_kind kind, const struct template_source *source, struct buf *out)
{
	size_t from = out->len;
	struct slice ignored;
	int rc;

	/* Whole or not at all, also where a line with what is wrong would have been left out. */
	if (walk(text, &ignored) < 0)
		return -EINVAL;
	if (kind == TEMPLATE_TEXT || kind == TEMPLATE_HTML)
		return render_lines(text, kind, source, out);
	rc = render_pieces(text, kind, source, out);
	if (rc == 0 && kind == TEMPLATE_LINE)
		trim(out, from);
	return rc;
}
