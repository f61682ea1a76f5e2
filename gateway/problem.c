#include "gateway/problem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>

#include "proto/json.h"

static const struct {
	int status;
	const char *type;
	const char *title;
	const char *meaning;
} problems[PROBLEMS] = {
	[PROBLEM_BAD_REQUEST] = {400, "/problems/bad-request", "The request is not valid HTTP",
		"The request line, a header or the framing of the body is broken."},
	[PROBLEM_INVALID_JSON] = {400, "/problems/invalid-json", "The body is not valid JSON",
		"JSON is read strictly: UTF-8, no key twice in an object, at most 64 levels."},
	[PROBLEM_UNAUTHORIZED] = {401, "/problems/unauthorized", "A valid API key is needed",
		"There was no key, or one that the gateway does not know."},
	[PROBLEM_FORBIDDEN_ORIGIN] = {403, "/problems/forbidden-origin",
		"Requests from this origin are not allowed",
		"A page of another site called a gateway without keys, or opens a WebSocket without being named for it."},
	[PROBLEM_NOT_FOUND] = {404, "/problems/not-found", "There is no such resource",
		"There is nothing under the path, or the id was never given out to this tenant."},
	[PROBLEM_UNKNOWN_TASK] = {404, "/problems/unknown-task", "There is no queue for this task",
		"RabbitMQ has no queue for this task: nobody has ever run it here."},
	[PROBLEM_METHOD_NOT_ALLOWED] = {405, "/problems/method-not-allowed",
		"The resource does not take this method",
		"The header Allow lists the methods that the resource takes."},
	[PROBLEM_TIMEOUT] = {408, "/problems/request-timeout", "The request was not complete in time",
		"Head or body took longer than their limits. Nothing was accepted."},
	[PROBLEM_CONFLICT] = {409, "/problems/conflict", "The request does not fit the present state",
		"The state of the task does not allow it, or the first request under the idempotency key is in flight."},
	[PROBLEM_GONE] = {410, "/problems/gone", "The task or its result has been removed",
		"The lifetime of the task or of its result has passed."},
	[PROBLEM_TOO_LARGE] = {413, "/problems/too-large", "The body is too large",
		"The body, or the message made of it, is larger than the limits allow."},
	[PROBLEM_MEDIA_TYPE] = {415, "/problems/media-type",
		"The body has a content type that is not taken here",
		"Everything but payloads is sent as application/json, and nothing with a Content-Encoding."},
	[PROBLEM_EXPECTATION_FAILED] = {417, "/problems/expectation-failed", "The expectation cannot be met",
		"The only expectation that can be met is 100-continue."},
	[PROBLEM_INVALID_FIELD] = {422, "/problems/invalid-field", "A value is not valid",
		"A key, a value, an option or a parameter is not known, not valid, or excludes another."},
	[PROBLEM_IDEMPOTENCY_MISMATCH] = {422, "/problems/idempotency-mismatch",
		"The idempotency key was used for another request",
		"Method, path, query, content type and body must be the same under the same key."},
	[PROBLEM_TASK_FAILED] = {422, "/problems/task-failed", "The task failed",
		"The handler said that the request is at fault, so it was not tried again."},
	[PROBLEM_TASK_CANCELED] = {409, "/problems/task-canceled", "The task was canceled",
		"The task was canceled before it had a result."},
	[PROBLEM_UPGRADE_REQUIRED] = {426, "/problems/upgrade-required", "This is a WebSocket",
		"The resource is a WebSocket of version 13: connect to it with a WebSocket client."},
	[PROBLEM_RATE_LIMITED] = {429, "/problems/rate-limited", "Too many submissions",
		"The tenant has used up its rate of submissions. Retry-After tells when the next one is taken."},
	[PROBLEM_TENANT_LIMIT] = {429, "/problems/tenant-limit", "The tenant has its share of a limit",
		"Of what all tenants share none may have everything. Nothing was accepted."},
	[PROBLEM_HEADERS_TOO_LARGE] = {431, "/problems/headers-too-large",
		"The head of the request is too large",
		"The head is larger than its limit, or has more than 100 fields."},
	[PROBLEM_INTERNAL] = {500, "/problems/internal", "Something went wrong in the gateway",
		"Out of memory, or a fault of the gateway. Its log has more."},
	[PROBLEM_NOT_IMPLEMENTED] = {501, "/problems/not-implemented", "This is not implemented",
		"The gateway knows neither the method nor the transfer coding."},
	[PROBLEM_HANDLER_BROKEN] = {502, "/problems/handler-broken",
		"The handler did not give a usable answer",
		"The handler crashed, was killed or answered with what cannot be used, and no attempts were left."},
	[PROBLEM_TASK_DEAD] = {502, "/problems/task-dead", "The task could not be run to an answer",
		"The task expired, was delivered too often, or its message could not be read."},
	[PROBLEM_BROKER_UNAVAILABLE] = {503, "/problems/broker-unavailable",
		"The message broker cannot take the task now",
		"RabbitMQ is away, has an alarm or is too slow. Nothing was accepted, unless outcome is unknown."},
	[PROBLEM_STORE_UNAVAILABLE] = {503, "/problems/store-unavailable", "The store cannot be asked now",
		"The database does not answer. Submissions that need no row are still taken."},
	[PROBLEM_BUSY] = {503, "/problems/busy", "The gateway is at one of its limits",
		"Too many calls, too many bytes held, or a queue that takes no more. Nothing was accepted."},
	[PROBLEM_NO_PROCESSOR] = {503, "/problems/no-processor", "Nobody is there to run the task",
		"The task is known, but no processor that runs it for sync calls is connected."},
	[PROBLEM_HANDLER_TIMEOUT] = {504, "/problems/handler-timeout", "The handler did not answer in time",
		"There was no answer within the time given. The task may have run, or run still."},
	[PROBLEM_HTTP_VERSION] = {505, "/problems/http-version", "This version of HTTP is not spoken",
		"The gateway speaks HTTP/1.1 and HTTP/1.0."},
};

