#include "runtime/config_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A file that is wrong all over need not be told whole. */
enum { PROBLEMS_MAX = 100, PROBLEM_LEN = 1024 };

static int compare(const void *a, const void *b)
{
	const struct problem *x = a, *y = b;
	int x_line = x->line ? x->line : INT_MAX;
	int y_line = y->line ? y->line : INT_MAX;

	if (x_line != y_line)
		return x_line < y_line ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

void problem_add(struct problems *p, int line, const char *where, const char *format, ...)
{
	struct buf text;
	uint8_t *taken;
	size_t len;
	va_list args;

	if (p->len >= PROBLEMS_MAX) {
		p->len++;
		return;
	}
	if (!p->items)
		p->items = calloc(PROBLEMS_MAX, sizeof *p->items);
	buf_init(&text, PROBLEM_LEN);
	if (*where)
		buf_printf(&text, "%s: ", where);
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	buf_text(&text);
	if (!p->items || buf_take(&text, &taken, &len) < 0) {
		buf_done(&text);
		p->is_out_of_memory = true;
		return;
	}
	p->items[p->len] = (struct problem){.line = line, .number = (unsigned)p->len, .text = (char *)taken};
	p->len++;
}

int problems_tell(struct problems *p, struct buf *out)
{
	size_t kept = p->len < PROBLEMS_MAX ? p->len : PROBLEMS_MAX;

	if (p->is_out_of_memory) {
		buf_printf(out, "%s: out of memory\n", p->name);
		return -ENOMEM;
	}
	if (p->len == 0)
		return 0;
	qsort(p->items, kept, sizeof *p->items, compare);
	for (size_t i = 0; i < kept; i++) {
		if (p->items[i].line)
			buf_printf(out, "%s:%d: %s\n", p->name, p->items[i].line, p->items[i].text);
		else
			buf_printf(out, "%s\n", p->items[i].text);
	}
	if (p->len > kept)
		buf_printf(out, "%s: %zu more\n", p->name, p->len - kept);
	return -EINVAL;
}

void problems_done(struct problems *p)
{
	for (size_t i = 0; i < p->len && i < PROBLEMS_MAX; i++)
		free(p->items[i].text);
	free(p->items);
	p->items = NULL;
	p->len = 0;
}
