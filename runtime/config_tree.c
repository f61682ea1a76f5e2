#include "runtime/config_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

#include "runtime/quote.h"

/* KEYS_MAX keeps the search for duplicates short. */
enum { KEY_MAX = 200, KEYS_MAX = 1000 };

struct reader {
	yaml_parser_t yaml;
	struct slice text;
	struct problems *problems;
	int depth;
};

static int parse_value(struct reader *r, const yaml_event_t *event, struct node **out);

static int line_of(const yaml_event_t *event)
{
	return (int)event->start_mark.line + 1;
}

/* libyaml gives the reader's errors (encoding, control characters) a byte offset and no line. */
static int line_of_offset(struct slice text, size_t offset)
{
	int line = 1;

	for (size_t i = 0; i < offset && i < text.len; i++)
		line += text.data[i] == '\n';
	return line;
}

static int refuse_syntax(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;
	int line = y->error == YAML_READER_ERROR ? line_of_offset(r->text, y->problem_offset)
						 : (int)y->problem_mark.line + 1;

	if (y->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (y->context)
		problem_add(r->problems, line, "", "not YAML: %s (%s from line %zu)", y->problem, y->context,
			y->context_mark.line + 1);
	else
		problem_add(r->problems, line, "", "not YAML: %s", y->problem ? y->problem : "syntax error");
	return -EINVAL;
}

static int next_event(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->yaml, event) ? 0 : refuse_syntax(r);
}

/* yaml_event_delete leaves the text of secrets behind in freed memory. */
static void drop_event(yaml_event_t *event)
{
	if (event->type == YAML_SCALAR_EVENT)
		explicit_bzero(event->data.scalar.value, event->data.scalar.length);
	yaml_event_delete(event);
}

static void wipe(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

void node_free(struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->len; i++) {
		free(n->children[i].key);
		node_free(n->children[i].value);
	}
	free(n->children);
	wipe(n->text, n->text_len);
	free(n);
}

const struct node_child *node_find(const struct node *map, const char *key)
{
	for (size_t i = 0; i < map->len; i++)
		if (strcmp(map->children[i].key, key) == 0)
			return &map->children[i];
	return NULL;
}

bool node_is_null(const struct node *n)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (n->kind != NODE_SCALAR || !n->is_plain)
		return false;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(n->text, words[i]) == 0)
			return true;
	return false;
}

const char *node_kind_name(enum node_kind kind)
{
	switch (kind) {
	case NODE_SCALAR: return "a text";
	case NODE_MAP: return "a map";
	case NODE_LIST: return "a list";
	}
	return "?";
}

static const char *forbidden_mark(const yaml_event_t *event)
{
	static const char *const what[] = {"anchors (&) are not allowed", "tags (!) are not allowed"};

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor ? what[0] : event->data.scalar.tag ? what[1] : NULL;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor ? what[0]
		       : event->data.sequence_start.tag	 ? what[1]
							 : NULL;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor ? what[0]
		       : event->data.mapping_start.tag	? what[1]
							: NULL;
	case YAML_ALIAS_EVENT: return "aliases (*) are not allowed";
	default: return NULL;
	}
}

/* Room for one more child, doubling. */
static struct node_child *add_child(struct node *n)
{
	if ((n->len & (n->len - 1)) == 0) {
		size_t cap = n->len ? n->len * 2 : 1;
		struct node_child *grown = reallocarray(n->children, cap, sizeof *grown);

		if (!grown)
			return NULL;
		n->children = grown;
	}
	n->children[n->len] = (struct node_child){0};
	return &n->children[n->len++];
}

static int fill_scalar(const yaml_event_t *event, struct node *n)
{
	n->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text_len = event->data.scalar.length;
	n->text = malloc(n->text_len + 1);
	if (!n->text)
		return -ENOMEM;
	memcpy(n->text, event->data.scalar.value, n->text_len);
	n->text[n->text_len] = '\0';
	return 0;
}

static int fill_list(struct reader *r, struct node *n)
{
	for (;;) {
		yaml_event_t event;
		struct node_child *child;
		int rc = next_event(r, &event);

		if (rc < 0)
			return rc;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			drop_event(&event);
			return 0;
		}
		child = add_child(n);
		if (child) {
			child->line = line_of(&event);
			rc = parse_value(r, &event, &child->value);
		} else {
			rc = -ENOMEM;
		}
		drop_event(&event);
		if (rc < 0)
			return rc;
	}
}

