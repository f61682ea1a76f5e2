#include "runtime/config_internal.h"

#include <ctype.h>
#include <stdlib.h>

enum { NAME_LEN = 1024 };

void place_init(struct place *p, struct problems *problems, const char *environ_prefix)
{
	*p = (struct place){.problems = problems, .has_variables = environ_prefix != NULL};
	buf_init(&p->path, NAME_LEN);
	buf_init(&p->variable, NAME_LEN);
	buf_append_text(&p->variable, environ_prefix ? environ_prefix : "");
}

void place_done(struct place *p)
{
	buf_done(&p->path);
	buf_done(&p->variable);
}

struct mark place_enter(struct place *p, const char *name)
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

struct mark place_enter_item(struct place *p, size_t index)
{
	struct mark m = {p->path.len, p->variable.len};

	buf_printf(&p->path, "[%zu]", index);
	return m;
}

void place_leave(struct place *p, struct mark m)
{
	p->path.len = m.path;
	p->variable.len = m.variable;
}

const char *place_path(struct place *p)
{
	const char *text = buf_text(&p->path);

	return text ? text : "";
}

const char *place_variable(struct place *p)
{
	const char *text = buf_text(&p->variable);

	return text ? text : "";
}

const char *place_variable_value(struct place *p, const char *suffix)
{
	size_t len = p->variable.len;
	const char *value;

	if (!p->has_variables)
		return NULL;
	buf_append_text(&p->variable, suffix);
	value = getenv(place_variable(p));
	p->variable.len = len;
	return value;
}
