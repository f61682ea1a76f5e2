#include "processor/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/topology.h"
#include "runtime/backoff.h"
#include "runtime/clock.h"

enum {
	STARTED_AFTER_MS = 1000,
	PROGRESS_EVERY_MS = 100,
	PUBLISH_AGAIN_MS = 50,
	RETURNS_MAX = 8,
	RETURN_BASE_MS = 1000,
	RETURN_CAP_MS = 30000,
	SHORT_LIVED_MS = 5000, /* replies sent at most once */
};

static void publish_reply(struct run *r);
static void on_timer(evutil_socket_t fd, short what, void *arg);

static struct service *service_of(const struct run *r)
{
	return r->handler->processor->service;
}

static const char *task_of(const struct run *r)
{
	return r->handler->options->task;
}

/* ---- made and freed ---- */

static void on_job_done(struct job *job, const struct outcome *outcome);
static void on_job_progress(struct job *job, struct slice object);

struct run *run_new(
	struct handler *h, bool is_inline, struct broker_delivery *d, const struct request *request)
{
	struct run *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	*r = (struct run){
		.handler = h,
		.is_inline = is_inline,
		.is_redelivered = d->redelivered,
		.request = *request,
		.terms = terms_of(request, h->options, h->timeout_max_ms),
		.delivery = d,
		.live = {.id = request->id, .attempt = request->attempt},
		.job = {.bytes = d->body,
			.traceparent = d->traceparent,
			.tracestate = d->tracestate,
			.done = on_job_done,
			.progress = on_job_progress},
	};
	r->job.request = &r->request;
	live_add(&h->processor->live, &r->live);
	TAILQ_INSERT_TAIL(&h->active, r, active);
	h->active_len++;
	return r;
}

static void settle_joined(struct run *r, void (*settle)(struct broker_delivery *))
{
	struct joined *j;

	while ((j = SLIST_FIRST(&r->joined))) {
		SLIST_REMOVE_HEAD(&r->joined, link);
		settle(j->delivery);
		free(j);
		r->handler->joined--;
	}
}

/* Every delivery is settled the same way. */
static void run_settle(struct run *r, void (*settle)(struct broker_delivery *))
{
	struct handler *h = r->handler;

	settle_joined(r, settle);
	settle(r->delivery);
	live_remove(&r->live);
	if (r->timer)
		event_free(r->timer);
	handler_run_gone(h, r);
	free(r->progress);
	free(r->reply);
	free(r);
}

static void put_back(struct broker_delivery *d)
{
	broker_reject(d, true);
}

static void give_up(struct broker_delivery *d)
{
	broker_reject(d, false);
}

void run_free(struct run *r)
{
	run_settle(r, broker_drop);
}

void run_return(struct run *r)
{
	run_settle(r, put_back);
}

bool run_is_stuck(const struct run *r)
{
	return r->returns > 0 && !r->is_publishing;
}

int run_join(struct run *r, struct broker_delivery *d)
{
	struct joined *j = calloc(1, sizeof *j);

	if (!j)
		return -ENOMEM;
	j->delivery = d;
	SLIST_INSERT_HEAD(&r->joined, j, link);
	r->handler->joined++;
	return 0;
}

size_t run_forget_stale(struct run *r)
{
	struct joined *j;
	struct joined *next;
	size_t forgotten = 0;

	for (j = SLIST_FIRST(&r->joined); j; j = next) {
		next = SLIST_NEXT(j, link);
		if (broker_delivery_is_live(j->delivery))
			continue;
		SLIST_REMOVE(&r->joined, j, joined, link);
		broker_drop(j->delivery);
		free(j);
		forgotten++;
	}
	r->handler->joined -= forgotten;
	return forgotten;
}

/* ---- replies ---- */

/* Replies that are news only: nothing depends on them. */
static void on_news_sent(enum broker_outcome outcome, void *arg)
{
}