int problem_status(enum problem problem)
{
	assert(problem < PROBLEMS);
	return problems[problem].status;
}

const char *problem_type(enum problem problem)
{
	assert(problem < PROBLEMS);
	return problems[problem].type;
}

const char *problem_title(enum problem problem)
{
	assert(problem < PROBLEMS);
	return problems[problem].title;
}

int problem_parse(struct slice name, enum problem *out)
{
	for (int p = 0; p < PROBLEMS; p++) {
		if (!slice_is_text(name, problems[p].type + sizeof PROBLEM_PATH - 1))
			continue;
		*out = (enum problem)p;
		return 0;
	}
	return -ENOENT;
}

static void append_member(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(out, ",\"%s\":", name);
	json_append_string(out, slice_text(value));
}

static bool ends_a_sentence(uint8_t c)
{
	return c == '.' || c == '!' || c == '?';
}

/* Parsers and handlers speak in phrases; without memory for more the phrase has to do. */
static void append_detail(struct buf *out, const char *phrase)
{
	struct slice text = slice_text(phrase);
	struct buf sentence;

	buf_init(&sentence, text.len + 2);
	if (text.len > 0 && buf_append_slice(&sentence, text) == 0) {
		sentence.data[0] = (uint8_t)toupper(sentence.data[0]);
		if (!ends_a_sentence(text.data[text.len - 1]))
			buf_append_byte(&sentence, '.');
	}
	append_member(out, "detail", sentence.len && buf_text(&sentence) ? buf_text(&sentence) : phrase);
	buf_done(&sentence);
}

int problem_describe(enum problem problem, struct buf *out)
{
	return problem_render(problem, NULL, NULL, problems[problem].meaning, NULL, out);
}

int problem_render(enum problem problem, const char *field, const char *members, const char *detail,
	const char *request_id, struct buf *out)
{
	buf_printf(out, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%d", problem_type(problem),
		problem_title(problem), problem_status(problem));
	if (detail)
		append_detail(out, detail);
	append_member(out, "field", field);
	append_member(out, "request_id", request_id);
	if (members && *members) {
		buf_append_byte(out, ',');
		buf_append_text(out, members);
	}
	return buf_append_byte(out, '}');
}
