#include "gateway/problem.h"

#include <assert.h>

#include "proto/json.h"

static const struct {
	int status;
	const char *type;
	const char *title;
} problems[PROBLEMS] = {
	[PROBLEM_BAD_REQUEST] = {400, "/problems/bad-request", "The request is not valid HTTP"},
	[PROBLEM_INVALID_JSON] = {400, "/problems/invalid-json", "The body is not valid JSON"},
	[PROBLEM_UNAUTHORIZED] = {401, "/problems/unauthorized", "A valid API key is needed"},
	[PROBLEM_FORBIDDEN_ORIGIN] = {403, "/problems/forbidden-origin",
		"Requests from this origin are not allowed"},
	[PROBLEM_NOT_FOUND] = {404, "/problems/not-found", "There is no such resource"},
	[PROBLEM_UNKNOWN_TASK] = {404, "/problems/unknown-task", "There is no queue for this task"},
	[PROBLEM_METHOD_NOT_ALLOWED] = {405, "/problems/method-not-allowed",
		"The resource does not take this method"},
	[PROBLEM_TIMEOUT] = {408, "/problems/request-timeout", "The request was not complete in time"},
	[PROBLEM_CONFLICT] = {409, "/problems/conflict", "The request does not fit the present state"},
	[PROBLEM_GONE] = {410, "/problems/gone", "The task or its result has been removed"},
	[PROBLEM_TOO_LARGE] = {413, "/problems/too-large", "The body is too large"},
	[PROBLEM_MEDIA_TYPE] = {415, "/problems/media-type",
		"The body has a content type that is not taken here"},
	[PROBLEM_EXPECTATION_FAILED] = {417, "/problems/expectation-failed", "The expectation cannot be met"},
	[PROBLEM_INVALID_FIELD] = {422, "/problems/invalid-field", "A value is not valid"},
	[PROBLEM_IDEMPOTENCY_MISMATCH] = {422, "/problems/idempotency-mismatch",
		"The idempotency key was used for another request"},
	[PROBLEM_TASK_FAILED] = {422, "/problems/task-failed", "The task failed"},
	[PROBLEM_TASK_CANCELED] = {409, "/problems/task-canceled", "The task was canceled"},
	[PROBLEM_RATE_LIMITED] = {429, "/problems/rate-limited", "Too many submissions"},
	[PROBLEM_HEADERS_TOO_LARGE] = {431, "/problems/headers-too-large",
		"The head of the request is too large"},
	[PROBLEM_INTERNAL] = {500, "/problems/internal", "Something went wrong in the gateway"},
	[PROBLEM_NOT_IMPLEMENTED] = {501, "/problems/not-implemented", "This is not implemented"},
	[PROBLEM_HANDLER_BROKEN] = {502, "/problems/handler-broken",
		"The handler did not give a usable answer"},
	[PROBLEM_TASK_DEAD] = {502, "/problems/task-dead", "The task could not be run to an answer"},
	[PROBLEM_BROKER_UNAVAILABLE] = {503, "/problems/broker-unavailable",
		"The message broker cannot take the task now"},
	[PROBLEM_STORE_UNAVAILABLE] = {503, "/problems/store-unavailable", "The store cannot be asked now"},
	[PROBLEM_BUSY] = {503, "/problems/busy", "The gateway is at one of its limits"},
	[PROBLEM_NO_PROCESSOR] = {503, "/problems/no-processor", "Nobody is there to run the task"},
	[PROBLEM_HANDLER_TIMEOUT] = {504, "/problems/handler-timeout", "The handler did not answer in time"},
	[PROBLEM_HTTP_VERSION] = {505, "/problems/http-version", "This version of HTTP is not spoken"},
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

static void append_member(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(out, ",\"%s\":", name);
	json_append_string(out, slice_text(value));
}

int problem_render(enum problem problem, const char *field, const char *members, const char *detail,
	const char *request_id, struct buf *out)
{
	buf_printf(out, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%d", problem_type(problem),
		problem_title(problem), problem_status(problem));
	append_member(out, "detail", detail);
	append_member(out, "field", field);
	append_member(out, "request_id", request_id);
	if (members && *members) {
		buf_append_byte(out, ',');
		buf_append_text(out, members);
	}
	return buf_append_byte(out, '}');
}
