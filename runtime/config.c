#include "runtime/config_internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/quote.h"

enum {
	PATH_LEN = 1024,
	SECRET_FILE_MAX = 64 * 1024,
	KEYS_LISTED_MAX = 12,
	NAME_MAX_LEN = 128,
	JSON_MAX = 8 * CONFIG_FILE_MAX
};

extern char **environ;

/* Where the reader is. Both names grow and shrink as it goes down and up. */
struct place {
	struct problems *problems;
	struct buf path;     /* gateway.limits.body */
	struct buf variable; /* POSTBACK_GATEWAY_LIMITS_BODY */
	bool has_variables;  /* false inside lists and without a prefix */
};

struct mark {
	size_t path, variable;
};

static struct mark enter(struct place *p, const char *name)
{
	struct mark m = {p->path.len, p->variable.len};

	if (p->path.len > 0)
		buf_append_byte(&p->path, '.');
	buf_append_text(&p->path, name);
	buf_append_byte(&p->variable, '_');
	for (; *name; name++)
		buf_append_byte(&p->variable, (uint8_t)toupper((unsigned char)*name));
	return m;
}

static struct mark enter_item(struct place *p, size_t index)
{
	struct mark m = {p->path.len, p->variable.len};

	buf_printf(&p->path, "[%zu]", index);
	return m;
}

static void leave(struct place *p, struct mark m)
{
	p->path.len = m.path;
	p->variable.len = m.variable;
}

static const char *path_text(struct place *p)
{
	const char *text = buf_text(&p->path);

	return text ? text : "";
}

static const char *variable_text(struct place *p)
{
	const char *text = buf_text(&p->variable);

	return text ? text : "";
}

/* The variable's value, or NULL. `suffix` is "" or "_FILE". */
static const char *variable_value(struct place *p, const char *suffix)
{
	size_t len = p->variable.len;
	const char *value;

	if (!p->has_variables)
		return NULL;
	buf_append_text(&p->variable, suffix);
	value = getenv(variable_text(p));
	p->variable.len = len;
	return value;
}

/* ---- near misses ---- */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, replacements and swapped neighbours that turn one into the other. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { LEN = 64 };
	size_t a_len = strlen(a), b_len = strlen(b);
	size_t d[3][LEN + 1];

	if (a_len > LEN || b_len > LEN)
		return LEN;
	for (size_t k = 0; k <= b_len; k++)
		d[0][k] = k;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = d[i % 3], *above = d[(i + 2) % 3], *above2 = d[(i + 1) % 3];

		row[0] = i;
		for (size_t k = 1; k <= b_len; k++) {
			row[k] =
				least(least(above[k], row[k - 1]) + 1, above[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				row[k] = least(row[k], above2[k - 2] + 1);
		}
	}
	return d[a_len % 3][b_len];
}

/* Keeps the nearest of the names offered one after the other; far ones never. */
struct nearest {
	const char *wanted;
	size_t distance;
	char name[NAME_MAX_LEN];
};

/* One letter in three may be wrong, and at least one must be right. */
static struct nearest nearest_to(const char *wanted)
{
	size_t len = strlen(wanted);
	size_t limit = len < 6 ? 1 : len < 9 ? 2 : 3;

	return (struct nearest){.wanted = wanted, .distance = least(limit + 1, len)};
}

static void offer(struct nearest *n, const char *name)
{
	size_t distance = edit_distance(n->wanted, name);

	if (distance >= n->distance)
		return;
	n->distance = distance;
	snprintf(n->name, sizeof n->name, "%s", name);
}

/* ---- keys ---- */

static size_t count_fields(const struct option *fields)
{
	size_t count = 0;

	while (fields[count].name)
		count++;
	return count;
}

/* True when the key names the option, or for a secret called `name` is name_file. */
static bool is_key_of(const struct option *o, const char *key)
{
	size_t len = strlen(o->name);

	if (strcmp(key, o->name) == 0)
		return true;
	return o->type == OPTION_SECRET && strncmp(key, o->name, len) == 0 && strcmp(key + len, "_file") == 0;
}

