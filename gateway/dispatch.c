#include "gateway/dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "gateway/known.h"
#include "gateway/message.h"
#include "gateway/question.h"
#include "proto/topology.h"
#include "runtime/clock.h"
#include "service/trace.h"

struct dispatch {
	struct gateway *g;
	struct dispatch_request request;
	dispatch_cb *cb;
	void *arg;
	bool has_rows; /* of this try, in the store, to be taken back when the publish fails */
	enum dispatch_outcome outcome;
	const struct submission *checking; /* whose queue is asked for */
	size_t steps;
	struct message messages[]; /* one a step */
};

static const struct {
	const char *name;
	enum problem problem;
	const char *detail;
} outcomes[DISPATCH_OUTCOMES] = {
	[DISPATCH_ACCEPTED] = {"accepted", PROBLEM_INTERNAL, ""},
	[DISPATCH_NO_QUEUE] = {"no_queue", PROBLEM_UNKNOWN_TASK,
		"no queue for this task: start its processor or name it in gateway.tasks"},
	[DISPATCH_FULL] = {"full", PROBLEM_BUSY, "the queue of this task takes no more just now"},
	[DISPATCH_AWAY] = {"away", PROBLEM_BROKER_UNAVAILABLE,
		"the broker did not take the task; nothing was accepted"},
	[DISPATCH_UNKNOWN] = {"unknown", PROBLEM_BROKER_UNAVAILABLE,
		"the broker did not confirm the task in time: it may have been accepted; poll its id, or send it again "
		"under the same Idempotency-Key"},
	[DISPATCH_TOO_LARGE] = {"too_large", PROBLEM_TOO_LARGE, "the task is larger than amqp.max_message"},
	[DISPATCH_STORE_AWAY] = {"store_away", PROBLEM_STORE_UNAVAILABLE,
		"the store did not take the task; nothing was accepted"},
	[DISPATCH_PREVIOUS_GONE] = {"previous_gone", PROBLEM_CONFLICT,
		"what ran before this task has outlived its lifetime, and with it the `previous` that the task is to "
		"get: submit anew what is to run"},
	[DISPATCH_FAILED] = {"failed", PROBLEM_INTERNAL,
		"the task could not be handed over; nothing was accepted"},
};

const char *dispatch_outcome_name(enum dispatch_outcome outcome)
{
	return outcomes[outcome].name;
}

enum problem dispatch_problem(enum dispatch_outcome outcome)
{
	return outcomes[outcome].problem;
}

const char *dispatch_detail(enum dispatch_outcome outcome)
{
	return outcomes[outcome].detail;
}

bool dispatch_needs_store(const struct submission *first)
{
	return submission_is_later(first) || first->then;
}

/* ---- the end ---- */

static void dispatch_free(struct dispatch *d)
{
	for (size_t i = 0; i < d->steps; i++)
		free(d->messages[i].data);
	gateway_job_end(d->g);
	free(d);
}

static void finish(struct dispatch *d, enum dispatch_outcome outcome)
{
	d->cb(outcome, outcome == DISPATCH_NO_QUEUE ? d->checking->task : NULL, d->arg);
	dispatch_free(d);
}

static size_t ids_of_rows(const struct dispatch *d, struct id out[SUBMISSION_STEPS_MAX])
{
	const struct submission *s = d->request.first;
	size_t len = 0;

	for (s = submission_is_later(s) ? s : s->then; s; s = s->then)
		out[len++] = s->id;
	return len;
}

static void on_undone(int rc, void *arg)
{
	struct dispatch *d = arg;

	if (rc < 0)
		log_warn("later_not_undone", LOG_ERRNO(rc), LOG_TEXT("task", d->request.first->task));
	finish(d, d->outcome);
}

/* What this try stored goes again, unless the broker may have the task that it waits for. */
static void undo_and_finish(struct dispatch *d, enum dispatch_outcome outcome)
{
	struct id ids[SUBMISSION_STEPS_MAX];
	int rc;

	if (!d->has_rows || outcome == DISPATCH_UNKNOWN || outcome == DISPATCH_ACCEPTED) {
		finish(d, outcome);
		return;
	}
	d->outcome = outcome;
	rc = store_later_undo(d->g->store, ids, ids_of_rows(d, ids), on_undone, d);
	if (rc < 0)
		on_undone(rc, d);
}

