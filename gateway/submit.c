#include "gateway/submit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/control_out.h"
#include "gateway/dispatch.h"
#include "gateway/head.h"
#include "gateway/idempotency.h"
#include "gateway/inline.h"
#include "service/json_out.h"
#include "gateway/known.h"
#include "gateway/lookup.h"
#include "gateway/metrics.h"
#include "gateway/prefer.h"
#include "gateway/question.h"
#include "service/status.h"
#include "gateway/sync.h"
#include "gateway/waiter.h"
#include "runtime/clock.h"

struct submit {
	struct gateway *g;
	struct call *call;
	struct submission *first;
	struct submit_options options;
	struct idempotency *claim; /* NULL: no key */
	struct inline_call *inline_call;
	struct waiter *waiter;
	int wait_s;	     /* Prefer: wait */
	int64_t inline_ms;   /* how long a synchronous caller waits */
	int64_t started_us;  /* monotonic */
	const char *outcome; /* for the metrics */
	struct answer answer;
};

static const char *const mode_names[] = {[SUBMIT_ASYNC] = "async", [SUBMIT_SYNC] = "sync"};

int submit_mode_parse(struct slice word, enum submit_mode *out)
{
	for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++) {
		if (slice_is_text(word, mode_names[i])) {
			*out = (enum submit_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct submission_rules submit_rules(const struct gateway *g)
{
	return (struct submission_rules){
		.now_ms = clock_wall_ms(),
		.timeout_max_ms = g->service->options->amqp.consumer_timeout_ms,
	};
}

/* ---- the end ---- */

static void submit_free(struct submit *s)
{
	submission_free(s->first);
	answer_done(&s->answer);
	gateway_job_end(s->g);
	free(s);
}

static void send_answer(void *arg)
{
	struct submit *s = arg;

	answer_send(&s->answer, s->call);
	submit_free(s);
}

static void count(const struct submit *s)
{
	metrics_add(s->g->service->metrics, GATEWAY_SUBMISSIONS, 1, mode_names[s->options.mode], s->outcome);
	if (s->options.mode == SUBMIT_SYNC)
		metrics_observe(s->g->service->metrics, GATEWAY_SYNC_SECONDS,
			(double)(clock_mono_us() - s->started_us) / 1e6, s->outcome);
}

/* The key keeps the answer before the client sees it: one that asks again at once gets the same. */
static void finish(struct submit *s)
{
	count(s);
	if (s->claim)
		idempotency_end(s->claim, &s->answer, send_answer, s);
	else
		send_answer(s);
}

static void finish_with_problem(
	struct submit *s, enum problem problem, const char *outcome, const char *detail)
{
	s->outcome = outcome;
	s->answer.fate = ANSWER_RELEASE;
	answer_problem(&s->answer, problem, NULL, NULL, detail, s->call);
	finish(s);
}

/* ---- the durable lane: accepted ---- */

static const struct submission *last_of(const struct submission *s)
{
	while (s->then)
		s = s->then;
	return s;
}

/* The one whose id the client is given. */
static const struct submission *named(const struct submit *s)
{
	return s->options.names_last ? last_of(s->first) : s->first;
}

void submit_render_steps(const char *name, const struct submission *first, struct buf *out)
{
	json_out_open(out, name, '[');
	for (const struct submission *s = first; s; s = s->then) {
		json_out_open(out, NULL, '{');
		json_out_id(out, "id", &s->id);
		json_out_text(out, "task", slice_text(s->task));
		json_out_close(out, '}');
	}
	json_out_close(out, ']');
}

static enum task_state state_of(const struct submit *s)
{
	return submission_is_later(named(s)) || named(s) != s->first ? TASK_SCHEDULED : TASK_QUEUED;
}

static void render_usual(const struct submit *s, struct buf *out)
{
	const struct submission *task = named(s);

	json_out_open(out, NULL, '{');
	json_out_id(out, "id", &task->id);
	json_out_text(out, "task", slice_text(task->task));
	json_out_text(out, "status", slice_text(task_state_name(state_of(s))));
	if (s->first->then)
		submit_render_steps("tasks", s->first, out);
	if (!id_is_zero(&s->options.retry_of))
		json_out_id(out, "retry_of", &s->options.retry_of);
	status_render_links(&task->id, out);
	json_out_close(out, '}');
}

static void make_accepted(struct submit *s)
{
	struct answer *a = &s->answer;
	char id[ID_TEXT_LEN + 1];

	id_format(&named(s)->id, id);
	a->status = s->options.status ? s->options.status : 202;
	a->fate = ANSWER_KEEP;
	a->retry_after_s = 1;
	snprintf(a->location, sizeof a->location, "/v1/tasks/%s", id);
	snprintf(a->content_type, sizeof a->content_type, "application/json");
	if (s->options.reply)
		s->options.reply(named(s), s->call, a, s->options.reply_arg);
	else
		render_usual(s, &a->body);
}

/* ---- Prefer: wait ---- */

static void on_read(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct submit *s = arg;

	if (rc == 0 && tasks[0].presence == STORE_PRESENT) {
		buf_reset(&s->answer.body);
		s->answer.status = 200;
		s->answer.retry_after_s = 0;
		s->answer.applied_wait_s = s->wait_s;
		snprintf(s->answer.content_type, sizeof s->answer.content_type, "application/json");
		status_render(&tasks[0], &s->answer.body);
	}
	finish(s);
}

static void on_waited(bool has_come, void *arg)
{
	struct submit *s = arg;

	call_on_gone(s->call, NULL, NULL);
	if (has_come && store_tasks_get(s->g->store, &named(s)->id, 1, STORE_WITH_JSON, on_read, s) == 0)
		return;
	finish(s);
}

static void on_gone_waiting(struct call *call, void *arg)
{
	struct submit *s = arg;

	waiter_remove(s->waiter);
	finish(s);
}

static bool start_waiting(struct submit *s)
{
	struct wait_for what = {
		.id = named(s)->id,
		.until_end = true,
		.timeout_ms = (int64_t)s->wait_s * 1000,
		.share = call_share(s->call),
	};

	if (!s->wait_s || call_is_gone(s->call))
		return false;
	if (waiter_add(s->g->waiters, &what, on_waited, s, &s->waiter) < 0)
		return false;
	call_set_waiting(s->call);
	call_on_gone(s->call, on_gone_waiting, s);
	return true;
}

/* ---- the durable lane ---- */

static void accepted(struct submit *s)
{
	s->outcome = dispatch_outcome_name(DISPATCH_ACCEPTED);
	make_accepted(s);
	if (!start_waiting(s))
		finish(s);
}

static void refused(struct submit *s, enum dispatch_outcome outcome, const char *task)
{
	struct buf members;

	buf_init(&members, 1024);
	if (task)
		json_out_text(&members, "task", slice_text(task));
	if (outcome == DISPATCH_UNKNOWN) {
		json_out_text(&members, "outcome", slice_text("unknown"));
		json_out_id(&members, "id", &named(s)->id);
	}
	s->outcome = dispatch_outcome_name(outcome);
	s->answer.fate = outcome == DISPATCH_UNKNOWN ? ANSWER_UNKNOWN : ANSWER_RELEASE;
	answer_problem(&s->answer, dispatch_problem(outcome), NULL, buf_text(&members),
		dispatch_detail(outcome), s->call);
	buf_done(&members);
	finish(s);
}

static void on_dispatched(enum dispatch_outcome outcome, const char *task, void *arg)
{
	if (outcome == DISPATCH_ACCEPTED)
		accepted(arg);
	else
		refused(arg, outcome, task);
}

struct trace submit_trace(const struct call *call)
{
	return trace_of(call_header(call, "traceparent"), call_header(call, "tracestate"));
}

static void start_durable(struct submit *s, bool is_resumed)
{
	struct dispatch_request r = {
		.tenant = call_tenant(s->call),
		.first = s->first,
		.retry_of = s->options.retry_of,
		.is_resumed = is_resumed,
		.trace = submit_trace(s->call),
	};

	dispatch_start(s->g, &r, on_dispatched, s);
}

/* ---- the inline lane ---- */

static void end_inline(struct submit *s, enum inline_end end)
{
	s->outcome = inline_end_name(end);
	sync_answer_end(end, &s->first->id, s->call, &s->answer);
	finish(s);
}

static void on_durable_queue(int rc, const struct broker_queue_info *info, void *arg)
{
	struct submit *s = arg;

	if (rc < 0)
		end_inline(s, INLINE_AWAY);
	else if (info->exists)
		end_inline(s, INLINE_NO_QUEUE);
	else
		refused(s, DISPATCH_NO_QUEUE, s->first->task);
}

/* Nobody consumes the inline queue: does anybody know this task at all? */
static void end_without_queue(struct submit *s)
{
	if (question_ask(s->g->questions, s->first->task, on_durable_queue, s) < 0)
		end_inline(s, INLINE_AWAY);
}

static void on_inline(enum inline_end end, const struct reply *reply, void *arg)
{
	struct submit *s = arg;

	s->inline_call = NULL;
	call_on_gone(s->call, NULL, NULL);
	switch (end) {
	case INLINE_REPLIED:
		known_saw(s->g->known, s->first->task, 0);
		s->outcome = reply_kind_name(reply->kind);
		sync_answer_reply(reply, s->call, &s->answer);
		finish(s);
		break;
	case INLINE_NO_QUEUE: end_without_queue(s); break;
	case INLINE_FULL:
	case INLINE_AWAY:
	case INLINE_LOST:
	case INLINE_UNCONFIRMED:
	case INLINE_TIMED_OUT:
	case INLINE_TOO_LARGE: end_inline(s, end); break;
	}
}

/* Nobody waits for the outcome any more: whoever runs it may stop. */
static void on_gone_inline(struct call *call, void *arg)
{
	struct submit *s = arg;

	inline_call_drop(s->inline_call);
	if (control_cancel(s->g, &s->first->id, NULL, NULL) < 0)
		log_debug("cancel_not_published", LOG_TEXT("task", s->first->task));
	s->outcome = "client_gone";
	/* Processors remember this id as canceled: another try under the key needs another. */
	s->answer.fate = ANSWER_RELEASE;
	answer_problem(&s->answer, PROBLEM_BUSY, NULL, NULL, "the client has gone", call);
	finish(s);
}

static int64_t shorter(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The operator's word: the route's own, or that of all. */
static int64_t longest_wait_ms(const struct submit *s)
{
	return s->options.wait_ms ? s->options.wait_ms : s->g->options->limits.sync_timeout_ms;
}

/* The request expires with the client's wait, and the handler's timeout is cut to it. */
static void bound_by_wait(struct submit *s)
{
	struct submission *task = s->first;
	int64_t now_ms = clock_wall_ms();
	int64_t wait_ms = longest_wait_ms(s);

	if (task->timeout_ms)
		wait_ms = shorter(wait_ms, task->timeout_ms);
	if (task->deadline_ms)
		wait_ms = shorter(wait_ms, task->deadline_ms - now_ms);
	if (wait_ms < 1)
		wait_ms = 1;
	task->timeout_ms = (uint32_t)shorter(wait_ms, UINT32_MAX);
	task->deadline_ms = now_ms + wait_ms;
	task->max_attempts = 1;
	s->inline_ms = wait_ms;
}

static int start_inline_call(struct submit *s)
{
	struct message_context context = {.tenant = call_tenant(s->call), .is_inline = true};
	struct inline_request r = {
		.id = s->first->id,
		.task = s->first->task,
		.wait_ms = s->inline_ms,
		.confirm_ms = s->g->options->limits.publish_timeout_ms,
		.trace = submit_trace(s->call),
	};
	int rc = message_encode(
		s->first, &context, (size_t)s->g->service->options->amqp.max_message, &r.message);

	if (rc < 0)
		return rc;
	call_drop_body(s->call);
	rc = inline_call_start(s->g->lane, &r, on_inline, s, &s->inline_call);
	if (rc < 0)
		free(r.message.data);
	return rc;
}

static void start_inline(struct submit *s)
{
	int rc;

	bound_by_wait(s);
	rc = start_inline_call(s);
	if (rc == 0)
		call_on_gone(s->call, on_gone_inline, s);
	else if (rc == -EMSGSIZE)
		end_inline(s, INLINE_TOO_LARGE);
	else if (rc == -EAGAIN || rc == -ENOTCONN)
		end_inline(s, INLINE_AWAY);
	else
		finish_with_problem(s, PROBLEM_INTERNAL, "failed", "the task could not be handed over");
}

/* ---- the start ---- */

static void set_ids(struct submission *first, const struct id *ids)
{
	for (; first; first = first->then)
		first->id = *ids++;
}

static void start_lane(struct submit *s, bool is_resumed)
{
	if (s->options.mode == SUBMIT_SYNC)
		start_inline(s);
	else
		start_durable(s, is_resumed);
}

/* Those that follow are found again from the first. */
static void follow_ids(struct submit *s, const struct id *first)
{
	struct id ids[SUBMISSION_STEPS_MAX] = {*first};

	ids_follow(&s->g->ids, first, ID_TASK, call_tenant(s->call), &ids[1], submission_steps(s->first) - 1);
	set_ids(s->first, ids);
}

static void on_claimed(struct idempotency *claim, const struct id *id, bool is_resumed, void *arg)
{
	struct submit *s = arg;

	if (!claim) {
		submit_free(s);
		return;
	}
	s->claim = claim;
	if (is_resumed)
		follow_ids(s, id);
	start_lane(s, is_resumed);
}

/* The first that says how long; preferences may stand in several lines. */
static int wanted_wait_s(const struct call *call)
{
	struct slice preferences;
	int wait_s = 0;

	for (size_t at = 0; wait_s == 0 && head_next_field(call_head(call), "Prefer", &at, &preferences);)
		wait_s = prefer_wait_s(preferences);
	return wait_s;
}

int64_t submit_lease_ms(const struct gateway *g, const struct call *call)
{
	return g->options->limits.publish_timeout_ms + (int64_t)wanted_wait_s(call) * 1000;
}

static int64_t lease_ms(const struct submit *s)
{
	return s->options.mode == SUBMIT_SYNC ? longest_wait_ms(s) : submit_lease_ms(s->g, s->call);
}

/* What only the durable lane can do. */
static const char *impossible_with_sync(const struct submission *s)
{
	if (s->run_at_ms)
		return "a task that runs later cannot be waited for: leave out delay and run_at, or mode=sync";
	if (s->then)
		return "`then` is not possible with mode=sync: use Prefer: wait";
	if (s->deliver.len)
		return "nothing is delivered with mode=sync: use Prefer: wait";
	return NULL;
}

static struct submit *submit_new(
	struct gateway *g, struct call *call, struct submission *first, const struct submit_options *options)
{
	struct submit *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->g = g;
	s->call = call;
	s->first = first;
	s->options = *options;
	s->started_us = clock_mono_us();
	s->wait_s = options->mode == SUBMIT_ASYNC ? wanted_wait_s(call) : 0;
	answer_init(&s->answer);
	gateway_job_begin(g);
	return s;
}

static void start(struct submit *s)
{
	struct id ids[SUBMISSION_STEPS_MAX];
	size_t steps = submission_steps(s->first);

	assert(steps <= SUBMISSION_STEPS_MAX);
	if (s->options.claim) {
		s->claim = s->options.claim;
		follow_ids(s, &s->options.claimed);
		start_lane(s, s->options.is_resumed);
		return;
	}
	ids_mint(&s->g->ids, ID_TASK, call_tenant(s->call), clock_wall_ms(), ids, steps);
	set_ids(s->first, ids);
	if (idempotency_is_wanted(s->call))
		idempotency_claim(s->g, s->call, &ids[0], lease_ms(s), on_claimed, s);
	else
		start_lane(s, false);
}

/* The call has been answered. */
static void give_up(struct submission *first, const struct submit_options *options)
{
	idempotency_release(options->claim);
	submission_free(first);
}

void submit_start(
	struct gateway *g, struct call *call, struct submission *first, const struct submit_options *options)
{
	const char *impossible = options->mode == SUBMIT_SYNC ? impossible_with_sync(first) : NULL;
	struct submit *s;

	if (impossible) {
		call_problem(call, PROBLEM_INVALID_FIELD, "mode", "%s", impossible);
		give_up(first, options);
		return;
	}
	if (!lookup_is_ready(g, call)) {
		give_up(first, options);
		return;
	}
	s = submit_new(g, call, first, options);
	if (!s) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		give_up(first, options);
		return;
	}
	start(s);
}
