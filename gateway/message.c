#include "gateway/message.h"

#include "proto/context.h"

enum { CONTEXT_MAX = 64 * 1024 };

static int encode_context(const struct submission *s, const struct message_context *c, struct buf *out)
{
	struct context context = {
		.tenant = c->tenant,
		.task = slice_text(s->task),
		.metadata = s->metadata,
		.deliver = s->deliver.len ? buf_slice(&s->deliver) : (struct slice){0},
		.batch = c->batch,
		.retry_of = c->retry_of,
		.has_next = s->then != NULL,
		.is_inline = c->is_inline,
		.trace = c->trace,
	};

	return context_encode(&context, out);
}

static int encode_request(const struct submission *s, struct slice context, struct buf *out)
{
	struct request request = {
		.id = s->id,
		.task = slice_text(s->task),
		.payload = s->payload,
		.content_type = s->content_type,
		.created_at_ms = (int64_t)id_time_ms(&s->id),
		.deadline_ms = s->deadline_ms,
		.attempt = 1,
		.max_attempts = s->max_attempts,
		.timeout_ms = s->timeout_ms,
		.has_retry = s->has_retry,
		.retry = s->retry,
		.context = context,
	};

	return request_encode(&request, out);
}

int message_encode(
	const struct submission *s, const struct message_context *c, size_t max, struct message *out)
{
	struct buf context, request;
	int rc;

	buf_init(&context, CONTEXT_MAX);
	buf_init(&request, max);
	rc = encode_context(s, c, &context);
	if (rc == 0)
		rc = encode_request(s, buf_slice(&context), &request);
	if (rc == 0)
		rc = buf_take(&request, &out->data, &out->len);
	buf_done(&request);
	buf_done(&context);
	return rc;
}