static struct broker_message message_of(
	const struct run *r, struct slice body, struct slice id, struct broker_header headers[2])
{
	const struct broker_delivery *d = r->delivery;
	struct broker_message m = {
		.exchange = TOPOLOGY_REPLY_EXCHANGE,
		.routing_key = d->reply_to,
		.body = body,
		.content_type = "application/msgpack",
		.correlation_id = id,
		.type = r->request.task,
		.app_id = "postback-processor",
		.persistent = !r->is_inline,
		.headers = headers,
	};

	if (slice_is_set(d->traceparent))
		headers[m.headers_len++] = (struct broker_header){"traceparent", d->traceparent};
	if (slice_is_set(d->tracestate))
		headers[m.headers_len++] = (struct broker_header){"tracestate", d->tracestate};
	return m;
}

static struct reply reply_base(const struct run *r, enum reply_kind kind)
{
	return (struct reply){
		.id = r->request.id,
		.attempt = r->request.attempt,
		.kind = kind,
		.started_at_ms = r->began_ms,
		.context = r->request.context,
		.worker = slice_text(service_of(r)->instance),
	};
}

static void send_news(struct run *r, const struct reply *reply)
{
	struct broker_header headers[2];
	struct broker_message m;
	char id[ID_TEXT_LEN + 1];
	struct buf body;

	buf_init(&body, (size_t)service_of(r)->options->amqp.max_message);
	if (reply_encode(reply, &body) == 0) {
		id_format(&r->request.id, id);
		m = message_of(r, buf_slice(&body), slice_text(id), headers);
		m.timeout_ms = SHORT_LIVED_MS;
		broker_publish(service_of(r)->publish, &m, on_news_sent, NULL);
	}
	buf_done(&body);
}

static void send_started(struct run *r)
{
	struct reply reply = reply_base(r, REPLY_STARTED);

	send_news(r, &reply);
}

static void send_progress(struct run *r)
{
	struct reply reply = reply_base(r, REPLY_PROGRESS);

	reply.progress = slice_of(r->progress, r->progress_len);
	reply.seq = ++r->seq;
	send_news(r, &reply);
	free(r->progress);
	r->progress = NULL;
	r->progress_ms = clock_mono_ms();
}

static void describe_failure(
	const struct run *r, const struct outcome *o, bool retryable, struct reply *reply)
{
	reply->has_error = true;
	reply->error = (struct reply_error){
		.type = reply_error_type_is_valid(o->error_type) ? o->error_type : slice_text("failed"),
		.message = o->message,
		.retryable = retryable,
		.status = o->status,
		.data = o->data,
	};
	reply->request = r->delivery->body;
	if (content_type_is_valid(o->content_type))
		reply->content_type = o->content_type;
	if (reply->kind == REPLY_RETRY) {
		reply->has_retry = true;
		reply->retry = r->terms.retry;
		reply->retry_after_ms = o->retry_after_ms;
	}
}

static void describe_result(const struct outcome *o, struct reply *reply)
{
	reply->result = slice_is_set(o->result) ? o->result : slice_of("", 0);
	reply->content_type = content_type_is_valid(o->content_type) ? o->content_type
								     : slice_text("application/octet-stream");
}

static int encode(const struct reply *reply, size_t max, struct buf *out)
{
	buf_done(out);
	buf_init(out, max);
	return reply_encode(reply, out);
}

/*
 * A message must fit: a result that does not is a failure; a failure does without its data, then without the request, and
 * without that there is no other attempt.
 */