static const struct option *find_option(const struct option *fields, const char *key)
{
	for (const struct option *o = fields; o->name; o++)
		if (is_key_of(o, key))
			return o;
	return NULL;
}

static void name_file_key(const struct option *o, char name[NAME_MAX_LEN])
{
	snprintf(name, NAME_MAX_LEN, "%s_file", o->name);
}

static void suggest(const struct option *fields, const char *key, struct buf *out)
{
	struct nearest near = nearest_to(key);
	char file_key[NAME_MAX_LEN];

	for (const struct option *o = fields; o->name; o++) {
		offer(&near, o->name);
		if (o->type == OPTION_SECRET) {
			name_file_key(o, file_key);
			offer(&near, file_key);
		}
	}
	if (near.name[0]) {
		buf_printf(out, "; did you mean '%s'?", near.name);
		return;
	}
	if (count_fields(fields) > KEYS_LISTED_MAX)
		return;
	buf_append_text(out, "; allowed are ");
	for (const struct option *o = fields; o->name; o++)
		buf_printf(out, "%s%s", o == fields ? "" : ", ", o->name);
}

static void refuse_unknown_keys(struct place *p, const struct option *fields, const struct node *map)
{
	for (size_t i = 0; i < map->len; i++) {
		const struct node_child *c = &map->children[i];
		struct buf where, hint;

		if (find_option(fields, c->key))
			continue;
		buf_init(&where, PATH_LEN);
		buf_init(&hint, PATH_LEN);
		buf_printf(&where, "%s%s", path_text(p), p->path.len ? "." : "");
		quote_plain(&where, slice_text(c->key), 60);
		suggest(fields, c->key, &hint);
		problem_add(p->problems, c->line, buf_text(&where) ? buf_text(&where) : path_text(p),
			"unknown key%s", buf_text(&hint) ? buf_text(&hint) : "");
		buf_done(&where);
		buf_done(&hint);
	}
}

/* ---- scalars ---- */

/* Reads a whole file of at most `max` bytes into `out`. 0, -EFBIG or another negative errno. */
static int read_file(const char *path, size_t max, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[8192];
	ssize_t n;
	int rc = 0;

	if (fd < 0)
		return -errno;
	buf_init(out, max);
	while (rc == 0) {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? -errno : 0;
			break;
		}
		rc = buf_append(out, chunk, (size_t)n);
	}
	close(fd);
	explicit_bzero(chunk, sizeof chunk);
	return rc == -EMSGSIZE ? -EFBIG : rc;
}

static void wipe_buf(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

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
	int rc = read_file(path, SECRET_FILE_MAX, &content);

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
	wipe_buf(&content);
}

/* A scalar with a value in it; tells when it is something else. */
static bool is_value(struct place *p, const struct node_child *c)
{
	if (c->value->kind != NODE_SCALAR)
		problem_add(p->problems, c->line, path_text(p), "must be a single value, not %s",
			node_kind_name(c->value->kind));
	else if (node_is_null(c->value))
		problem_add(p->problems, c->line, path_text(p), "has no value; an empty text is \"\"");
	else
		return true;
	return false;
}

static void read_given(struct place *p, const struct option *o, const struct node_child *c, void *at)
{
	if (is_value(p, c))
		set_scalar(p, o, slice_of(c->value->text, c->value->text_len), at,
			(struct source){c->line, path_text(p)});
}

/* True when the key was there and not empty. */
static bool read_secret_file(struct place *p, const struct option *o, const struct node *map, void *at)
{
	char key[NAME_MAX_LEN];
	const struct node_child *c;
	struct mark m;
	bool is_given = false;

	name_file_key(o, key);
	c = node_find(map, key);
	if (!c)
		return false;
	m = (struct mark){p->path.len, p->variable.len};
	buf_append_text(&p->path, "_file");
	if (is_value(p, c) && c->value->text_len > 0) {
		is_given = true;
		if (node_find(map, o->name))
			problem_add(p->problems, c->line, path_text(p),
				"stands beside '%s'; give one of them", o->name);
		else
			set_from_file(p, o, c->value->text, at, (struct source){c->line, path_text(p)});
	}
	leave(p, m);
	return is_given;
}

