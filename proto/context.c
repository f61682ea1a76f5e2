#include "proto/context.h"

#include <errno.h>

#include "proto/fields.h"
#include "proto/json.h"

static int check_json(struct slice text, enum json_type type)
{
	struct json_error error;
	int rc = json_check(text, &error);

	if (rc == -EBADMSG || (rc == 0 && json_type_of(text) != type))
		return -EINVAL;
	return rc;
}

static int check_object(struct slice text)
{
	return check_json(text, JSON_OBJECT);
}

static int check_array(struct slice text)
{
	return check_json(text, JSON_ARRAY);
}

static int check_trace_parent(struct slice text)
{
	return trace_parent_is_valid(text) ? 0 : -EINVAL;
}

static int check_trace_state(struct slice text)
{
	return trace_state_is_valid(text) ? 0 : -EINVAL;
}

#define AT(member)   .at = offsetof(struct context, member)
#define CHECK_OBJECT .check = check_object, .expects = "a JSON object"
#define CHECK_ARRAY  .check = check_array, .expects = "a JSON array"

static const struct field rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "tenant", .type = FIELD_TEXT, .required = true, AT(tenant), .max = CONTEXT_TENANT_MAX},
	{.key = "task", .type = FIELD_TEXT, .required = true, AT(task), CHECK_NAME},
	{.key = "metadata", .type = FIELD_TEXT, AT(metadata), CHECK_OBJECT},
	{.key = "deliver", .type = FIELD_TEXT, AT(deliver), CHECK_ARRAY},
	{.key = "batch", .type = FIELD_ID, AT(batch)},
	{.key = "retry_of", .type = FIELD_ID, AT(retry_of)},
	{.key = "has_next", .type = FIELD_BOOL, AT(has_next)},
	{.key = "is_inline", .type = FIELD_BOOL, AT(is_inline)},
	{.key = "traceparent",
		.type = FIELD_TEXT,
		AT(trace.parent),
		.max = TRACE_TEXT_MAX,
		.check = check_trace_parent,
		.expects = "a traceparent"},
	{.key = "tracestate",
		.type = FIELD_TEXT,
		AT(trace.state),
		.max = TRACE_TEXT_MAX,
		.check = check_trace_state,
		.expects = "a tracestate"},
};

static const struct fields fields = FIELDS(rows);

int context_encode(const struct context *c, struct buf *out)
{
	return fields_encode(&fields, c, out);
}

int context_decode(struct slice bytes, struct context *out, struct decode_error *error)
{
	struct context c = {.has_next = false};
	int rc = fields_decode(&fields, bytes, &c, error);

	if (rc == 0)
		*out = c;
	return rc;
}
