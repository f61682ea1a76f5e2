#include "runtime/config_internal.h"

#include <stdio.h>

enum { NAME_LEN = 512 };

static const char *const type_words[] = {
	[OPTION_STRING] = "text",
	[OPTION_SECRET] = "secret text",
	[OPTION_BOOL] = "true or false",
	[OPTION_INT] = "whole number",
	[OPTION_NUMBER] = "number",
	[OPTION_DURATION] = "duration",
	[OPTION_SIZE] = "size",
	[OPTION_CHOICE] = "",
	[OPTION_STRINGS] = "list of texts",
	[OPTION_JSON] = "any value",
	[OPTION_SECTION] = "map",
	[OPTION_LIST] = "list of maps",
};

/* "duration between 1s and 365d" */
static void describe_type(const struct option *o, struct buf *out)
{
	buf_append_text(out, type_words[o->type]);
	if (o->type == OPTION_LIST && o->scalar_field)
		buf_printf(out, ", or of texts that stand for `%s`", o->scalar_field);
	if (o->type == OPTION_CHOICE)
		option_list_choices(o, out);
	if (o->min || o->max) {
		buf_append_byte(out, ' ');
		option_list_bounds(o, out);
	}
}

/* A bar would end the cell. */
static void append_cell(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_append_byte(out, '\\');
		buf_append_byte(out, (uint8_t)*text);
	}
}

static void describe_fallback(const struct option *o, struct buf *out)
{
	if (o->required)
		buf_append_text(out, "required");
	else if (o->fallback && *o->fallback) {
		buf_append_byte(out, '`');
		append_cell(out, o->fallback);
		buf_append_byte(out, '`');
	}
}

static void append_row(const struct option *o, struct buf *out)
{
	buf_printf(out, "| `%s`", o->name);
	if (o->type == OPTION_SECRET)
		buf_printf(out, ", `%s_file`", o->name);
	buf_append_text(out, " | ");
	describe_type(o, out);
	buf_append_text(out, " | ");
	describe_fallback(o, out);
	buf_append_text(out, " | ");
	append_cell(out, o->help ? o->help : "");
	buf_append_text(out, " |\n");
}

static void append_section(const struct option *fields, const char *path, const char *help, struct buf *out);

/* The tables of the sections and lists inside, each under the path that leads there. */
static void append_inner(const struct option *fields, const char *path, struct buf *out)
{
	for (const struct option *o = fields; o->name; o++) {
		char inner[NAME_LEN];

		if (o->type != OPTION_SECTION && o->type != OPTION_LIST)
			continue;
		snprintf(inner, sizeof inner, "%s%s%s%s", path, *path ? "." : "", o->name,
			o->type == OPTION_LIST ? "[]" : "");
		append_section(o->fields, inner, o->help, out);
	}
}

static bool has_rows(const struct option *fields, bool is_root)
{
	for (const struct option *o = fields; o->name; o++)
		if (o->type != OPTION_IGNORED && !(is_root && o->type == OPTION_SECTION))
			return true;
	return false;
}

static void append_section(const struct option *fields, const char *path, const char *help, struct buf *out)
{
	bool is_root = *path == '\0';

	if (!is_root)
		buf_printf(out, "## %s\n\n", path);
	if (!is_root && help)
		buf_printf(out, "%s\n\n", help);
	if (has_rows(fields, is_root)) {
		buf_append_text(out, "| key | value | default | meaning |\n|---|---|---|---|\n");
		for (const struct option *o = fields; o->name; o++)
			if (o->type != OPTION_IGNORED && !(is_root && o->type == OPTION_SECTION))
				append_row(o, out);
		buf_append_byte(out, '\n');
	}
	append_inner(fields, path, out);
}

int config_reference(const struct option *root, struct buf *out)
{
	append_section(root, "", NULL, out);
	return out->error;
}