/* True when a variable gave the value. */
static bool read_variable(struct place *p, const struct option *o, void *at)
{
	const char *value = variable_value(p, "");
	const char *file = o->type == OPTION_SECRET ? variable_value(p, "_FILE") : NULL;
	char where[NAME_MAX_LEN * 2];

	snprintf(where, sizeof where, "%s%s", variable_text(p), value ? "" : "_FILE");
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
		problem_add(p->problems, line, path_text(p), "%s", why);
}

/* A list, or nothing where a list may stand; NULL after telling when it is something else. */
static const struct node *list_of(struct place *p, const struct node_child *c)
{
	static const struct node empty = {.kind = NODE_LIST};

	if (node_is_null(c->value))
		return &empty;
	if (c->value->kind == NODE_LIST)
		return c->value;
	problem_add(
		p->problems, c->line, path_text(p), "must be a list, not %s", node_kind_name(c->value->kind));
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
		struct mark m = enter_item(p, i);

		out->items[out->len++] = NULL;
		read_given(p, &text, item, &out->items[i]);
		leave(p, m);
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
		problem_add(p->problems, c->line, path_text(p), "%s", why);
	}
	wipe_buf(&json);
}

static bool read_fields(struct place *p, const struct option *fields, const struct node *map, void *base,
	bool is_needed, int line);

static void read_item(struct place *p, const struct option *o, const struct node_child *c, void *item)
{
	/* A scalar stands for a map with one key. */
	struct node_child only = {.key = (char *)o->scalar_field, .line = c->line, .value = c->value};
	const struct node short_form = {.kind = NODE_MAP, .line = c->line, .children = &only, .len = 1};
	const struct node *map = c->value;
	size_t before = p->problems->len;

	if (map->kind == NODE_SCALAR && o->scalar_field && !node_is_null(map))
		map = &short_form;
	if (o->line_offset)
		*(int *)((char *)item + o->line_offset) = c->line;
	if (map->kind != NODE_MAP) {
		problem_add(p->problems, c->line, path_text(p), "must be a map%s, not %s",
			o->scalar_field ? " or a text" : "",
			node_is_null(map) ? "empty" : node_kind_name(map->kind));
		return;
	}
	read_fields(p, o->fields, map, item, true, c->line);
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
		struct mark m = enter_item(p, i);

		out->len++;
		read_item(p, o, &list->children[i], (char *)out->items + i * o->item_size);
		leave(p, m);
	}
	p->has_variables = had_variables;
}

/* ---- sections ---- */

