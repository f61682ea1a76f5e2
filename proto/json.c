#include "proto/json.h"

#include "proto/json_string.h"

/* These walk text that was checked; in any other they may find nonsense, but never look beyond its end. */
struct walk {
	const uint8_t *at;
	const uint8_t *end;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void skip_space(struct walk *w)
{
	while (w->at < w->end && is_space(*w->at))
		w->at++;
}

static bool take(struct walk *w, uint8_t byte)
{
	if (w->at == w->end || *w->at != byte)
		return false;
	w->at++;
	return true;
}

/* After the opening quote; behind the closing one then. */
static void skip_string(struct walk *w)
{
	while (w->at < w->end) {
		w->at += json_plain_len(slice_of(w->at, (size_t)(w->end - w->at)));
		if (w->at == w->end || take(w, '"'))
			return;
		if (take(w, '\\') && w->at == w->end)
			return;
		w->at++;
	}
}

static bool is_open(uint8_t c)
{
	return c == '{' || c == '[';
}

static bool is_close(uint8_t c)
{
	return c == '}' || c == ']';
}

static void skip_container(struct walk *w)
{
	size_t depth = 0;

	while (w->at < w->end) {
		uint8_t c = *w->at++;

		if (c == '"')
			skip_string(w);
		else if (is_open(c))
			depth++;
		else if (is_close(c) && --depth == 0)
			return;
	}
}

static void skip_scalar(struct walk *w)
{
	while (w->at < w->end && !is_space(*w->at) && *w->at != ',' && !is_close(*w->at))
		w->at++;
}

static struct slice read_value(struct walk *w)
{
	const uint8_t *start;

	skip_space(w);
	start = w->at;
	if (take(w, '"'))
		skip_string(w);
	else if (w->at < w->end && is_open(*w->at))
		skip_container(w);
	else
		skip_scalar(w);
	return slice_of(start, (size_t)(w->at - start));
}

enum json_type json_type_of(struct slice value)
{
	struct walk w = {value.data, value.data + value.len};

	skip_space(&w);
	switch (w.at < w.end ? *w.at : 0) {
	case '{': return JSON_OBJECT;
	case '[': return JSON_ARRAY;
	case '"': return JSON_STRING;
	case 'n': return JSON_NULL;
	case 't':
	case 'f': return JSON_BOOL;
	default: return JSON_NUMBER;
	}
}

/* To the next member or item; false when there is none. */
static bool advance(struct walk *w, struct slice container, size_t offset, uint8_t open)
{
	w->at = container.data + offset;
	w->end = container.data + container.len;
	skip_space(w);
	if (offset == 0 ? !take(w, open) : !take(w, ','))
		return false;
	skip_space(w);
	return w->at < w->end && !is_close(*w->at);
}

bool json_next_member(struct slice object, struct json_member *m)
{
	struct walk w;
	const uint8_t *key;

	if (!advance(&w, object, m->offset, '{') || !take(&w, '"'))
		return false;
	key = w.at;
	skip_string(&w);
	if (w.at == key)
		return false;
	m->key = slice_of(key, (size_t)(w.at - 1 - key));
	skip_space(&w);
	if (!take(&w, ':'))
		return false;
	m->value = read_value(&w);
	m->offset = (size_t)(w.at - object.data);
	return true;
}

bool json_next_item(struct slice array, struct json_item *i)
{
	struct walk w;

	if (!advance(&w, array, i->offset, '['))
		return false;
	i->value = read_value(&w);
	i->offset = (size_t)(w.at - array.data);
	return true;
}