/* ---- publishing ---- */

static enum dispatch_outcome outcome_of(enum broker_outcome outcome)
{
	switch (outcome) {
	case BROKER_CONFIRMED: return DISPATCH_ACCEPTED;
	case BROKER_RETURNED: return DISPATCH_NO_QUEUE;
	case BROKER_NACKED: return DISPATCH_FULL;
	case BROKER_WITHDRAWN: return DISPATCH_AWAY;
	case BROKER_UNKNOWN: return DISPATCH_UNKNOWN;
	}
	return DISPATCH_FAILED;
}

static enum dispatch_outcome outcome_of_error(int rc)
{
	switch (rc) {
	case -EMSGSIZE: return DISPATCH_TOO_LARGE;
	case -EAGAIN:
	case -ENOTCONN: return DISPATCH_AWAY;
	default: return DISPATCH_FAILED;
	}
}

static void on_published(enum broker_outcome what, void *arg)
{
	struct dispatch *d = arg;
	enum dispatch_outcome outcome = outcome_of(what);

	if (outcome == DISPATCH_ACCEPTED)
		known_saw(d->g->known, d->request.first->task, clock_mono_ms());
	if (outcome == DISPATCH_NO_QUEUE)
		known_missed(d->g->known, d->request.first->task);
	d->checking = d->request.first;
	undo_and_finish(d, outcome);
}

static int publish(struct dispatch *d)
{
	const struct submission *s = d->request.first;
	struct broker_header headers[TRACE_HEADERS];
	char id[ID_TEXT_LEN + 1];
	int64_t left_ms = s->deadline_ms ? s->deadline_ms - clock_wall_ms() : 0;
	struct broker_message m = {
		.exchange = TOPOLOGY_TASKS_EXCHANGE,
		.routing_key = slice_text(s->task),
		.body = slice_of(d->messages[0].data, d->messages[0].len),
		.body_owned = d->messages[0].data,
		.content_type = "application/msgpack",
		.correlation_id = slice_of(id, ID_TEXT_LEN),
		.reply_to = slice_text(TOPOLOGY_REPLIES_QUEUE),
		.type = slice_text(s->task),
		.app_id = "postback",
		.expiration_ms = s->deadline_ms && left_ms < 1 ? 1 : left_ms,
		.persistent = true,
		.mandatory = true,
		.headers = headers,
		.headers_len = trace_headers(&d->request.trace, headers),
		.timeout_ms = d->g->options->limits.publish_timeout_ms,
	};
	int rc;

	id_format(&s->id, id);
	rc = broker_publish(d->g->service->publish, &m, on_published, d);
	if (rc == 0)
		d->messages[0].data = NULL;
	return rc;
}

static void start_publish(struct dispatch *d)
{
	int rc = publish(d);

	if (rc < 0)
		undo_and_finish(d, outcome_of_error(rc));
}

/* ---- storing ---- */

static void on_stored(int rc, void *arg)
{
	struct dispatch *d = arg;

	d->has_rows = rc == 0 && !d->request.is_resumed;
	if (rc < 0)
		finish(d, rc == -ENOENT ? DISPATCH_PREVIOUS_GONE : DISPATCH_STORE_AWAY);
	else if (submission_is_later(d->request.first))
		finish(d, DISPATCH_ACCEPTED);
	else
		start_publish(d);
}

