#include "runtime/config_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>

enum { SECRET_FILE_MAX = 64 * 1024, JSON_MAX = 8 * CONFIG_FILE_MAX, FIELDS_MAX = 64 };

/* ---- scalars ---- */

/* Where a value stands, for what is said about it: a line and path of the file, or a variable. */
struct source {
	int line;
	const char *where;
};

static void set_scalar(
	struct place *p, const struct option *o, struct slice text, void *at, struct source from)
{
	char why[CONFIG_WHY_LEN] = "is not allowed";
	int rc = option_set(o, text, at, why, sizeof why);

	if (rc == 0 && o->check)
		rc = o->check(at, why, sizeof why);
	if (rc == -ENOMEM)
		p->problems->is_out_of_memory = true;
	else if (rc < 0)
		problem_add(p->problems, from.line, from.where, "%s", why);
}

static void set_from_file(
	struct place *p, const struct option *o, const char *path, void *at, struct source from)
{
	struct buf content = {0};
	int rc = file_read(path, SECRET_FILE_MAX, &content);

	if (rc == -EFBIG) {
		problem_add(p->problems, from.line, from.where, "is a file of more than %d bytes",
			SECRET_FILE_MAX);
	} else if (rc < 0) {
		problem_add(p->problems, from.line, from.where, "cannot be read: %s", strerror(-rc));
	} else {
		size_t len = content.len;

		len -= len > 0 && content.data[len - 1] == '\n';
		len -= len > 0 && len < content.len && content.data[len - 1] == '\r';
		set_scalar(p, o, slice_of(content.data ? content.data : (const uint8_t *)"", len), at, from);
	}
	buf_wipe(&content);
}

/* A scalar with a value in it; tells when it is something else. */
static bool is_value(struct place *p, const struct node_child *c)
{
	if (c->value->kind != NODE_SCALAR)
		problem_add(p->problems, c->line, place_path(p), "must be a single value, not %s",
			node_kind_name(c->value->kind));
	else if (node_is_null(c->value))
		problem_add(p->problems, c->line, place_path(p), "has no value; an empty text is \"\"");
	else
		return true;
	return false;
}

static void read_given(struct place *p, const struct option *o, const struct node_child *c, void *at)
{
	if (is_value(p, c))
		set_scalar(p, o, slice_of(c->value->text, c->value->text_len), at,
			(struct source){c->line, place_path(p)});
}

/* True when the key was there and not empty. */
static bool read_secret_file(struct place *p, const struct option *o, const struct node *map, void *at)
{
	char key[OPTION_KEY_LEN];
	const struct node_child *c;
	struct mark m;
	bool is_given = false;

	option_file_key(o, key);
	c = node_find(map, key);
	if (!c)
		return false;
	m = (struct mark){p->path.len, p->variable.len};
	buf_append_text(&p->path, "_file");
	if (is_value(p, c) && c->value->text_len > 0) {
		is_given = true;
		if (node_find(map, o->name))
			problem_add(p->problems, c->line, place_path(p),
				"stands beside '%s'; give one of them", o->name);
		else
			set_from_file(p, o, c->value->text, at, (struct source){c->line, place_path(p)});
	}
	place_leave(p, m);
	return is_given;
}

/* True when a variable gave the value. */
static bool read_variable(struct place *p, const struct option *o, void *at)
{
	const char *value = place_variable_value(p, "");
	const char *file = o->type == OPTION_SECRET ? place_variable_value(p, "_FILE") : NULL;
	char where[OPTION_KEY_LEN * 2];

	snprintf(where, sizeof where, "%s%s", place_variable(p), value ? "" : "_FILE");
	if (value && file && *file)
		problem_add(p->problems, 0, where, "is set beside %s_FILE; set one of them", where);
	else if (value)
		set_scalar(p, o, slice_text(value), at, (struct source){0, where});
	else if (file && *file)
		set_from_file(p, o, file, at, (struct source){0, where});
	return value || (file && *file);
}

enum given { GIVEN_NOT = 0, GIVEN_FILE = 1, GIVEN_VARIABLE = 2 };

