#include "processor/handler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor/run.h"
#include "proto/topology.h"
#include "runtime/clock.h"
#include "service/topology.h"

enum {
	LOOK_AGAIN_MS = 50,
	ADAPT_EVERY_MS = 250,
	MEAN_WEIGHT = 8, /* a run's share of the moving means: one eighth */
};

/* ---- prefetch ---- */

static void apply_prefetch(struct handler *h)
{
	uint16_t wanted = admission_prefetch(&h->admission, h->full, h->joined);

	if (wanted == h->wanted)
		return;
	h->wanted = wanted;
	if (h->durable.consumer)
		broker_consumer_set_prefetch(h->durable.consumer, wanted);
}

/* Grows at once and shrinks late, as each change makes the broker consume anew. */
static void adapt(struct handler *h)
{
	size_t slots = h->admission.slots;
	int64_t now = clock_mono_ms();
	size_t full;

	if (h->options->prefetch || now - h->adapted_ms < ADAPT_EVERY_MS)
		return;
	h->adapted_ms = now;
	full = admission_ahead(slots, h->mean_us, h->mean_bytes, h->most);
	if (full > h->full || full - slots < (h->full - slots) / 4)
		h->full = full;
}

static void learn(uint64_t *mean, uint64_t sample)
{
	*mean = *mean ? (*mean * (MEAN_WEIGHT - 1) + sample) / MEAN_WEIGHT : sample;
}

/* ---- starting runs ---- */

static bool may_start(const struct handler *h)
{
	return broker_state(h->processor->service->publish) == BROKER_UP;
}

static void on_look_again(evutil_socket_t fd, short what, void *arg)
{
	handler_pump(arg);
}

static struct run *next_run(struct handler *h)
{
	enum waiting line = admission_next(&h->admission);
	struct run *r;

	if (line == WAITING_NONE)
		return NULL;
	r = TAILQ_FIRST(&h->lines[line]);
	TAILQ_REMOVE(&h->lines[line], r, line);
	h->admission.waiting[line]--;
	return r;
}

void handler_pump(struct handler *h)
{
	struct run *r;

	if (h->is_pumping)
		return;
	h->is_pumping = true;
	if (handler_waiting(h) && !may_start(h))
		timer_arm(h->timer, LOOK_AGAIN_MS);
	else
		while ((r = next_run(h)))
			run_begin(r);
	h->is_pumping = false;
	apply_prefetch(h);
}

void handler_run_began(struct handler *h, const struct run *r)
{
	h->admission.running++;
	if (r->is_inline)
		return;
	h->admission.running_durable++;
	h->admission.is_alone = r->is_redelivered;
}

void handler_run_ended(struct handler *h, const struct run *r, int64_t took_us)
{
	h->admission.running--;
	if (!r->is_inline) {
		h->admission.running_durable--;
		if (r->is_redelivered)
			h->admission.is_alone = false;
	}
	learn(&h->mean_us, (uint64_t)took_us);
	learn(&h->mean_bytes, r->delivery->body.len);
	adapt(h);
}

void handler_run_gone(struct handler *h, struct run *r)
{
	TAILQ_REMOVE(&h->active, r, active);
	h->active_len--;
}

/* ---- deliveries ---- */

static void refuse(struct handler *h, struct broker_delivery *d, const struct decode_error *e)
{
	log_warn("request_refused", LOG_TEXT("task", h->options->task),
		LOG_SLICE("message_id", d->message_id), LOG_TEXT("path", *e->path ? e->path : NULL),
		LOG_TEXT("why", e->reason));
	metrics_add(h->processor->service->metrics, PROCESSOR_REFUSED, 1, h->options->task);
	broker_reject(d, false);
}

static int read_request(
	struct handler *h, struct broker_delivery *d, struct request *out, struct decode_error *e)
{
	int rc = request_decode(d->body, out, e);

	if (rc < 0)
		return rc;
	if (!slice_is_text(out->task, h->options->task)) {
		*e = (struct decode_error){"task", "is not the task of this queue"};
		return -EBADMSG;
	}
	if (d->reply_to.len == 0) {
		*e = (struct decode_error){"", "there is no reply_to to answer to"};
		return -EBADMSG;
	}
	return 0;
}

static void join(struct handler *h, struct run *r, struct broker_delivery *d)
{
	metrics_add(h->processor->service->metrics, PROCESSOR_JOINED, 1, h->options->task);
	if (run_join(r, d) < 0)
		broker_reject(d, true);
	apply_prefetch(h);
}

static void wait_in(struct handler *h, struct run *r, enum waiting line)
{
	TAILQ_INSERT_TAIL(&h->lines[line], r, line);
	h->admission.waiting[line]++;
}