static struct store_later row_of(
	const struct dispatch *d, const struct submission *s, size_t step, const struct submission *before)
{
	struct store_later row = {
		.id = s->id,
		.tenant = d->request.tenant,
		.task = slice_text(s->task),
		.created_at_ms = (int64_t)id_time_ms(&s->id),
		.due_at_ms = s->run_at_ms,
		.waits = before ? STORE_WAITS_TASK : STORE_WAITS_NOT,
		.wants_previous = s->wants_previous,
		.request = slice_of(d->messages[step].data, d->messages[step].len),
		.metadata = s->metadata,
	};

	if (before)
		row.waits_for = before->id;
	if (!id_is_zero(&s->waits_for)) {
		row.waits = s->waits_for_batch ? STORE_WAITS_BATCH : STORE_WAITS_TASK;
		row.waits_for = s->waits_for;
		row.needs_awaited = true;
	}
	if (step == 0)
		row.batch = d->request.batch;
	row.retry_of = d->request.retry_of;
	return row;
}

static void start_storing(struct dispatch *d)
{
	struct store_later rows[SUBMISSION_STEPS_MAX];
	const struct submission *before = NULL;
	size_t len = 0, step = 0;
	int rc;

	for (const struct submission *s = d->request.first; s; before = s, s = s->then, step++)
		if (before || submission_is_later(s))
			rows[len++] = row_of(d, s, step, before);
	rc = store_later_insert(d->g->store, rows, len, on_stored, d);
	if (rc < 0)
		finish(d, rc == -ENOMEM ? DISPATCH_FAILED : DISPATCH_STORE_AWAY);
}

/* ---- are there queues for what is published later? ---- */

static void check_from(struct dispatch *d, const struct submission *s);

static void on_queue(int rc, const struct broker_queue_info *info, void *arg)
{
	struct dispatch *d = arg;

	if (rc < 0)
		finish(d, DISPATCH_AWAY);
	else if (!info->exists)
		finish(d, DISPATCH_NO_QUEUE);
	else
		check_from(d, d->checking->then);
}

static void check_from(struct dispatch *d, const struct submission *s)
{
	int rc;

	while (s && known_is_fresh(d->g->known, s->task, clock_mono_ms()))
		s = s->then;
	if (!s) {
		start_storing(d);
		return;
	}
	d->checking = s;
	rc = question_ask(d->g->questions, s->task, on_queue, d);
	if (rc < 0)
		finish(d, outcome_of_error(rc));
}

/* ---- the start ---- */

static int encode_steps(struct dispatch *d)
{
	struct message_context context = {
		.tenant = d->request.tenant,
		.batch = d->request.batch,
		.retry_of = d->request.retry_of,
		.trace = d->request.trace,
	};
	size_t max = (size_t)d->g->service->options->amqp.max_message;
	size_t step = 0;
	int rc = 0;

	for (const struct submission *s = d->request.first; s && rc == 0; s = s->then) {
		rc = message_encode(s, &context, max, &d->messages[step++]);
		/* Only the item itself counts for its batch, not what runs after it. */
		context.batch = (struct id){0};
	}
	return rc;
}

static void start(struct dispatch *d)
{
	struct submission *first = d->request.first;

	if (dispatch_needs_store(first))
		check_from(d, submission_is_later(first) ? first : first->then);
	else
		start_publish(d);
}

static void on_earlier_try(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct dispatch *d = arg;

	if (rc == 0 && tasks[0].presence != STORE_ABSENT)
		finish(d, DISPATCH_ACCEPTED);
	else
		start(d);
}

static void resume(struct dispatch *d)
{
	if (store_tasks_get(d->g->store, &d->request.first->id, 1, 0, on_earlier_try, d) < 0)
		start(d);
}

void dispatch_start(struct gateway *g, const struct dispatch_request *r, dispatch_cb *cb, void *arg)
{
	size_t steps = submission_steps(r->first);
	struct dispatch *d;
	int rc;

	assert(steps <= SUBMISSION_STEPS_MAX);
	d = calloc(1, sizeof *d + steps * sizeof d->messages[0]);
	if (!d) {
		cb(DISPATCH_FAILED, NULL, arg);
		return;
	}
	gateway_job_begin(g);
	d->g = g;
	d->request = *r;
	d->cb = cb;
	d->arg = arg;
	d->steps = steps;
	d->checking = r->first;
	rc = encode_steps(d);
	if (rc < 0)
		finish(d, outcome_of_error(rc));
	else if (r->is_resumed)
		resume(d);
	else
		start(d);
}
