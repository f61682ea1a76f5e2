#include "gateway/retry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/deliver.h"
#include "gateway/lookup.h"
#include "gateway/submit.h"
#include "proto/context.h"

#define REQUEST_MAX ((size_t)256 * 1024 * 1024)

struct retry {
	struct gateway *g;
	struct call *call;
};

/* Whoever wanted to be told of the first try is told of this one, too. */
static int take_deliver(struct submission *s, struct slice bytes)
{
	struct decode_error error;
	struct context context;
	int rc = slice_is_set(bytes) ? context_decode(bytes, &context, &error) : 0;

	if (rc < 0 || !slice_is_set(bytes))
		return rc;
	buf_init(&s->deliver, DELIVER_TEXT_MAX);
	return buf_append_slice(&s->deliver, context.deliver);
}

static int fill(struct submission *s, const struct store_task *task)
{
	struct decode_error error;
	struct request request = {.attempt = 0};
	int rc;

	buf_init(&s->owned, REQUEST_MAX);
	buf_init(&s->owned_metadata, SUBMISSION_METADATA_MAX);
	rc = buf_append_slice(&s->owned, task->request);
	if (rc == 0)
		rc = request_decode(buf_slice(&s->owned), &request, &error);
	if (rc < 0)
		return rc;
	snprintf(s->task, sizeof s->task, "%.*s", SLICE_ARG(request.task));
	s->payload = request.payload;
	s->content_type = request.content_type;
	s->timeout_ms = request.timeout_ms;
	s->max_attempts = request.max_attempts;
	s->has_retry = request.has_retry;
	s->retry = request.retry;
	rc = take_deliver(s, request.context);
	if (rc < 0)
		return rc;
	if (!slice_is_set(task->metadata))
		return 0;
	rc = buf_append_slice(&s->owned_metadata, task->metadata);
	s->metadata = buf_slice(&s->owned_metadata);
	return rc;
}

int retry_read(const struct store_task *task, struct submission **out)
{
	struct submission *s;
	int rc;

	if (!slice_is_set(task->request))
		return -ENODATA;
	s = submission_new();
	if (!s)
		return -ENOMEM;
	rc = fill(s, task);
	if (rc < 0)
		submission_free(s);
	else
		*out = s;
	return rc;
}

static void submit_again(struct retry *r, const struct store_task *task)
{
	struct submit_options options = {.retry_of = task->id};
	struct submission *s = NULL;
	int rc = retry_read(task, &s);

	if (rc == -ENODATA)
		call_problem(r->call, PROBLEM_CONFLICT, NULL, "the request of this task was not kept");
	else if (rc < 0)
		call_problem(r->call, PROBLEM_INTERNAL, NULL, "the request of this task cannot be read");
	else
		submit_start(r->g, r->call, s, &options);
}

static void on_read(const struct store_task *task, void *arg)
{
	struct retry *r = arg;

	if (task && task->state != TASK_FAILED && task->state != TASK_DEAD)
		call_problem(r->call, PROBLEM_CONFLICT, NULL,
			"only a failed or dead task can be retried, this one is %s",
			task_state_name(task->state));
	else if (task)
		submit_again(r, task);
	free(r);
}

void retry_task(struct call *call, void *arg)
{
	struct retry *r = malloc(sizeof *r);

	if (!r) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*r = (struct retry){arg, call};
	lookup_task(arg, call, call_segment(call, "id"), STORE_WITH_REQUEST, on_read, r);
}
