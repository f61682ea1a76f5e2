#include "notifier/event.h"

#include <errno.h>
#include <stdio.h>

#include "proto/json.h"
#include "proto/reply.h"
#include "runtime/backoff.h"

enum {
	ATTEMPTS_MAX = 100,
	JSON_TEXT_MAX = 1024 * 1024,
	RETRY_AFTER_MAX_MS = 24 * 3600 * 1000, /* a slip of an upstream must not park a task for weeks */
};
static const struct retry_policy default_policy = {.base_ms = 1000, .cap_ms = 600000};

static const enum store_event_kind kinds[REPLY_KINDS] = {
	[REPLY_STARTED] = STORE_EVENT_STARTED,
	[REPLY_PROGRESS] = STORE_EVENT_PROGRESS,
	[REPLY_SUCCEEDED] = STORE_EVENT_SUCCEEDED,
	[REPLY_FAILED] = STORE_EVENT_FAILED,
	[REPLY_RETRY] = STORE_EVENT_RETRY,
	[REPLY_CANCELED] = STORE_EVENT_CANCELED,
};

static const struct {
	const char *reason;
	const char *message;
} deaths[] = {
	{"expired", "it waited in its queue for longer than it may"},
	{"delivery_limit", "it was delivered as often as it may be and never answered"},
	{"rejected", "the processor could not read the request"},
};

void event_done(struct event *e)
{
	buf_done(&e->progress);
	buf_done(&e->data);
}

static void event_init(struct event *e, const struct event_seam *seam)
{
	*e = (struct event){.store.at_ms = seam->now_ms};
	buf_init(&e->progress, JSON_TEXT_MAX);
	buf_init(&e->data, JSON_TEXT_MAX);
}

static int refuse(struct decode_error *error, const char *path, const char *reason)
{
	snprintf(error->path, sizeof error->path, "%s", path);
	snprintf(error->reason, sizeof error->reason, "%s", reason);
	return -EBADMSG;
}

static int take_context(struct event *e, struct slice bytes, struct decode_error *error)
{
	struct context c;
	int rc;

	if (!slice_is_set(bytes))
		return refuse(error, "context", "missing: not a task of ours");
	rc = context_decode(bytes, &c, error);
	if (rc < 0)
		return rc;
	e->is_inline = c.is_inline;
	e->store.tenant = c.tenant;
	e->store.task = c.task;
	e->store.metadata = c.metadata;
	e->store.deliver = c.deliver;
	e->store.batch = c.batch;
	e->store.retry_of = c.retry_of;
	e->store.has_next = c.has_next;
	return 0;
}

/* `json` of one msgpack object; unset stays unset. */
static int take_json(struct slice object, struct buf *json, struct slice *out)
{
	int rc;

	if (!slice_is_set(object))
		return 0;
	rc = wire_to_json(object, json);
	if (rc == 0)
		*out = buf_slice(json);
	return rc == -EMSGSIZE ? -EBADMSG : rc;
}

static bool is_json_type(struct slice type)
{
	static const char full[] = "application/json";
	static const char suffix[] = "+json";
	size_t len = 0;

	while (len < type.len && type.data[len] != ';' && type.data[len] != ' ')
		len++;
	if (len == sizeof full - 1 && strncasecmp((const char *)type.data, full, len) == 0)
		return true;
	return len > sizeof suffix - 1 && strncasecmp((const char *)type.data + len - (sizeof suffix - 1),
						  suffix, sizeof suffix - 1) == 0;
}

static bool is_json(struct slice type, struct slice result)
{
	struct json_error ignored;

	return is_json_type(type) && json_check(result, &ignored) == 0;
}

static void take_error(struct event *e, const struct reply_error *error)
{
	e->store.error.type = error->type;
	e->store.error.message = error->message;
	e->store.error.retryable = error->retryable;
	e->store.error.status = error->status;
}

static void say_error(struct event *e, const char *type, const char *message)
{
	e->store.error = (struct store_error){.type = slice_text(type), .message = slice_text(message)};
}

