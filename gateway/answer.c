#include "gateway/answer.h"

#include <errno.h>
#include <stdio.h>

#include "proto/fields.h"

enum { RETRY_AFTER_S = 1 };
#define BODY_MAX ((size_t)256 * 1024 * 1024)

void answer_init(struct answer *a)
{
	*a = (struct answer){0};
	buf_init(&a->body, BODY_MAX);
}

void answer_done(struct answer *a)
{
	buf_done(&a->body);
}

/* ---- making ---- */

void answer_problem(struct answer *a, enum problem problem, const char *field, const char *members,
	const char *detail, const struct call *call)
{
	buf_reset(&a->body);
	a->status = problem_status(problem);
	a->is_foreign = false;
	a->location[0] = '\0';
	a->applied_wait_s = 0;
	a->retry_after_s = a->status == 503 ? RETRY_AFTER_S : 0;
	snprintf(a->content_type, sizeof a->content_type, "application/problem+json");
	problem_render(
		problem, field && *field ? field : NULL, members, detail, call_request_id(call), &a->body);
}

void answer_foreign(struct answer *a, int status, struct slice content_type, struct slice body)
{
	buf_reset(&a->body);
	a->status = status;
	a->is_foreign = true;
	snprintf(a->content_type, sizeof a->content_type, "%.*s", SLICE_ARG(content_type));
	buf_append_slice(&a->body, body);
}

/* ---- sending ---- */

void answer_guard_headers(struct call *call)
{
	call_set_header(call, "Content-Security-Policy", "sandbox; default-src 'none'");
}

static void set_seconds(struct call *call, const char *name, const char *before, int32_t seconds)
{
	char text[32];

	if (!seconds)
		return;
	snprintf(text, sizeof text, "%s%d", before, seconds);
	call_set_header(call, name, text);
}

void answer_send(const struct answer *a, struct call *call)
{
	if (a->body.error) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	if (a->location[0])
		call_set_header(call, "Location", a->location);
	set_seconds(call, "Retry-After", "", a->retry_after_s);
	set_seconds(call, "Preference-Applied", "wait=", a->applied_wait_s);
	if (a->is_foreign)
		answer_guard_headers(call);
	call_answer(call, a->status, slice_text(a->content_type), buf_slice(&a->body));
}

void answer_document(struct call *call, int status, struct buf *document)
{
	if (document->error)
		call_problem(call, PROBLEM_INTERNAL, NULL, "The document could not be made.");
	else
		call_answer_json(call, status, buf_slice(document));
	buf_done(document);
}

void fault_send(const struct fault *fault, struct call *call)
{
	call_problem(call, fault->problem, fault->field[0] ? fault->field : NULL, "%s", fault->detail);
}

void fault_answer(int rc, const struct fault *fault, struct call *call)
{
	if (rc == -EINVAL)
		fault_send(fault, call);
	else
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
}

/* ---- keeping ---- */

struct kept {
	int32_t status;
	struct slice content_type, location;
	int32_t retry_after_s, applied_wait_s;
	bool is_foreign;
	struct slice body;
};

#define AT(member) .at = offsetof(struct kept, member)

static const struct field rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "status", .type = FIELD_INT32, .required = true, AT(status), .min = 100, .max = 599},
	{.key = "content_type", .type = FIELD_TEXT, AT(content_type), .max = 255},
	{.key = "location", .type = FIELD_TEXT, AT(location), .max = 127},
	{.key = "retry_after", .type = FIELD_INT32, AT(retry_after_s), .max = 86400},
	{.key = "applied_wait", .type = FIELD_INT32, AT(applied_wait_s), .max = 86400},
	{.key = "is_foreign", .type = FIELD_BOOL, AT(is_foreign)},
	{.key = "body", .type = FIELD_BIN, AT(body)},
};

static const struct fields fields = FIELDS(rows);

static struct slice text_or_unset(const char *text)
{
	return slice_text(*text ? text : NULL);
}

int answer_encode(const struct answer *a, struct buf *out)
{
	struct kept kept = {
		.status = a->status,
		.content_type = text_or_unset(a->content_type),
		.location = text_or_unset(a->location),
		.retry_after_s = a->retry_after_s,
		.applied_wait_s = a->applied_wait_s,
		.is_foreign = a->is_foreign,
		.body = buf_slice(&a->body),
	};

	return a->body.error ? a->body.error : fields_encode(&fields, &kept, out);
}

int answer_decode(struct slice bytes, struct answer *out)
{
	struct decode_error error;
	struct kept kept = {0};
	int rc = fields_decode(&fields, bytes, &kept, &error);

	if (rc < 0)
		return rc;
	out->status = kept.status;
	snprintf(out->content_type, sizeof out->content_type, "%.*s", SLICE_ARG(kept.content_type));
	snprintf(out->location, sizeof out->location, "%.*s", SLICE_ARG(kept.location));
	out->retry_after_s = kept.retry_after_s;
	out->applied_wait_s = kept.applied_wait_s;
	out->is_foreign = kept.is_foreign;
	buf_reset(&out->body);
	return buf_append_slice(&out->body, kept.body);
}