static int encode_to_fit(struct reply *reply, size_t max, struct buf *out)
{
	int rc = encode(reply, max, out);

	if (rc == -EMSGSIZE && reply->kind == REPLY_SUCCEEDED) {
		reply->kind = REPLY_FAILED;
		reply->result = reply->content_type = (struct slice){0};
		reply->has_error = true;
		reply->error = (struct reply_error){.type = slice_text("output_too_large"),
			.message = slice_text("the reply would be over amqp.max_message")};
		rc = encode(reply, max, out);
	}
	if (rc == -EMSGSIZE) {
		reply->error.data = (struct slice){0};
		rc = encode(reply, max, out);
	}
	if (rc == -EMSGSIZE) {
		reply->kind = REPLY_FAILED;
		reply->request = (struct slice){0};
		reply->has_retry = false;
		reply->retry_after_ms = 0;
		rc = encode(reply, max, out);
	}
	return rc;
}

/* Sets r->reply. */
static int make_reply(struct run *r, const struct outcome *o, enum reply_kind *kind)
{
	struct reply reply;
	struct buf body;
	bool retryable;
	int rc;

	reply = reply_base(
		r, verdict_of(o->kind, r->is_inline, r->request.attempt, r->terms.max_attempts, &retryable));
	reply.finished_at_ms = clock_wall_ms();
	if (reply.kind == REPLY_SUCCEEDED)
		describe_result(o, &reply);
	else if (reply.kind != REPLY_CANCELED)
		describe_failure(r, o, retryable, &reply);
	buf_init(&body, 0);
	rc = encode_to_fit(&reply, (size_t)service_of(r)->options->amqp.max_message, &body);
	if (rc == 0)
		rc = buf_take(&body, &r->reply, &r->reply_len);
	buf_done(&body);
	*kind = reply.kind;
	return rc;
}

/* ---- the end: reply, confirm, ack ---- */

static void set_timer(struct run *r, int64_t wait_ms)
{
	if (!r->timer)
		r->timer = loop_timer(service_of(r)->loop, on_timer, r);
	if (r->timer)
		timer_arm(r->timer, wait_ms < 0 ? 0 : wait_ms);
}

static void log_undeliverable(const struct run *r, const char *event)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&r->request.id, id);
	log_error(event, LOG_TEXT("task", task_of(r)), LOG_TEXT("id", id),
		LOG_SLICE("reply_to", r->delivery->reply_to), LOG_INT("tries", r->returns));
}

static void on_returned(struct run *r)
{
	r->returns++;
	if (r->handler->is_stopping) {
		run_settle(r, put_back);
		return;
	}
	if (r->returns > RETURNS_MAX) {
		log_undeliverable(r, "reply_given_up");
		run_settle(r, give_up);
		return;
	}
	if (r->returns == 1)
		log_undeliverable(r, "reply_returned");
	set_timer(r, backoff_ms(RETURN_BASE_MS, RETURN_CAP_MS, r->returns, random_u32()));
}

static void on_reply_ended(enum broker_outcome outcome, void *arg)
{
	struct run *r = arg;
	struct handler *h = r->handler;

	r->is_publishing = false;
	switch (outcome) {
	case BROKER_CONFIRMED:
		recent_add(h->processor->finished, &r->live.id, r->live.attempt, clock_mono_ms());
		run_settle(r, broker_ack);
		break;
	case BROKER_RETURNED:
	case BROKER_NACKED: on_returned(r); break;
	case BROKER_WITHDRAWN:
	case BROKER_UNKNOWN: set_timer(r, PUBLISH_AGAIN_MS); break;
	}
	handler_pump(h);
}

static void publish_inline(struct run *r, struct broker_message *m)
{
	m->timeout_ms = SHORT_LIVED_MS;
	m->body_owned = r->reply;
	if (broker_publish(service_of(r)->publish, m, on_news_sent, NULL) == 0)
		r->reply = NULL;
	recent_add(r->handler->processor->finished, &r->live.id, r->live.attempt, clock_mono_ms());
	run_settle(r, broker_ack);
}