static void admit(struct handler *h, struct run *r)
{
	if (!r->is_inline) {
		admission_arrived(&h->admission, r->is_redelivered);
		wait_in(h, r, r->is_redelivered ? WAITING_REDELIVERED : WAITING_FRESH);
	} else if (!r->is_redelivered) {
		wait_in(h, r, WAITING_INLINE);
	} else {
		run_refuse(r, OUTCOME_RETRY, "interrupted", "its processor was lost");
		return;
	}
	handler_pump(h);
}

/* Its run is here, or was a moment ago: nothing is run twice. */
static bool join_its_run(struct handler *h, const struct request *request, struct broker_delivery *d)
{
	struct processor *p = h->processor;
	struct live_entry *live = live_find(&p->live, &request->id, request->attempt);

	if (live) {
		struct run *r = (struct run *)((char *)live - offsetof(struct run, live));

		join(r->handler, r, d);
		return true;
	}
	if (!recent_has(p->finished, &request->id, request->attempt, clock_mono_ms()))
		return false;
	metrics_add(p->service->metrics, PROCESSOR_JOINED, 1, h->options->task);
	broker_ack(d);
	return true;
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	struct lane *lane = arg;
	struct handler *h = lane->handler;
	struct decode_error error;
	struct request request;
	struct run *r = NULL;
	int rc = read_request(h, d, &request, &error);

	if (rc == -EBADMSG) {
		refuse(h, d, &error);
		return;
	}
	if (d->redelivered)
		metrics_add(h->processor->service->metrics, PROCESSOR_REDELIVERED, 1, h->options->task);
	/* An inline request that is new, whatever its id, has a caller of its own who waits for an answer. */
	if (rc == 0 && (!lane->is_inline || d->redelivered) && join_its_run(h, &request, d))
		return;
	if (rc == 0)
		r = run_new(h, lane->is_inline, d, &request);
	if (r)
		admit(h, r);
	else
		broker_reject(d, true);
}

/* ---- consuming ---- */

/* RabbitMQ has given them to somebody else, or will bring them again. */
static void forget_waiting(struct handler *h, enum waiting line)
{
	struct run *r;
	struct run *next;

	for (r = TAILQ_FIRST(&h->lines[line]); r; r = next) {
		next = TAILQ_NEXT(r, line);
		if (broker_delivery_is_live(r->delivery))
			continue;
		TAILQ_REMOVE(&h->lines[line], r, line);
		h->admission.waiting[line]--;
		run_free(r);
	}
}

static void on_durable_lost(struct handler *h)
{
	struct run *r;

	forget_waiting(h, WAITING_REDELIVERED);
	forget_waiting(h, WAITING_FRESH);
	for (r = TAILQ_FIRST(&h->active); r; r = TAILQ_NEXT(r, active))
		run_forget_stale(r);
	h->admission.is_careful = true;
	apply_prefetch(h);
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct lane *lane = arg;

	lane->is_consuming = is_consuming;
	if (!is_consuming && !lane->is_inline)
		on_durable_lost(lane->handler);
	processor_handlers_changed(lane->handler->processor);
}

static int lane_consume(struct lane *lane, struct handler *h, bool is_inline, uint16_t prefetch)
{
	struct service *s = h->processor->service;
	struct slice task = slice_text(h->options->task);
	char queue[TOPOLOGY_NAME_MAX];
	struct broker_consumer_options opt = {
		.queue = queue,
		.tag = is_inline ? "inline" : "tasks",
		.prefetch = prefetch,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = lane,
	};

	if (is_inline)
		topology_inline_queue(task, queue);
	else
		topology_task_queue(task, queue);
	lane->handler = h;
	lane->is_inline = is_inline;
	return service_consume(s, &opt, &lane->consumer);
}

int handler_consume(struct handler *h)
{
	int64_t slots = h->options->concurrency;
	int rc;

	h->wanted = admission_prefetch(&h->admission, h->full, 0);
	rc = lane_consume(&h->durable, h, false, h->wanted);
	if (rc < 0)
		return rc;
	return lane_consume(&h->inlined, h, true, slots > UINT16_MAX ? UINT16_MAX : (uint16_t)slots);
}

/* ---- made, stopped, freed ---- */

static int declare(struct handler *h)
{
	struct service *s = h->processor->service;
	struct topology_params params = {.task_ttl_ms = s->options->store.task_ttl_ms};
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	struct slice task = slice_text(h->options->task);
	int rc = service_declare(s->consume, items, topology_task(&params, task, items));

	return rc < 0 ? rc : service_declare(s->consume, items, topology_inline(task, items));
}

