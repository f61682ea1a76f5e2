#include "runtime/config_internal.h"

#include <stdio.h>

#include "runtime/quote.h"

enum { KEYS_LISTED_MAX = 12, SHOWN_MAX = 60, HINT_LEN = 1024 };

extern char **environ;

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
	char name[OPTION_KEY_LEN];
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

void option_file_key(const struct option *o, char key[OPTION_KEY_LEN])
{
	snprintf(key, OPTION_KEY_LEN, "%s_file", o->name);
}

static void suggest(const struct option *fields, const char *key, struct buf *out)
{
	struct nearest near = nearest_to(key);
	char file_key[OPTION_KEY_LEN];

	for (const struct option *o = fields; o->name; o++) {
		offer(&near, o->name);
		if (o->type == OPTION_SECRET) {
			option_file_key(o, file_key);
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

void place_refuse_keys(struct place *p, const struct option *fields, const struct node *map)
{
	for (size_t i = 0; i < map->len; i++) {
		const struct node_child *c = &map->children[i];
		struct buf where, hint;

		if (find_option(fields, c->key))
			continue;
		buf_init(&where, HINT_LEN);
		buf_init(&hint, HINT_LEN);
		buf_printf(&where, "%s%s", place_path(p), p->path.len ? "." : "");
		quote_plain(&where, slice_text(c->key), SHOWN_MAX);
		suggest(fields, c->key, &hint);
		problem_add(p->problems, c->line, buf_text(&where) ? buf_text(&where) : place_path(p),
			"unknown key%s", buf_text(&hint) ? buf_text(&hint) : "");
		buf_done(&where);
		buf_done(&hint);
	}
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
		struct mark m = place_enter(p, o->name);

		if (o->type == OPTION_SECTION) {
			look_at_fields(p, o->fields, k);
		} else if (option_is_scalar(o)) {
			k->is_known |= strcmp(place_variable(p), k->wanted) == 0;
			offer(&k->near, place_variable(p));
			if (o->type == OPTION_SECRET) {
				buf_append_text(&p->variable, "_FILE");
				k->is_known |= strcmp(place_variable(p), k->wanted) == 0;
			}
		} else if (strcmp(place_variable(p), k->wanted) == 0) {
			k->is_compound = true;
		}
		place_leave(p, m);
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

/* `prefix` is POSTBACK_GATEWAY_, the place is at that section. */
static void refuse_variables_of(struct place *p, const struct option *section, const char *prefix)
{
	size_t prefix_len = strlen(prefix);

	for (char **e = environ; e && *e; e++) {
		char name[OPTION_KEY_LEN];
		size_t len = strcspn(*e, "=");

		if (len <= prefix_len || len >= sizeof name || strncmp(*e, prefix, prefix_len) != 0)
			continue;
		memcpy(name, *e, len);
		name[len] = '\0';
		refuse_variable(p, section, name, prefix_len);
	}
}

void place_refuse_variables(struct place *p, const struct option *root)
{
	for (const struct option *o = root; o->name; o++) {
		struct mark m = place_enter(p, o->name);
		char prefix[OPTION_KEY_LEN];

		snprintf(prefix, sizeof prefix, "%s_", place_variable(p));
		if (o->type == OPTION_SECTION)
			refuse_variables_of(p, o, prefix);
		place_leave(p, m);
	}
}