/* Keys are short texts that are not there yet. The child has a key in every case but for want of memory. */
static int take_key(
	struct reader *r, const yaml_event_t *event, const struct node *n, struct node_child *child)
{
	char key[KEY_MAX * 2];
	struct slice text;
	struct buf shown;

	child->line = line_of(event);
	if (event->type != YAML_SCALAR_EVENT) {
		problem_add(r->problems, child->line, "", "a key must be a text");
		return -EINVAL;
	}
	if (n->len > KEYS_MAX) {
		problem_add(r->problems, child->line, "", "more than %d keys in one map", KEYS_MAX);
		return -EINVAL;
	}
	text = slice_of(event->data.scalar.value, event->data.scalar.length);
	if (text.len > KEY_MAX || memchr(text.data, '\0', text.len)) {
		problem_add(
			r->problems, child->line, "", "a key must have at most %d bytes and no NUL", KEY_MAX);
		return -EINVAL;
	}
	memcpy(key, text.data, text.len);
	key[text.len] = '\0';
	for (size_t i = 0; i + 1 < n->len; i++) {
		if (strcmp(n->children[i].key, key) != 0)
			continue;
		buf_init(&shown, sizeof key);
		quote_plain(&shown, text, KEY_MAX);
		problem_add(r->problems, child->line, "", "duplicate key '%s', first given in line %d",
			buf_text(&shown) ? buf_text(&shown) : "", n->children[i].line);
		buf_done(&shown);
	}
	child->key = strdup(key);
	return child->key ? 0 : -ENOMEM;
}

static int fill_map(struct reader *r, struct node *n)
{
	for (;;) {
		yaml_event_t event;
		struct node_child *child;
		int rc = next_event(r, &event);

		if (rc < 0)
			return rc;
		if (event.type == YAML_MAPPING_END_EVENT) {
			drop_event(&event);
			return 0;
		}
		child = add_child(n);
		rc = child ? take_key(r, &event, n, child) : -ENOMEM;
		if (rc == 0 && forbidden_mark(&event))
			problem_add(r->problems, child->line, "", "%s", forbidden_mark(&event));
		drop_event(&event);
		if (rc == 0)
			rc = next_event(r, &event);
		if (rc < 0)
			return rc;
		rc = parse_value(r, &event, &child->value);
		drop_event(&event);
		if (rc < 0)
			return rc;
	}
}

/* What an event begins. An alias becomes an empty text: told once, and no cause of further problems. */
static int parse_value(struct reader *r, const yaml_event_t *event, struct node **out)
{
	struct node *n = calloc(1, sizeof *n);
	int rc = 0;

	if (!n)
		return -ENOMEM;
	*out = n;
	n->line = line_of(event);
	if (forbidden_mark(event))
		problem_add(r->problems, n->line, "", "%s", forbidden_mark(event));
	if (++r->depth > CONFIG_DEPTH_MAX) {
		problem_add(r->problems, n->line, "", "nested deeper than %d levels", CONFIG_DEPTH_MAX);
		rc = -EINVAL;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		n->kind = NODE_LIST;
		rc = fill_list(r, n);
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		n->kind = NODE_MAP;
		rc = fill_map(r, n);
	} else if (event->type == YAML_SCALAR_EVENT) {
		rc = fill_scalar(event, n);
	} else {
		n->text = strdup("");
		rc = n->text ? 0 : -ENOMEM;
	}
	r->depth--;
	return rc;
}

static int parse_stream(struct reader *r, struct node **root)
{
	for (;;) {
		yaml_event_t event;
		bool is_end;
		int rc = next_event(r, &event);

		if (rc < 0)
			return rc;
		is_end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && *root) {
			problem_add(r->problems, line_of(&event), "", "only one document is allowed");
			rc = -EINVAL;
		} else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT ||
			   event.type == YAML_MAPPING_START_EVENT || event.type == YAML_ALIAS_EVENT) {
			rc = parse_value(r, &event, root);
		}
		drop_event(&event);
		if (rc < 0 || is_end)
			return rc;
	}
}

int node_parse(struct slice text, struct problems *p, struct node **root)
{
	struct reader r = {.text = text, .problems = p};
	int rc;

	*root = NULL;
	if (!yaml_parser_initialize(&r.yaml))
		return -ENOMEM;
	yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.yaml, text.len ? text.data : (const uint8_t *)"", text.len);
	rc = parse_stream(&r, root);
	yaml_parser_delete(&r.yaml);
	return rc;
}
