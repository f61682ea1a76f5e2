#include "proto/reply.h"

#include <assert.h>
#include <errno.h>

#include "proto/fields.h"

static const char *const kinds[REPLY_KINDS + 1] = {
	[REPLY_STARTED] = "started",
	[REPLY_PROGRESS] = "progress",
	[REPLY_SUCCEEDED] = "succeeded",
	[REPLY_FAILED] = "failed",
	[REPLY_RETRY] = "retry",
	[REPLY_CANCELED] = "canceled",
};

static int check_error_type(struct slice text)
{
	return reply_error_type_is_valid(text) ? 0 : -EINVAL;
}

#define AT(member)	 .at = offsetof(struct reply_error, member)
#define CHECK_ERROR_TYPE .max = REPLY_ERROR_TYPE_MAX, .check = check_error_type, .expects = "a printable word"

static const struct field error_rows[] = {
	{.key = "type", .type = FIELD_TEXT, .required = true, AT(type), CHECK_ERROR_TYPE},
	{.key = "message", .type = FIELD_PROSE, AT(message), .max = REPLY_MESSAGE_MAX},
	{.key = "retryable", .type = FIELD_BOOL, AT(retryable)},
	{.key = "status", .type = FIELD_INT32, AT(status), .min = INT32_MIN, .max = INT32_MAX},
	{.key = "data", .type = FIELD_RAW, AT(data)},
};

static const struct fields error_fields = FIELDS(error_rows);

#undef AT
#define AT(member) .at = offsetof(struct reply, member)

static const struct field rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "id", .type = FIELD_ID, .required = true, AT(id)},
	{.key = "attempt", .type = FIELD_UINT32, .required = true, AT(attempt), .min = 1, .max = ATTEMPT_MAX},
	{.key = "kind", .type = FIELD_WORD, .required = true, AT(kind), .words = kinds},
	{.key = "result", .type = FIELD_BIN, AT(result)},
	{.key = "content_type", .type = FIELD_TEXT, AT(content_type), CHECK_CONTENT_TYPE},
	{.key = "started_at", .type = FIELD_INT64, AT(started_at_ms), .max = FIELD_TIME_MAX},
	{.key = "finished_at", .type = FIELD_INT64, AT(finished_at_ms), .max = FIELD_TIME_MAX},
	{.key = "error", .type = FIELD_MAP, AT(error), .map = &error_fields, HAS(struct reply, has_error)},
	{.key = "request", .type = FIELD_BIN, AT(request)},
	{.key = "context", .type = FIELD_BIN, AT(context)},
	{.key = "progress", .type = FIELD_RAW, AT(progress), .max = REPLY_PROGRESS_MAX},
	{.key = "seq", .type = FIELD_INT64, AT(seq), .max = INT64_MAX},
	{.key = "worker", .type = FIELD_TEXT, AT(worker), .max = REPLY_WORKER_MAX},
	{.key = "retry", .type = FIELD_MAP, AT(retry), .map = &retry_fields, HAS(struct reply, has_retry)},
	{.key = "retry_after_ms", .type = FIELD_UINT32, AT(retry_after_ms), .max = UINT32_MAX},
};

static const struct fields fields = FIELDS(rows);

const char *reply_kind_name(enum reply_kind kind)
{
	assert((unsigned)kind < REPLY_KINDS);
	return kinds[kind];
}

bool reply_error_type_is_valid(struct slice type)
{
	if (type.len == 0 || type.len > REPLY_ERROR_TYPE_MAX)
		return false;
	for (size_t i = 0; i < type.len; i++) {
		if (type.data[i] <= ' ' || type.data[i] > '~')
			return false;
	}
	return true;
}

int reply_encode(const struct reply *r, struct buf *out)
{
	return fields_encode(&fields, r, out);
}

int reply_decode(struct slice bytes, struct reply *out, struct decode_error *error)
{
	struct reply r = {.attempt = 0};
	int rc = fields_decode(&fields, bytes, &r, error);

	if (rc == 0)
		*out = r;
	return rc == -ENOMSG ? -EBADMSG : rc;
}
