#include "gateway/sync.h"

#include "gateway/failure.h"
#include "service/json_out.h"
#include "service/status.h"

#define DATA_MAX ((size_t)64 * 1024 * 1024)

static const struct slice json_type = {(const uint8_t *)"application/json", sizeof "application/json" - 1};

/* ---- failures ---- */

/* {"id":…,"error":{…}} less its braces. */
static void render_members(const struct reply *reply, struct slice data, struct buf *out)
{
	const struct reply_error *e = &reply->error;
	struct store_error error = {
		.type = e->type,
		.message = e->message,
		.retryable = e->retryable,
		.status = e->status,
		.data = data,
	};

	json_out_id(out, "id", &reply->id);
	if (!reply->has_error)
		return;
	json_out_key(out, "error");
	status_render_error(&error, out);
}

static const char *text_or(struct buf *text, const char *instead)
{
	const char *got = text->len ? buf_text(text) : NULL;

	return got ? got : instead;
}

static void answer_failed(
	const struct reply *reply, struct slice data, const struct call *call, struct answer *a)
{
	enum problem problem = reply->kind == REPLY_CANCELED
				       ? PROBLEM_TASK_CANCELED
				       : failure_problem(reply->error.type, reply->error.retryable);
	struct buf members, message;

	buf_init(&members, DATA_MAX * 2);
	buf_init(&message, REPLY_MESSAGE_MAX + 1);
	render_members(reply, data, &members);
	if (reply->has_error)
		buf_append_slice(&message, reply->error.message);
	answer_problem(a, problem, NULL, buf_text(&members), text_or(&message, "the task failed"), call);
	buf_done(&message);
	buf_done(&members);
}

/* What an upstream sent, byte for byte; data that is no bytes as the JSON of it; without any, what was wrong. */
static void answer_as_upstream(const struct reply *reply, struct slice json, struct answer *a)
{
	struct slice bytes = wire_bytes(reply->error.data);
	struct slice type = reply->content_type.len ? reply->content_type : json_type;

	if (slice_is_set(bytes))
		answer_foreign(a, reply->error.status, type, bytes);
	else if (slice_is_set(json))
		answer_foreign(a, reply->error.status, json_type, json);
	else
		answer_foreign(a, reply->error.status, slice_text("text/plain; charset=utf-8"),
			reply->error.message);
}

static void answer_failure(const struct reply *reply, const struct call *call, struct answer *a)
{
	struct slice json = {0};
	struct buf data;

	buf_init(&data, DATA_MAX);
	if (slice_is_set(reply->error.data) && wire_to_json(reply->error.data, &data) == 0)
		json = buf_slice(&data);
	if (reply->has_error && failure_passes_through(reply->error.type, reply->error.status))
		answer_as_upstream(reply, json, a);
	else
		answer_failed(reply, json, call, a);
	buf_done(&data);
}

void sync_answer_reply(const struct reply *reply, const struct call *call, struct answer *a)
{
	if (reply->kind == REPLY_SUCCEEDED)
		answer_foreign(a, 200, reply->content_type, reply->result);
	else
		answer_failure(reply, call, a);
	/* Out of time is the same whether the handler or the gateway looked at the clock first. */
	a->fate = a->status == 504 && !a->is_foreign ? ANSWER_UNKNOWN : ANSWER_KEEP;
}

/* ---- no reply ---- */

static const struct {
	const char *name;
	enum problem problem;
	enum answer_fate fate;
	const char *detail;
} ends[] = {
	[INLINE_REPLIED] = {"replied", PROBLEM_INTERNAL, ANSWER_KEEP, ""},
	[INLINE_NO_QUEUE] = {"no_processor", PROBLEM_NO_PROCESSOR, ANSWER_RELEASE,
		"no processor that runs this task is connected: start one"},
	[INLINE_FULL] = {"full", PROBLEM_BUSY, ANSWER_RELEASE,
		"the queue of this task takes no more just now"},
	[INLINE_AWAY] = {"away", PROBLEM_BROKER_UNAVAILABLE, ANSWER_RELEASE,
		"the broker is away; nothing was run"},
	[INLINE_LOST] = {"lost", PROBLEM_BROKER_UNAVAILABLE, ANSWER_UNKNOWN,
		"the connection to the broker broke: the task may have run"},
	[INLINE_UNCONFIRMED] = {"unconfirmed", PROBLEM_BROKER_UNAVAILABLE, ANSWER_UNKNOWN,
		"the broker did not confirm the task in time: it may run"},
	[INLINE_TIMED_OUT] = {"timeout", PROBLEM_HANDLER_TIMEOUT, ANSWER_UNKNOWN,
		"no answer within the time given"},
	[INLINE_TOO_LARGE] = {"too_large", PROBLEM_TOO_LARGE, ANSWER_RELEASE,
		"the task is larger than amqp.max_message"},
};

const char *inline_end_name(enum inline_end end)
{
	return ends[end].name;
}

void sync_answer_end(enum inline_end end, const struct id *id, const struct call *call, struct answer *a)
{
	struct buf members;

	buf_init(&members, 256);
	json_out_id(&members, "id", id);
	if (end == INLINE_LOST || end == INLINE_UNCONFIRMED)
		json_out_text(&members, "outcome", slice_text("unknown"));
	a->fate = ends[end].fate;
	answer_problem(a, ends[end].problem, NULL, buf_text(&members), ends[end].detail, call);
	buf_done(&members);
}
