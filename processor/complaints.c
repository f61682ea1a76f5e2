#include "processor/complaints.h"

void complain(struct complaints *c, const char *option, const char *format, ...)
{
	va_list args;

	buf_printf(c->lines, "%s:%d: processor.handlers[%zu]%s%s: ", c->path, c->line, c->index,
		*option ? "." : "", option);
	va_start(args, format);
	buf_vprintf(c->lines, format, args);
	va_end(args);
	buf_append_byte(c->lines, '\n');
	c->count++;
}
