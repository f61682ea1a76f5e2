/*
 * What the parts of the configuration reader share; nobody else includes it.
 *
 *   config_tree.c       YAML text -> a tree of nodes with their lines
 *   config_value.c      the text of one scalar -> a typed value
 *   config_json.c       a node -> JSON text
 *   config_problem.c    what is wrong, gathered and told in the order of the file
 *   config_place.c      where the reader is: the path of a key and the name of its variable
 *   config_unknown.c    keys and variables that no table knows, and what may have been meant
 *   config_fields.c     tables, tree and environment -> structs
 *   config_reference.c  tables -> Markdown
 *   config.c            the whole: a file in, a struct or problems out
 */
#ifndef RUNTIME_CONFIG_INTERNAL_H
#define RUNTIME_CONFIG_INTERNAL_H

#include "runtime/config.h"

#define CONFIG_FILE_MAX	 (1024 * 1024)
#define CONFIG_DEPTH_MAX 32
#define CONFIG_WHY_LEN	 256

/* ---- problems ---- */

struct problem {
	int line; /* 0: of no line of the file; told last */
	unsigned number;
	char *text;
};

struct problems {
	const char *name; /* of the file, in every line */
	struct problem *items;
	size_t len;
	bool is_out_of_memory;
};

/* `where` is a path or a variable's name, "" for the whole file. The phrase is complete: "must be ...". */
void problem_add(struct problems *p, int line, const char *where, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Appends all to `out` in the order of lines and returns -EINVAL, -ENOMEM, or 0 when there are none. */
int problems_tell(struct problems *p, struct buf *out);
void problems_done(struct problems *p);

/* ---- place ---- */

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

/* `environ_prefix` NULL: variables are not asked. */
void place_init(struct place *p, struct problems *problems, const char *environ_prefix);
void place_done(struct place *p);
/* Down to a key or a list's item, and back to where the mark was made. */
struct mark place_enter(struct place *p, const char *name);
struct mark place_enter_item(struct place *p, size_t index);
void place_leave(struct place *p, struct mark m);
/* "gateway.limits.body" and "POSTBACK_GATEWAY_LIMITS_BODY"; borrowed until the place changes. */
const char *place_path(struct place *p);
const char *place_variable(struct place *p);
/* The variable's value, or NULL; `suffix` is "" or "_FILE". */
const char *place_variable_value(struct place *p, const char *suffix);

/* ---- tree ---- */

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
	enum node_kind kind;
	int line;
	bool is_plain; /* a scalar without quotes */
	char *text;    /* scalar; terminated, but may hold a NUL inside */
	size_t text_len;
	struct node_child *children;
	size_t len;
};

struct node_child {
	char *key; /* NULL in a list */
	int line;  /* of the key, or of the item */
	struct node *value;
};

/*
 * Owns: *root, NULL for an empty document. Adds problems, after which *root may be there in part. 0, -EINVAL when the
 * text could not be read to its end, -ENOMEM.
 */
int node_parse(struct slice text, struct problems *p, struct node **root);
/* Wipes all texts, which may be secrets. */
void node_free(struct node *n);
const struct node_child *node_find(const struct node *map, const char *key);
/* No value at all: nothing, ~ or null, without quotes. */
bool node_is_null(const struct node *n);
/* "a text", "a map", "a list" */
const char *node_kind_name(enum node_kind kind);

/* ---- values ---- */

bool option_is_scalar(const struct option *o);
/*
 * Sets the field at `at` from text, freeing what was there. Writes why it is refused, with what is allowed and never a
 * secret. 0, -EINVAL, -ENOMEM.
 */
int option_set(const struct option *o, struct slice text, void *at, char *why, size_t why_len);
/* The words of a choice: "debug, info, warn or error". */
void option_list_choices(const struct option *o, struct buf *out);
/* The bounds of a value: "between 1s and 365d", "at least 1"; nothing when it has none. */
void option_list_bounds(const struct option *o, struct buf *out);
/* free() after overwriting; NULL is fine. */
void text_wipe(char *text);

/* ---- what no table knows ---- */

/* The key `password_file` of a secret called `password`. */
#define OPTION_KEY_LEN 128
void option_file_key(const struct option *o, char key[OPTION_KEY_LEN]);
/* Keys of this map, and variables under the root's own sections, that name no option. */
void place_refuse_keys(struct place *p, const struct option *fields, const struct node *map);
void place_refuse_variables(struct place *p, const struct option *root);

/* ---- fields ---- */

/*
 * All fields of the struct at `base`, from the map (or NULL), the variables and the fallbacks. `is_needed`: the section
 * counts as being there even if nothing in it is given. `line`: of the section. True when a variable gave something.
 */
bool place_read_fields(struct place *p, const struct option *fields, const struct node *map, void *base,
	bool is_needed, int line);

/* ---- files ---- */

/* Reads a whole file of at most `max` bytes into `out`, initialising it. 0, -EFBIG or another negative errno. */
int file_read(const char *path, size_t max, struct buf *out);
/* buf_done() after overwriting. */
void buf_wipe(struct buf *b);

/* ---- JSON ---- */

/* 0, -EINVAL with `why` (a number that JSON has not), or the buffer's error. */
int node_to_json(const struct node *n, struct buf *out, char *why, size_t why_len);

#endif
