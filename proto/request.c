#include "proto/request.h"

#include <errno.h>

#include "proto/fields.h"

#define AT(member) .at = offsetof(struct retry_policy, member)

static const struct field retry_rows[] = {
	{.key = "base_ms", .type = FIELD_UINT32, .required = true, AT(base_ms), .max = UINT32_MAX},
	{.key = "cap_ms", .type = FIELD_UINT32, .required = true, AT(cap_ms), .max = UINT32_MAX},
};

const struct fields retry_fields = FIELDS(retry_rows);

#undef AT
#define AT(member) .at = offsetof(struct request, member)

static const struct field rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "id", .type = FIELD_ID, .required = true, AT(id)},
	{.key = "task", .type = FIELD_TEXT, .required = true, AT(task), CHECK_NAME},
	{.key = "payload", .type = FIELD_BIN, .required = true, AT(payload)},
	{.key = "content_type", .type = FIELD_TEXT, .required = true, AT(content_type), CHECK_CONTENT_TYPE},
	{.key = "created_at",
		.type = FIELD_INT64,
		.required = true,
		AT(created_at_ms),
		.max = FIELD_TIME_MAX},
	{.key = "deadline", .type = FIELD_INT64, AT(deadline_ms), .max = FIELD_TIME_MAX},
	{.key = "attempt", .type = FIELD_UINT32, .required = true, AT(attempt), .min = 1, .max = ATTEMPT_MAX},
	{.key = "max_attempts", .type = FIELD_UINT32, AT(max_attempts), .min = 1, .max = ATTEMPT_MAX},
	{.key = "timeout_ms", .type = FIELD_UINT32, AT(timeout_ms), .min = 1, .max = UINT32_MAX},
	{.key = "retry", .type = FIELD_MAP, AT(retry), .map = &retry_fields, HAS(struct request, has_retry)},
	{.key = "context", .type = FIELD_BIN, AT(context)},
};

static const struct fields fields = FIELDS(rows);

bool content_type_is_valid(struct slice type)
{
	if (type.len == 0 || type.len > CONTENT_TYPE_MAX)
		return false;
	for (size_t i = 0; i < type.len; i++) {
		if (type.data[i] < ' ' || type.data[i] > '~')
			return false;
	}
	return true;
}

int field_check_name(struct slice text)
{
	return name_is_valid(text) ? 0 : -EINVAL;
}

int field_check_content_type(struct slice text)
{
	return content_type_is_valid(text) ? 0 : -EINVAL;
}

int request_encode(const struct request *r, struct buf *out)
{
	return fields_encode(&fields, r, out);
}

int request_decode(struct slice bytes, struct request *out, struct decode_error *error)
{
	struct request r = {.attempt = 0};
	int rc = fields_decode(&fields, bytes, &r, error);

	if (rc == 0)
		*out = r;
	return rc;
}
