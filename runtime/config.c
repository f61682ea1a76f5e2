#include "runtime/config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int file_read(const char *path, size_t max, struct buf *out)
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

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

static void read_root(struct problems *problems, const struct node *root_node, const char *environ_prefix,
	const struct option *root, void *out)
{
	struct place p;

	place_init(&p, problems, environ_prefix);
	if (root_node && root_node->kind != NODE_MAP && !node_is_null(root_node))
		problem_add(problems, root_node->line, "", "must be a map of sections, not %s",
			node_kind_name(root_node->kind));
	if (root_node && root_node->kind != NODE_MAP)
		root_node = NULL;
	place_read_fields(&p, root, root_node, out, true, 1);
	if (environ_prefix)
		place_refuse_variables(&p, root);
	problems->is_out_of_memory |= p.path.error || p.variable.error;
	place_done(&p);
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
	rc = file_read(path, CONFIG_FILE_MAX, &text);
	if (rc == -EFBIG)
		buf_printf(errors, "%s: is larger than %d bytes\n", path, CONFIG_FILE_MAX);
	else if (rc < 0)
		buf_printf(errors, "%s: cannot be read: %s\n", path, strerror(-rc));
	else
		rc = config_parse(path, buf_slice(&text), environ_prefix, root, out, errors);
	buf_wipe(&text);
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
