#include "gateway/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

int fault_set(struct fault *f, enum problem problem, const char *field, const char *format, ...)
{
	va_list args;

	f->problem = problem;
	if (field != f->field)
		snprintf(f->field, sizeof f->field, "%s", field ? field : "");
	va_start(args, format);
	vsnprintf(f->detail, sizeof f->detail, format, args);
	va_end(args);
	return -EINVAL;
}

struct fault_text fault_quote(struct slice text)
{
	struct fault_text out;
	const char *end = "";
	size_t len = utf8_cut(text, sizeof out.text - sizeof "...");

	if (len < text.len)
		end = "...";
	snprintf(out.text, sizeof out.text, "%.*s%s", (int)len, (const char *)text.data, end);
	return out;
}
