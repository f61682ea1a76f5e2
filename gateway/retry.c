#include "gateway/retry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/deliver.h"
#include "gateway/lookup.h"
#include "gateway/submit.h"
#include "gateway/tasks.h"
#include "proto/context.h"
#include "runtime/clock.h"

#define REQUEST_MAX ((size_t)256 * 1024 * 1024)

struct retry {
	struct gateway *g;
	struct call *call;
	struct idempotency *claim; /* NULL: no key */
	struct id claimed;
	bool is_resumed;
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

/* What was stored before it ever ran lacks what came before it. */
static void take_awaited(struct submission *s, const struct store_task *task)
{
	if (!task->wants_previous)
		return;
	s->wants_previous = true;
	s->waits_for = task->waits_for;
	s->waits_for_batch = task->waits == STORE_WAITS_BATCH;
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
	take_awaited(s, task);
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

/* ---- the endpoint ---- */

static void refuse(struct retry *r, enum problem problem, const char *detail)
{
	call_problem(r->call, problem, NULL, "%s", detail);
	idempotency_release(r->claim);
}

static void submit_again(struct retry *r, const struct store_task *task)
{
	struct submit_options options = {
		.retry_of = task->id,
		.claim = r->claim,
		.claimed = r->claimed,
		.is_resumed = r->is_resumed,
	};
	struct submission *s = NULL;
	int rc = retry_read(task, &s);

	if (rc == -ENODATA)
		refuse(r, PROBLEM_CONFLICT, "the request of this task was not kept");
	else if (rc < 0)
		refuse(r, PROBLEM_INTERNAL, "the request of this task cannot be read");
	else
		submit_start(r->g, r->call, s, &options);
}

static void refuse_state(struct retry *r, enum task_state state)
{
	char detail[100];

	snprintf(detail, sizeof detail, "only a failed or dead task can be retried, this one is %s",
		task_state_name(state));
	refuse(r, PROBLEM_CONFLICT, detail);
}

static void on_read(const struct store_task *task, void *arg)
{
	struct retry *r = arg;

	if (!task)
		idempotency_release(r->claim);
	else if (task->state != TASK_FAILED && task->state != TASK_DEAD)
		refuse_state(r, task->state);
	else
		submit_again(r, task);
	free(r);
}

static void read_task(struct retry *r)
{
	lookup_task(r->g, r->call, call_segment(r->call, "id"), STORE_WITH_REQUEST, on_read, r);
}

static void on_claimed(struct idempotency *claim, const struct id *id, bool is_resumed, void *arg)
{
	struct retry *r = arg;

	if (!claim) {
		free(r);
		return;
	}
	r->claim = claim;
	r->claimed = *id;
	r->is_resumed = is_resumed;
	read_task(r);
}

/* Before the task is read: the first answer is given again also when that is gone. */
static void claim(struct retry *r)
{
	struct id id;

	ids_mint(&r->g->ids, ID_TASK, call_tenant(r->call), clock_wall_ms(), &id, 1);
	idempotency_claim(r->g, r->call, &id, submit_lease_ms(r->g, r->call), on_claimed, r);
}

void retry_task(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct retry *r;
	struct id ignored;

	if (!tasks_body_is_nothing(call) ||
		!lookup_read_id(g, call, ID_TASK, call_segment(call, "id"), &ignored))
		return;
	r = calloc(1, sizeof *r);
	if (!r) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*r = (struct retry){.g = g, .call = call};
	if (idempotency_is_wanted(call))
		claim(r);
	else
		read_task(r);
}