static unsigned read_scalar(struct place *p, const struct option *o, const struct node *map, void *at)
{
	const struct node_child *c = map ? node_find(map, o->name) : NULL;
	unsigned given = GIVEN_NOT;

	if (c) {
		given |= GIVEN_FILE;
		read_given(p, o, c, at);
	}
	if (o->type == OPTION_SECRET && map && read_secret_file(p, o, map, at))
		given |= GIVEN_FILE;
	if (read_variable(p, o, at))
		given |= GIVEN_VARIABLE;
	return given;
}

/* ---- lists, JSON ---- */

static void run_check(struct place *p, const struct option *o, const void *value, int line)
{
	char why[CONFIG_WHY_LEN] = "is not allowed";

	if (o->check && o->check(value, why, sizeof why) < 0)
		problem_add(p->problems, line, place_path(p), "%s", why);
}

/* A list, or nothing where a list may stand; NULL after telling when it is something else. */
static const struct node *list_of(struct place *p, const struct node_child *c)
{
	static const struct node empty = {.kind = NODE_LIST};

	if (node_is_null(c->value))
		return &empty;
	if (c->value->kind == NODE_LIST)
		return c->value;
	problem_add(p->problems, c->line, place_path(p), "must be a list, not %s",
		node_kind_name(c->value->kind));
	return NULL;
}

static void read_strings(
	struct place *p, const struct option *o, const struct node_child *c, struct option_strings *out)
{
	const struct node *list = list_of(p, c);
	size_t before = p->problems->len;

	if (!list)
		return;
	out->items = calloc(list->len + 1, sizeof *out->items);
	if (!out->items) {
		p->problems->is_out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < list->len; i++) {
		const struct option text = {.name = o->name, .type = OPTION_STRING};
		const struct node_child *item = &list->children[i];
		struct mark m = place_enter_item(p, i);

		out->items[out->len++] = NULL;
		read_given(p, &text, item, &out->items[i]);
		place_leave(p, m);
	}
	if (p->problems->len == before)
		run_check(p, o, out, c->line);
}

static void read_json(struct place *p, const struct option *o, const struct node_child *c, char **out)
{
	char why[CONFIG_WHY_LEN] = "is too large";
	struct buf json;
	uint8_t *text;
	size_t len;
	int rc;

	buf_init(&json, JSON_MAX);
	rc = node_to_json(c->value, &json, why, sizeof why);
	if (rc == 0)
		rc = buf_take(&json, &text, &len);
	if (rc == 0) {
		*out = (char *)text;
		run_check(p, o, out, c->line);
	} else if (rc == -ENOMEM) {
		p->problems->is_out_of_memory = true;
	} else {
		problem_add(p->problems, c->line, place_path(p), "%s", why);
	}
	buf_wipe(&json);
}

/* A scalar that stands for a map with one key. */
static bool is_short(const struct option *o, const struct node *given)
{
	return given && given->kind == NODE_SCALAR && o->scalar_field && !node_is_null(given);
}

static void read_item(struct place *p, const struct option *o, const struct node_child *c, void *item)
{
	struct node_child only = {.key = (char *)o->scalar_field, .line = c->line, .value = c->value};
	const struct node short_form = {.kind = NODE_MAP, .line = c->line, .children = &only, .len = 1};
	const struct node *map = c->value;
	size_t before = p->problems->len;

	if (is_short(o, map))
		map = &short_form;
	if (o->line_offset)
		*(int *)((char *)item + o->line_offset) = c->line;
	if (map->kind != NODE_MAP) {
		problem_add(p->problems, c->line, place_path(p), "must be a map%s, not %s",
			o->scalar_field ? " or a text" : "",
			node_is_null(map) ? "empty" : node_kind_name(map->kind));
		return;
	}
	place_read_fields(p, o->fields, map, item, true, c->line);
	if (p->problems->len == before)
		run_check(p, o, item, c->line);
}

static void read_list(
	struct place *p, const struct option *o, const struct node_child *c, struct option_list *out)
{
	const struct node *list = list_of(p, c);
	bool had_variables = p->has_variables;

	if (!list)
		return;
	out->items = calloc(list->len + 1, o->item_size);
	if (!out->items) {
		p->problems->is_out_of_memory = true;
		return;
	}
	p->has_variables = false;
	for (size_t i = 0; i < list->len; i++) {
		struct mark m = place_enter_item(p, i);

		out->len++;
		read_item(p, o, &list->children[i], (char *)out->items + i * o->item_size);
		place_leave(p, m);
	}
	p->has_variables = had_variables;
}