static bool read_section(struct place *p, const struct option *o, const struct node_child *c, void *at)
{
	const struct node *map = c ? c->value : NULL;
	size_t before = p->problems->len;
	bool is_given;

	if (map && map->kind != NODE_MAP && !node_is_null(map)) {
		problem_add(p->problems, c->line, path_text(p), "must be a map, not %s",
			node_kind_name(map->kind));
		return true;
	}
	if (map && map->kind != NODE_MAP)
		map = NULL;
	is_given = read_fields(p, o->fields, map, at, c || o->required, c ? c->line : 0) || c;
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
	struct place there = {.problems = &none};
	struct node_child c = {.line = 1};
	int rc = 0;

	if (!o->fallback)
		return;
	if (option_is_scalar(o)) {
		char why[CONFIG_WHY_LEN];

		rc = option_set(o, slice_text(o->fallback), at, why, sizeof why);
	} else {
		buf_init(&there.path, PATH_LEN);
		buf_init(&there.variable, PATH_LEN);
		rc = node_parse(slice_text(o->fallback), &none, &c.value);
		if (rc == 0 && c.value)
			read_compound(&there, o, &c, at);
		node_free(c.value);
		buf_done(&there.path);
		buf_done(&there.variable);
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

/*
 * All fields of a struct. `is_needed`: the section counts as being there even if nothing in it is given. True when a
 * variable gave something.
 */
static bool read_fields(struct place *p, const struct option *fields, const struct node *map, void *base,
	bool is_needed, int line)
{
	uint64_t missing = 0;
	unsigned given = GIVEN_NOT;

	assert(count_fields(fields) <= 64);
	if (map)
		refuse_unknown_keys(p, fields, map);
	for (const struct option *o = fields; o->name; o++) {
		struct mark m = enter(p, o->name);
		unsigned here = o->type == OPTION_IGNORED ? GIVEN_NOT
							  : read_option(p, o, map, (char *)base + o->offset);

		if (!here && o->required && o->type != OPTION_SECTION)
			missing |= UINT64_C(1) << (o - fields);
		given |= here;
		leave(p, m);
	}
	for (const struct option *o = fields; o->name; o++) {
		struct mark m = enter(p, o->name);

		if ((is_needed || given) && missing >> (o - fields) & 1)
			problem_add(p->problems, line, path_text(p), "is missing; it is required");
		leave(p, m);
	}
	return given & GIVEN_VARIABLE;
}

/* ---- variables that mean nothing ---- */

struct known_variables {
	const char *wanted;
	struct nearest near;
	bool is_known;
	bool is_compound; /* an option of this name is there, but no scalar */
};

static void look_at_fields(struct place *p, const struct option *fields, struct known_variables *k)
{
	for (const struct option *o = fields; o->name; o++) {
		struct mark m = enter(p, o->name);

		if (o->type == OPTION_SECTION) {
			look_at_fields(p, o->fields, k);
		} else if (option_is_scalar(o)) {
			k->is_known |= strcmp(variable_text(p), k->wanted) == 0;
			offer(&k->near, variable_text(p));
			if (o->type == OPTION_SECRET) {
				buf_append_text(&p->variable, "_FILE");
				k->is_known |= strcmp(variable_text(p), k->wanted) == 0;
			}
		} else if (strcmp(variable_text(p), k->wanted) == 0) {
			k->is_compound = true;
		}
		leave(p, m);
	}
}

/* Kubernetes tells every pod of every Service by variables, and "postback-gateway" is a likely name for one. */
static bool is_service_link(const char *rest)
{
	return strncmp(rest, "SERVICE_HOST", 12) == 0 || strncmp(rest, "SERVICE_PORT", 12) == 0 ||
	       strcmp(rest, "PORT") == 0 || strncmp(rest, "PORT_", 5) == 0;
}

static void refuse_variable(
	struct place *p, const struct option *section, const char *name, size_t prefix_len)
{
	struct known_variables k = {.wanted = name, .near = nearest_to(name)};

	look_at_fields(p, section->fields, &k);
	if (k.is_known)
		return;
	if (k.is_compound)
		problem_add(p->problems, 0, name, "names a list or map, which only the file can set");
	else if (!is_service_link(name + prefix_len))
		problem_add(p->problems, 0, name, "is not a variable of the section '%s'%s%s%s",
			section->name, k.near.name[0] ? "; did you mean " : "", k.near.name,
			k.near.name[0] ? "?" : "");
}

static void refuse_unknown_variables(struct place *p, const struct option *root)
{
	for (const struct option *o = root; o->name; o++) {
		struct mark m = enter(p, o->name);
		size_t len;

		buf_append_byte(&p->variable, '_');
		len = p->variable.len;
		for (char **e = environ; o->type == OPTION_SECTION && e && *e; e++) {
			char name[NAME_MAX_LEN];
			size_t name_len = strcspn(*e, "=");

			if (name_len <= len || name_len >= sizeof name ||
				strncmp(*e, variable_text(p), len) != 0)
				continue;
			memcpy(name, *e, name_len);
			name[name_len] = '\0';
			p->variable.len = len - 1;
			refuse_variable(p, o, name, len);
			p->variable.len = len - 1;
			buf_append_byte(&p->variable, '_');
		}
		leave(p, m);
	}
}

/* ---- the whole ---- */

static void read_root(struct problems *problems, const struct node *root_node, const char *environ_prefix,
	const struct option *root, void *out)
{
	struct place p = {.problems = problems, .has_variables = environ_prefix != NULL};

	buf_init(&p.path, PATH_LEN);
	buf_init(&p.variable, PATH_LEN);
	buf_append_text(&p.variable, environ_prefix ? environ_prefix : "");
	if (root_node && root_node->kind != NODE_MAP && !node_is_null(root_node))
		problem_add(problems, root_node->line, "", "must be a map of sections, not %s",
			node_kind_name(root_node->kind));
	if (root_node && root_node->kind != NODE_MAP)
		root_node = NULL;
	read_fields(&p, root, root_node, out, true, 1);
	if (environ_prefix)
		refuse_unknown_variables(&p, root);
	buf_done(&p.path);
	buf_done(&p.variable);
}

int config_parse(const char *name, struct slice text, const char *environ_prefix, const struct option *root,
	void *out, struct buf *errors)
{
	struct problems problems = {.name = name};
	struct node *tree = NULL;
	int rc;

	if (text.len > CONFIG_FILE_MAX) {
		problem_add(&problems, 0, name, "is larger than %d bytes", CONFIG_FILE_MAX);
		rc = -EINVAL;
	} else {
		rc = node_parse(text, &problems, &tree);
	}
	if (rc == -ENOMEM)
		problems.is_out_of_memory = true;
	if (rc == 0)
		read_root(&problems, tree, environ_prefix, root, out);
	rc = problems_tell(&problems, errors);
	if (rc < 0)
		config_free(root, out);
	node_free(tree);
	problems_done(&problems);
	return rc;
}

int config_read(const char *path, const char *environ_prefix, const struct option *root, void *out,
	struct buf *errors)
{
	struct buf text = {0};
	int rc;

	if (!path)
		return config_parse("configuration", slice_text(""), environ_prefix, root, out, errors);
	rc = read_file(path, CONFIG_FILE_MAX, &text);
	if (rc == -EFBIG)
		buf_printf(errors, "%s: is larger than %d bytes\n", path, CONFIG_FILE_MAX);
	else if (rc < 0)
		buf_printf(errors, "%s: cannot be read: %s\n", path, strerror(-rc));
	else
		rc = config_parse(path, buf_slice(&text), environ_prefix, root, out, errors);
	wipe_buf(&text);
	return rc;
}

static void free_text(char **at)
{
	text_wipe(*at);
	*at = NULL;
}

static void free_strings(struct option_strings *s)
{
	for (size_t i = 0; i < s->len; i++)
		text_wipe(s->items[i]);
	free(s->items);
	*s = (struct option_strings){0};
}

static void free_list(const struct option *o, struct option_list *l)
{
	for (size_t i = 0; i < l->len; i++)
		config_free(o->fields, (char *)l->items + i * o->item_size);
	free(l->items);
	*l = (struct option_list){0};
}

static void free_option(const struct option *o, void *at)
{
	switch (o->type) {
	case OPTION_STRING:
	case OPTION_SECRET:
	case OPTION_JSON: free_text(at); break;
	case OPTION_STRINGS: free_strings(at); break;
	case OPTION_LIST: free_list(o, at); break;
	case OPTION_SECTION: config_free(o->fields, at); break;
	case OPTION_BOOL: *(bool *)at = false; break;
	case OPTION_CHOICE: *(int *)at = 0; break;
	case OPTION_NUMBER: *(double *)at = 0; break;
	case OPTION_INT:
	case OPTION_DURATION:
	case OPTION_SIZE: *(int64_t *)at = 0; break;
	case OPTION_IGNORED: break;
	}
}

void config_free(const struct option *root, void *out)
{
	for (const struct option *o = root; o->name; o++)
		free_option(o, (char *)out + o->offset);
}
