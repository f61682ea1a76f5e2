/*
 * Configuration: one YAML file read by libyaml into structs that tables of options describe. All that is wrong is told
 * at once, each as "file:line: path: what is wrong, what is allowed".
 *
 * A service's root table names its own sections; other services' sections are named with OPTION_IGNORED. Paths count list
 * items from 0: processor.handlers[2].timeout.
 *
 * Scalars (also those in sections, not those inside lists) can be overridden by environment variables: POSTBACK_ and
 * the path in capitals, dots as underscores (POSTBACK_GATEWAY_LIMITS_BODY). A variable that begins with one of the
 * service's own sections and names no option of it is an error, but for those that Kubernetes makes for a Service of
 * that name (..._SERVICE_HOST, ..._PORT_...). For an OPTION_SECRET called `password` the key `password_file` (and its
 * variable) is accepted as well: the file's content less its last newline; an empty name is none.
 *
 * YAML: one document, no anchors, aliases, tags or duplicate keys. A section or list without a value is an empty one;
 * a scalar without one (or null, or ~) is an error, "" being the empty text.
 *
 * The file is read once, at start; blocking is fine here.
 */
#ifndef RUNTIME_CONFIG_H
#define RUNTIME_CONFIG_H

#include "base/buf.h"

enum option_type {
	OPTION_STRING,	 /* char *, owned; never NULL unless fallback is NULL and it was not given */
	OPTION_SECRET,	 /* char *, owned; never printed; wiped on free */
	OPTION_BOOL,	 /* bool */
	OPTION_INT,	 /* int64_t, min..max */
	OPTION_NUMBER,	 /* double, min..max */
	OPTION_DURATION, /* int64_t milliseconds: 500ms 10s 5m 2h 7d; a bare 0; min..max in ms */
	OPTION_SIZE,	 /* int64_t bytes: 1234 64KiB 8MiB 1GiB, also KB MB GB; min..max in bytes */
	OPTION_CHOICE,	 /* int: index into choices */
	OPTION_STRINGS,	 /* struct option_strings */
	OPTION_JSON,	 /* char *, owned: any YAML below as compact JSON text (quoted scalars are strings) */
	OPTION_SECTION,	 /* a struct in place, described by fields */
	OPTION_LIST,	 /* struct option_list of structs described by fields */
	OPTION_IGNORED,	 /* any content, belongs to another service */
};

struct option_strings {
	char **items;
	size_t len;
};

struct option_list {
	void *items; /* elements of item_size bytes, zeroed and filled with the fields' fallbacks */
	size_t len;
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset;	      /* offsetof in the struct of this table */
	const char *fallback; /* as it would stand in YAML; NULL: none (zero, NULL, empty) */
	/*
	 * Missing is an error. Inside a section that is not there at all nothing is missing, unless the section itself is
	 * required.
	 */
	bool required;
	int64_t min, max;	     /* both 0: no bounds but the type's own */
	const char *const *choices;  /* NULL terminated */
	const struct option *fields; /* SECTION, LIST; ends with an empty entry */
	size_t item_size;	     /* LIST */
	/*
	 * LIST, SECTION: a scalar stands for a struct with just this field, as `tasks: [audit, {task: notify}]` and
	 * `auth: none`; NULL: maps only.
	 */
	const char *scalar_field;
	/*
	 * After a value, a whole section or a list's item was read without fault: `value` points at the field (a char *const *
	 * for texts), at the section's struct or at the item's struct. Not called for fallbacks. Writes why (a phrase) and
	 * returns -EINVAL to refuse it.
	 */
	int (*check)(const void *value, char *why, size_t why_len);
	const char *help;   /* one sentence for --help and the reference */
	size_t line_offset; /* LIST items: offsetof an `int line` to be set to the item's line; 0: none */
};

/*
 * Reads `path` (NULL: no file, all fallbacks) into the zeroed struct `out` by the table `root`. `environ_prefix` is "POSTBACK"; NULL leaves the
 * environment out. On errors appends a line for each to `errors` and returns -EINVAL (what was read is freed);
 * -errno when the file cannot be read (a line says so too). A file's size is bounded by 1 MiB, its depth by 32;
 * aliases and anchors are refused, duplicate keys too.
 */
int config_read(const char *path, const char *environ_prefix, const struct option *root, void *out,
	struct buf *errors);
/* The same from memory; `name` stands for the file in messages. */
int config_parse(const char *name, struct slice text, const char *environ_prefix, const struct option *root,
	void *out, struct buf *errors);
/* Frees everything that config_read put into `out` and zeroes it. */
void config_free(const struct option *root, void *out);

/* The reference as Markdown tables, from the same tables; what docs/configuration.md is held against. */
int config_reference(const struct option *root, struct buf *out);

/* "10s" and the like from other places (query parameters). 0 or -EINVAL (also when it does not fit). */
int duration_parse(struct slice text, int64_t *ms);
int size_parse(struct slice text, int64_t *bytes);

/* As duration_parse and size_parse read it, in the largest unit that divides it: "90s", "15MiB". Terminated. */
#define QUANTITY_TEXT_LEN 24
void duration_format(int64_t ms, char text[QUANTITY_TEXT_LEN + 1]);
void size_format(int64_t bytes, char text[QUANTITY_TEXT_LEN + 1]);

#endif
