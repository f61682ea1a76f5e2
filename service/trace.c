#include "service/trace.h"

size_t trace_headers(const struct trace *t, struct broker_header out[TRACE_HEADERS])
{
	size_t len = 0;

	if (!slice_is_set(t->parent))
		return len;
	out[len++] = (struct broker_header){"traceparent", t->parent};
	if (slice_is_set(t->state))
		out[len++] = (struct broker_header){"tracestate", t->state};
	return len;
}