/* ---- sections ---- */

static bool read_section(struct place *p, const struct option *o, const struct node_child *c, void *at)
{
	const struct node *map = c ? c->value : NULL;
	struct node_child only = {
		.key = (char *)o->scalar_field, .line = c ? c->line : 0, .value = c ? c->value : NULL};
	const struct node short_form = {.kind = NODE_MAP, .line = only.line, .children = &only, .len = 1};
	size_t before = p->problems->len;
	bool is_given;

	if (is_short(o, map))
		map = &short_form;
	if (map && map->kind != NODE_MAP && !node_is_null(map)) {
		problem_add(p->problems, c->line, place_path(p), "must be a map%s, not %s",
			o->scalar_field ? " or a text" : "", node_kind_name(map->kind));
		return true;
	}
	if (map && map->kind != NODE_MAP)
		map = NULL;
	is_given = place_read_fields(p, o->fields, map, at, c || o->required, c ? c->line : 0) || c;
	if (is_given && p->problems->len == before)
		run_check(p, o, at, c ? c->line : 0);
	return is_given;
}

/* What is not a scalar and stands in the file, or in a fallback. */
static void read_compound(struct place *p, const struct option *o, const struct node_child *c, void *at)
{
	if (o->type == OPTION_STRINGS)
		read_strings(p, o, c, at);
	else if (o->type == OPTION_JSON)
		read_json(p, o, c, at);
	else if (o->type == OPTION_LIST)
		read_list(p, o, c, at);
}

/* A fallback is a part of the program: one that cannot be read is a mistake in the table. */
static void set_fallback(struct place *p, const struct option *o, void *at)
{
	struct problems none = {.name = o->name};
	struct place there;
	struct node_child c = {.line = 1};
	int rc = 0;

	if (!o->fallback)
		return;
	if (option_is_scalar(o)) {
		char why[CONFIG_WHY_LEN];

		rc = option_set(o, slice_text(o->fallback), at, why, sizeof why);
	} else {
		place_init(&there, &none, NULL);
		rc = node_parse(slice_text(o->fallback), &none, &c.value);
		if (rc == 0 && c.value)
			read_compound(&there, o, &c, at);
		node_free(c.value);
		place_done(&there);
		assert(none.len == 0 || none.is_out_of_memory);
	}
	assert(rc == 0 || rc == -ENOMEM);
	if (rc == -ENOMEM || none.is_out_of_memory)
		p->problems->is_out_of_memory = true;
	problems_done(&none);
}

/* One option of a section. True when it was given, by the file or a variable. */
static unsigned read_option(struct place *p, const struct option *o, const struct node *map, void *at)
{
	const struct node_child *c = map ? node_find(map, o->name) : NULL;
	unsigned given = GIVEN_NOT;

	if (o->type == OPTION_SECTION)
		return read_section(p, o, c, at) ? (c ? GIVEN_FILE : GIVEN_VARIABLE) : GIVEN_NOT;
	if (option_is_scalar(o)) {
		given = read_scalar(p, o, map, at);
	} else if (c) {
		given = GIVEN_FILE;
		read_compound(p, o, c, at);
	}
	if (!given)
		set_fallback(p, o, at);
	return given;
}

bool place_read_fields(struct place *p, const struct option *fields, const struct node *map, void *base,
	bool is_needed, int line)
{
	const struct option *missing[FIELDS_MAX];
	size_t missing_len = 0;
	unsigned given = GIVEN_NOT;

	if (map)
		place_refuse_keys(p, fields, map);
	for (const struct option *o = fields; o->name; o++) {
		struct mark m = place_enter(p, o->name);
		unsigned here = GIVEN_NOT;

		assert(o - fields < FIELDS_MAX);
		if (o->type != OPTION_IGNORED)
			here = read_option(p, o, map, (char *)base + o->offset);
		if (!here && o->required && o->type != OPTION_SECTION)
			missing[missing_len++] = o;
		given |= here;
		place_leave(p, m);
	}
	for (size_t i = 0; (is_needed || given) && i < missing_len; i++) {
		struct mark m = place_enter(p, missing[i]->name);

		problem_add(p->problems, line, place_path(p), "is missing; it is required");
		place_leave(p, m);
	}
	return given & GIVEN_VARIABLE;
}