static void size_lanes(struct handler *h)
{
	const struct handler_options *o = h->options;
	int64_t consumer_timeout_ms = h->processor->service->options->amqp.consumer_timeout_ms;
	size_t slots = (size_t)o->concurrency;
	int64_t longest = admission_longest_ms(slots, (size_t)o->prefetch, consumer_timeout_ms);

	h->most = admission_most(slots, o->timeout_ms, consumer_timeout_ms);
	if (h->most < slots)
		h->most = slots;
	h->full = o->prefetch ? (size_t)o->prefetch : admission_ahead(slots, UINT64_MAX, 0, h->most);
	h->timeout_max_ms = longest > o->timeout_ms ? longest : o->timeout_ms;
	h->admission.slots = slots;
	h->admission.is_careful = true;
}

static void on_able(bool is_able, const char *why, void *arg)
{
	struct handler *h = arg;

	snprintf(h->unable_why, sizeof h->unable_why, "%s", is_able ? "" : why);
	if (is_able)
		log_info("handler_up", LOG_TEXT("task", h->options->task));
	else
		log_warn("handler_down", LOG_TEXT("task", h->options->task), LOG_TEXT("why", why));
	processor_handlers_changed(h->processor);
}

static int start_kind(struct handler *h)
{
	struct processor *p = h->processor;
	struct kind_env env = {
		.loop = p->service->loop,
		.reaper = p->reaper,
		.metrics = p->service->metrics,
		.restarts_metric = PROCESSOR_RESTARTS,
		.on_able = on_able,
		.arg = h,
	};

	return h->kind->start(&env, h->options, &h->self);
}

int handler_new(struct processor *p, const struct handler_options *o, struct handler **out)
{
	struct handler *h = calloc(1, sizeof *h);
	unsigned chosen;
	int rc = -ENOMEM;

	if (!h)
		return rc;
	*h = (struct handler){.processor = p, .options = o, .kind = kind_of(o, &chosen)};
	for (int i = 0; i < WAITING_LINES; i++)
		TAILQ_INIT(&h->lines[i]);
	TAILQ_INIT(&h->active);
	size_lanes(h);
	h->timer = loop_timer(p->service->loop, on_look_again, h);
	if (h->timer)
		rc = start_kind(h);
	if (rc == 0)
		rc = declare(h);
	if (rc < 0) {
		log_error("handler_not_started", LOG_TEXT("task", o->task), LOG_ERRNO(rc));
		handler_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

void handler_free(struct handler *h)
{
	struct run *r;

	if (!h)
		return;
	h->kind->free(h->self);
	while ((r = TAILQ_FIRST(&h->active)))
		run_free(r);
	if (h->timer)
		event_free(h->timer);
	free(h);
}

static void return_waiting(struct handler *h, enum waiting line)
{
	struct run *r;

	while ((r = TAILQ_FIRST(&h->lines[line]))) {
		TAILQ_REMOVE(&h->lines[line], r, line);
		h->admission.waiting[line]--;
		run_return(r);
	}
}

static void return_stuck(struct handler *h)
{
	struct run *r;
	struct run *next;

	for (r = TAILQ_FIRST(&h->active); r; r = next) {
		next = TAILQ_NEXT(r, active);
		if (run_is_stuck(r))
			run_return(r);
	}
}

void handler_stop(struct handler *h)
{
	h->is_stopping = true;
	if (h->durable.consumer)
		broker_consumer_stop(h->durable.consumer);
	if (h->inlined.consumer)
		broker_consumer_stop(h->inlined.consumer);
	h->durable.consumer = h->inlined.consumer = NULL;
	return_waiting(h, WAITING_REDELIVERED);
	return_waiting(h, WAITING_FRESH);
	return_stuck(h);
}

void handler_interrupt(struct handler *h)
{
	struct run *r;
	struct run *next;

	return_waiting(h, WAITING_INLINE);
	for (r = TAILQ_FIRST(&h->active); r; r = next) {
		next = TAILQ_NEXT(r, active);
		run_stop(r, RUN_INTERRUPTED);
	}
}

bool handler_is_up(const struct handler *h)
{
	return h->durable.is_consuming && h->inlined.is_consuming && !*h->unable_why;
}

bool handler_is_idle(const struct handler *h)
{
	return h->active_len == 0;
}

size_t handler_waiting(const struct handler *h)
{
	size_t n = 0;

	for (int i = 0; i < WAITING_LINES; i++)
		n += h->admission.waiting[i];
	return n;
}

size_t handler_replying(const struct handler *h)
{
	return h->active_len - handler_waiting(h) - h->admission.running;
}