static uint32_t wait_before_next(
	const struct reply *reply, const struct request *request, const struct event_seam *seam)
{
	struct retry_policy policy = reply->has_retry	  ? reply->retry
				     : request->has_retry ? request->retry
							  : default_policy;
	uint32_t wait_ms = backoff_ms(policy.base_ms, policy.cap_ms, reply->attempt, seam->random);

	uint32_t told_ms =
		reply->retry_after_ms < RETRY_AFTER_MAX_MS ? reply->retry_after_ms : RETRY_AFTER_MAX_MS;

	return wait_ms > told_ms ? wait_ms : told_ms;
}

/* Sets when the next attempt is due, or makes it a failure where there can be none. */
static void plan_retry(struct event *e, const struct reply *reply, const struct event_seam *seam)
{
	struct decode_error ignored;
	struct request request;
	uint32_t attempts_max;

	if (!slice_is_set(reply->request) || request_decode(reply->request, &request, &ignored) < 0 ||
		!id_is_equal(&request.id, &reply->id)) {
		e->store.kind = STORE_EVENT_FAILED;
		e->store.request = (struct slice){0};
		if (!slice_is_set(e->store.error.type))
			say_error(e, "protocol",
				"the worker asked for another attempt but gave no request to repeat");
		return;
	}
	attempts_max = request.max_attempts ? request.max_attempts : ATTEMPTS_MAX;
	if (reply->attempt >= attempts_max)
		e->store.kind = STORE_EVENT_FAILED;
	else
		e->store.retry_at_ms = seam->now_ms + wait_before_next(reply, &request, seam);
}

static int take_reply(
	struct event *e, const struct reply *r, const struct event_seam *seam, struct decode_error *error)
{
	int rc;

	e->store.kind = kinds[r->kind];
	e->store.id = r->id;
	e->store.attempt = r->attempt;
	e->store.seq = r->seq;
	e->store.started_at_ms = r->started_at_ms;
	e->store.finished_at_ms = r->finished_at_ms;
	e->store.worker = r->worker;
	e->store.request = r->request;
	if (r->has_error)
		take_error(e, &r->error);
	if ((rc = take_context(e, r->context, error)) < 0)
		return rc;
	if (take_json(r->progress, &e->progress, &e->store.progress) < 0)
		return refuse(error, "progress", "cannot be said in JSON");
	if (r->has_error && take_json(r->error.data, &e->data, &e->store.error.data) < 0)
		return refuse(error, "error.data", "cannot be said in JSON");
	if (r->kind == REPLY_SUCCEEDED) {
		e->store.result = slice_is_set(r->result) ? r->result : slice_text("");
		e->store.content_type = slice_is_set(r->content_type)
						? r->content_type
						: slice_text("application/octet-stream");
		e->store.result_is_json = is_json(e->store.content_type, e->store.result);
	}
	if (r->kind == REPLY_RETRY)
		plan_retry(e, r, seam);
	if (r->kind == REPLY_CANCELED && !r->has_error)
		say_error(e, "canceled", "canceled by a request");
	return 0;
}

int event_from_reply(
	struct slice message, const struct event_seam *seam, struct event *out, struct decode_error *error)
{
	struct reply reply;
	struct event e;
	int rc = reply_decode(message, &reply, error);

	if (rc < 0)
		return rc;
	event_init(&e, seam);
	rc = take_reply(&e, &reply, seam, error);
	if (rc < 0)
		event_done(&e);
	else
		*out = e;
	return rc;
}

static void say_death(struct event *e, struct slice reason)
{
	for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
		if (slice_is_text(reason, deaths[i].reason)) {
			say_error(e, deaths[i].reason, deaths[i].message);
			return;
		}
	}
	say_error(e, "dead_lettered", "the broker dead-lettered the request");
}

int event_from_dead_letter(struct slice message, struct slice reason, const struct event_seam *seam,
	struct event *out, struct decode_error *error)
{
	struct request request;
	struct event e;
	int rc = request_decode(message, &request, error);

	if (rc < 0)
		return rc;
	event_init(&e, seam);
	e.store.kind = STORE_EVENT_DEAD;
	e.store.id = request.id;
	e.store.attempt = request.attempt;
	e.store.finished_at_ms = seam->now_ms;
	e.store.request = message;
	say_death(&e, reason);
	rc = take_context(&e, request.context, error);
	if (rc == 0 && !slice_is_equal(e.store.task, request.task))
		rc = refuse(error, "context.task", "is not the request's task");
	if (rc < 0)
		event_done(&e);
	else
		*out = e;
	return rc;
}
