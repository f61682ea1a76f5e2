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

int fault_set_unknown(struct fault *f, struct slice parameter)
{
	struct fault_text name = fault_quote(parameter);

	return fault_set(f, PROBLEM_INVALID_FIELD, name.text, "unknown query parameter: %s", name.text);
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

struct fault_place fault_member(const char *base, struct slice key)
{
	struct fault_place at;
	size_t len = (size_t)snprintf(at.field, sizeof at.field, "%s/", base);

	for (size_t i = 0; i < key.len && len + 3 < sizeof at.field; i++) {
		uint8_t c = key.data[i];

		if (c == '~' || c == '/') {
			at.field[len++] = '~';
			at.field[len++] = c == '~' ? '0' : '1';
		} else {
			at.field[len++] = (char)c;
		}
	}
	at.field[len < sizeof at.field ? len : sizeof at.field - 1] = '\0';
	return at;
}

struct fault_place fault_item(const char *base, size_t index)
{
	char number[24];

	snprintf(number, sizeof number, "%zu", index);
	return fault_member(base, slice_text(number));
}