static void publish_reply(struct run *r)
{
	struct broker_header headers[2];
	struct broker_message m;
	char id[ID_TEXT_LEN + 1];

	id_format(&r->request.id, id);
	m = message_of(r, slice_of(r->reply, r->reply_len), slice_text(id), headers);
	if (r->is_inline) {
		publish_inline(r, &m);
		return;
	}
	m.mandatory = m.until_confirmed = true;
	if (broker_publish(service_of(r)->publish, &m, on_reply_ended, r) == 0)
		r->is_publishing = true;
	else
		set_timer(r, PUBLISH_AGAIN_MS);
}

static void count(const struct run *r, const char *outcome)
{
	metrics_add(service_of(r)->metrics, PROCESSOR_TASKS, 1, task_of(r), outcome);
}

/* The run may be gone when it returns. */
static void conclude(struct run *r, const struct outcome *o)
{
	struct handler *h = r->handler;
	enum reply_kind kind;
	int rc = make_reply(r, o, &kind);

	if (r->state == RUN_RUNNING) {
		int64_t took_us = clock_mono_us() - r->began_us;

		metrics_observe(service_of(r)->metrics, PROCESSOR_SECONDS, (double)took_us / 1e6, task_of(r));
		r->state = RUN_REPLYING;
		handler_run_ended(h, r, took_us);
	}
	r->state = RUN_REPLYING;
	r->timeout_ms = r->started_ms = 0;
	if (r->timer)
		evtimer_del(r->timer);
	if (rc < 0) {
		log_error("reply_not_made", LOG_TEXT("task", task_of(r)), LOG_ERRNO(rc));
		run_settle(r, put_back);
	} else {
		count(r, reply_kind_name(kind));
		publish_reply(r);
	}
	handler_pump(h);
}

/* ---- running ---- */

static const struct {
	enum outcome_kind kind;
	const char *type, *message;
} stops[] = {
	[RUN_TIMED_OUT] = {OUTCOME_RETRY, "timeout", "the run took longer than its timeout"},
	[RUN_EXPIRED] = {OUTCOME_FAILED, "expired", "the deadline passed while it ran"},
	[RUN_CANCELED] = {OUTCOME_CANCELED, "canceled", "canceled"},
	[RUN_INTERRUPTED] = {OUTCOME_RETRY, "interrupted", "the processor ended"},
};

/* Why it was stopped counts, not how it ended then; what it left for the error's data is kept. */
static struct outcome overrule(enum run_stop stop, const struct outcome *o)
{
	struct outcome own = *o;

	if (stop == RUN_GOES_ON || (stop == RUN_INTERRUPTED && o->kind == OUTCOME_SUCCEEDED))
		return own;
	own = (struct outcome){
		.kind = stops[stop].kind,
		.error_type = slice_text(stops[stop].type),
		.message = slice_text(stops[stop].message),
	};
	if (o->kind != OUTCOME_SUCCEEDED)
		own.data = o->data;
	return own;
}

static void on_job_done(struct job *job, const struct outcome *outcome)
{
	struct run *r = (struct run *)job;
	struct handler *h = r->handler;
	struct outcome o = overrule(r->stop, outcome);

	if (o.kind == OUTCOME_SUCCEEDED && o.result.len > (size_t)h->options->output_limit)
		o = (struct outcome){
			.kind = OUTCOME_FAILED,
			.error_type = slice_text("output_too_large"),
			.message = slice_text("the result is over the output limit"),
		};
	if (r->stop == RUN_INTERRUPTED && o.kind != OUTCOME_SUCCEEDED && !r->is_inline) {
		r->state = RUN_REPLYING;
		handler_run_ended(h, r, clock_mono_us() - r->began_us);
		run_settle(r, put_back);
		return;
	}
	conclude(r, &o);
}

