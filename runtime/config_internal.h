/*
 * What the parts of the configuration reader share; nobody else includes it.
 *
 *   config_tree.c       YAML text -> a tree of nodes with their lines
 *   config_value.c      the text of one scalar -> a typed value
 *   config_json.c       a node -> JSON text
 *   config_problem.c    what is wrong, gathered and told in the order of the file
 *   config_reference.c  tables -> Markdown
 *   config.c            tables, tree and environment -> structs
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

/* ---- JSON ---- */

/* 0, -EINVAL with `why` (a number that JSON has not), or the buffer's error. */
int node_to_json(const struct node *n, struct buf *out, char *why, size_t why_len);

#endif
