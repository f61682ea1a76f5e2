#include "gateway/join.h"

#include <errno.h>

#include "proto/json.h"

enum { KEY_MAX = 4096 };

/* ---- parameters ---- */

const struct call_param *join_find(const struct call_param *params, size_t len, struct slice name)
{
	for (size_t i = 0; i < len; i++)
		if (slice_is_equal(params[i].name, name))
			return &params[i];
	return NULL;
}

static size_t index_of(const struct call_param *params, size_t len, struct slice name)
{
	const struct call_param *found = join_find(params, len, name);

	return found ? (size_t)(found - params) : len;
}

size_t join_params(const struct call_param *path, size_t path_len, const struct call_param *query,
	size_t query_len, struct call_param *out)
{
	size_t len = path_len;

	if (path_len)
		memcpy(out, path, path_len * sizeof *path);
	for (size_t i = 0; i < query_len; i++) {
		size_t at = index_of(out, len, query[i].name);

		if (at < path_len)
			continue;
		out[at] = query[i];
		if (at == len)
			len++;
	}
	return len;
}

/* ---- joining ---- */

/* A key too long to be a parameter's name is none. */
static bool is_replaced(struct slice key, const struct call_param *params, size_t len)
{
	struct buf name;
	bool is_found;

	buf_init(&name, KEY_MAX);
	is_found = json_decode_string(key, &name) == 0 && join_find(params, len, buf_slice(&name));
	buf_done(&name);
	return is_found;
}

static void append_members(struct buf *out, const struct call_param *params, size_t len, bool needs_comma)
{
	for (size_t i = 0; i < len; i++) {
		if (needs_comma)
			buf_append_byte(out, ',');
		needs_comma = true;
		json_append_string(out, params[i].name);
		buf_append_byte(out, ':');
		json_append_string(out, params[i].value);
	}
}

int join_object(struct slice object, const struct call_param *params, size_t len, struct buf *out)
{
	struct json_member m = {0};
	bool needs_comma = false;

	buf_append_byte(out, '{');
	while (json_next_member(object, &m)) {
		if (is_replaced(m.key, params, len))
			continue;
		if (needs_comma)
			buf_append_byte(out, ',');
		needs_comma = true;
		buf_append_byte(out, '"');
		buf_append_slice(out, m.key);
		buf_append_text(out, "\":");
		buf_append_slice(out, m.value);
	}
	append_members(out, params, len, needs_comma);
	return buf_append_byte(out, '}');
}

int join_metadata(const struct call_param *params, size_t len, struct buf *out)
{
	buf_append_text(out, "{\"params\":{");
	append_members(out, params, len, false);
	return buf_append_text(out, "}}");
}

/* ---- the reply template ---- */

struct filling {
	struct slice id, task;
	const struct call_param *params;
	size_t len;
};

/* Without the quotes: it goes into a string that is there. */
static void append_inside(struct buf *out, struct slice text)
{
	size_t at = out->len;

	if (json_append_string(out, text) < 0)
		return;
	memmove(out->data + at, out->data + at + 1, out->len - at - 2);
	out->len -= 2;
}

static bool find_value(const struct filling *f, struct slice name, struct slice *value)
{
	const struct call_param *param = join_find(f->params, f->len, name);

	if (slice_is_text(name, "id") || slice_is_text(name, "task")) {
		*value = slice_is_text(name, "id") ? f->id : f->task;
		return true;
	}
	if (param)
		*value = param->value;
	return param != NULL;
}

/* At a '{' inside a string: returns how many bytes were replaced, 0 when it stands for nothing. */
static size_t fill_one(const struct filling *f, struct slice rest, struct buf *out)
{
	const uint8_t *end = memchr(rest.data, '}', rest.len);
	const uint8_t *quote = memchr(rest.data, '"', rest.len);
	struct slice value;

	if (!end || (quote && quote < end))
		return 0;
	if (!find_value(f, slice_of(rest.data + 1, (size_t)(end - rest.data) - 1), &value))
		return 0;
	append_inside(out, value);
	return (size_t)(end - rest.data) + 1;
}

int join_template(struct slice json, struct slice id, struct slice task, const struct call_param *params,
	size_t len, struct buf *out)
{
	struct filling f = {id, task, params, len};
	bool is_inside = false;

	for (size_t i = 0; i < json.len;) {
		size_t taken = 0;

		if (is_inside && json.data[i] == '{')
			taken = fill_one(&f, slice_of(json.data + i, json.len - i), out);
		if (taken) {
			i += taken;
			continue;
		}
		if (is_inside && json.data[i] == '\\')
			buf_append_byte(out, json.data[i++]);
		else if (json.data[i] == '"')
			is_inside = !is_inside;
		buf_append_byte(out, json.data[i++]);
	}
	return out->error;
}