static void on_job_progress(struct job *job, struct slice object)
{
	struct run *r = (struct run *)job;
	uint8_t *copy;

	if (r->is_inline || object.len > REPLY_PROGRESS_MAX)
		return;
	copy = malloc(object.len ? object.len : 1);
	if (!copy)
		return;
	memcpy(copy, object.data, object.len);
	free(r->progress);
	r->progress = copy;
	r->progress_len = object.len;
	on_timer(-1, 0, r);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* The one timer of a running run serves the next of its three moments. */
static void arm(struct run *r)
{
	int64_t next = earlier(r->timeout_ms, r->started_ms);

	if (r->progress)
		next = earlier(next, r->progress_ms + PROGRESS_EVERY_MS);
	if (next)
		set_timer(r, next - clock_mono_ms());
}

static bool is_past_deadline(const struct run *r)
{
	return r->request.deadline_ms && clock_wall_ms() >= r->request.deadline_ms;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct run *r = arg;
	int64_t now = clock_mono_ms();

	if (r->state == RUN_REPLYING) {
		publish_reply(r);
		return;
	}
	if (r->started_ms && now >= r->started_ms) {
		r->started_ms = 0;
		send_started(r);
	}
	if (r->progress && now >= r->progress_ms + PROGRESS_EVERY_MS)
		send_progress(r);
	if (r->timeout_ms && now >= r->timeout_ms) {
		r->timeout_ms = 0;
		run_stop(r, is_past_deadline(r) ? RUN_EXPIRED : RUN_TIMED_OUT);
		return;
	}
	arm(r);
}

/* How long this attempt may take, cut to the deadline. */
static int64_t time_left(const struct run *r)
{
	int64_t left = r->terms.timeout_ms;

	if (r->request.deadline_ms && r->request.deadline_ms - r->began_ms < left)
		left = r->request.deadline_ms - r->began_ms;
	return left > 1 ? left : 1;
}

static void start_job(struct run *r)
{
	struct handler *h = r->handler;
	int64_t now = clock_mono_ms();
	struct live_entry key = r->live;
	struct outcome o = {.kind = OUTCOME_RETRY, .error_type = slice_text("not_started")};
	int rc;

	r->state = RUN_RUNNING;
	r->began_ms = clock_wall_ms();
	r->began_us = clock_mono_us();
	r->job.timeout_ms = time_left(r);
	r->job.deadline_ms = r->began_ms + r->job.timeout_ms;
	handler_run_began(h, r);
	rc = h->kind->run(h->self, &r->job);
	if (rc < 0) {
		o.message = slice_text(strerror(-rc));
		log_warn("run_not_started", LOG_TEXT("task", task_of(r)), LOG_ERRNO(rc));
		on_job_done(&r->job, &o);
		return;
	}
	/* It may be over, and gone, by now. */
	if (live_find(&h->processor->live, &key.id, key.attempt) != &r->live || r->state != RUN_RUNNING)
		return;
	r->timeout_ms = now + r->job.timeout_ms;
	r->started_ms = r->is_inline ? 0 : now + STARTED_AFTER_MS;
	arm(r);
}

void run_refuse(struct run *r, enum outcome_kind kind, const char *type, const char *message)
{
	struct outcome o = {.kind = kind, .error_type = slice_text(type), .message = slice_text(message)};

	conclude(r, &o);
}

void run_begin(struct run *r)
{
	struct processor *p = r->handler->processor;

	if (r->stop == RUN_CANCELED || recent_has(p->canceled, &r->live.id, 0, clock_mono_ms())) {
		run_refuse(r, OUTCOME_CANCELED, "canceled", "canceled");
	} else if (!is_past_deadline(r)) {
		start_job(r);
	} else if (r->is_inline) {
		count(r, "expired");
		run_settle(r, broker_ack);
	} else {
		run_refuse(r, OUTCOME_FAILED, "expired", "the deadline passed before it could run");
	}
}

void run_stop(struct run *r, enum run_stop why)
{
	struct handler *h = r->handler;

	if (r->stop != RUN_GOES_ON || r->state == RUN_REPLYING)
		return;
	r->stop = why;
	if (r->state == RUN_RUNNING)
		h->kind->cancel(h->self, &r->job);
}
