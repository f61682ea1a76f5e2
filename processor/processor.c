#include "processor/processor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "processor/cancels.h"
#include "processor/handler.h"
#include "processor/plugin_host.h"
#include "proto/topology.h"
#include "runtime/clock.h"

enum {
	FINISHED_MAX = 16384,
	FINISHED_MS = 10 * 60 * 1000,
	CANCELED_MAX = 100000,
	LOOK_MS = 20,	      /* how often the end looks whether all is done */
	INTERRUPT_MS = 10000, /* runs that were ended: TERM, KILL, their replies */
	LEAVE_MS = 8000,      /* children asked to leave */
};

static const struct metric_definition metric_table[] = {
	[PROCESSOR_TASKS - SERVICE_METRICS] = {"postback_processor_tasks_total", METRIC_COUNTER,
		{"task", "outcome"}, "Attempts ended, by the reply they became."},
	[PROCESSOR_SECONDS - SERVICE_METRICS] = {"postback_processor_run_seconds", METRIC_HISTOGRAM, {"task"},
		"How long runs took."},
	[PROCESSOR_RUNNING -
		SERVICE_METRICS] = {"postback_processor_running", METRIC_GAUGE, {"task"}, "Runs now."},
	[PROCESSOR_WAITING - SERVICE_METRICS] = {"postback_processor_waiting", METRIC_GAUGE, {"task"},
		"Requests here that wait for a slot."},
	[PROCESSOR_UNCONFIRMED - SERVICE_METRICS] = {"postback_processor_unconfirmed", METRIC_GAUGE, {"task"},
		"Runs that ended and whose reply is not confirmed yet."},
	[PROCESSOR_PREFETCH - SERVICE_METRICS] = {"postback_processor_prefetch", METRIC_GAUGE, {"task"},
		"Durable requests that may be unacked."},
	[PROCESSOR_REDELIVERED - SERVICE_METRICS] = {"postback_processor_redelivered_total", METRIC_COUNTER,
		{"task"}, "Requests that came again."},
	[PROCESSOR_JOINED - SERVICE_METRICS] = {"postback_processor_joined_total", METRIC_COUNTER, {"task"},
		"Requests that came again for a run that was there already."},
	[PROCESSOR_REFUSED - SERVICE_METRICS] = {"postback_processor_refused_total", METRIC_COUNTER, {"task"},
		"Messages that are no request of the task, dead-lettered."},
	[PROCESSOR_RESTARTS - SERVICE_METRICS] = {"postback_processor_child_restarts_total", METRIC_COUNTER,
		{"task"}, "Workers and plug-in hosts that ended and are started again."},
	[PROCESSOR_HANDLER_UP - SERVICE_METRICS] = {"postback_processor_handler_up", METRIC_GAUGE, {"task"},
		"1 while this handler takes requests and can run them; 0 also while its workers only die."},
	[PROCESSOR_STRAYS - SERVICE_METRICS] = {"postback_processor_strays_killed_total", METRIC_COUNTER,
		{NULL}, "Processes that handlers left behind."},
};

static void collect(void *arg)
{
	struct processor *p = arg;
	struct metrics *m = p->service->metrics;

	for (size_t i = 0; i < p->handlers_len; i++) {
		const struct handler *h = p->handlers[i];
		const char *task = h->options->task;

		metrics_set(m, PROCESSOR_RUNNING, (double)h->admission.running, task);
		metrics_set(m, PROCESSOR_WAITING, (double)handler_waiting(h), task);
		metrics_set(m, PROCESSOR_UNCONFIRMED, (double)handler_replying(h), task);
		metrics_set(m, PROCESSOR_PREFETCH, h->wanted, task);
		metrics_set(m, PROCESSOR_HANDLER_UP, handler_is_up(h), task);
	}
	metrics_set(m, PROCESSOR_STRAYS, (double)reaper_strays(p->reaper));
}

/* ---- readiness ---- */

/* Of the first handler that is not up; one that consumes nothing yet comes first. */
static bool describe_down(const struct processor *p, char *why, size_t len)
{
	const struct handler *unable = NULL;

	for (size_t i = 0; i < p->handlers_len; i++) {
		const struct handler *h = p->handlers[i];

		if (!h->durable.is_consuming || !h->inlined.is_consuming) {
			snprintf(why, len, "does not consume %s yet", h->options->task);
			return true;
		}
		if (*h->unable_why && !unable)
			unable = h;
	}
	if (unable)
		snprintf(why, len, "cannot run %s: %s, again and again", unable->options->task,
			unable->unable_why);
	return unable != NULL;
}

void processor_handlers_changed(struct processor *p)
{
	char why[HEALTH_WHY_MAX];
	bool is_down = describe_down(p, why, sizeof why);

	service_health(p->service, "handlers", !is_down, is_down ? why : NULL);
}

void processor_cancels_ready(struct processor *p)
{
	int rc = 0;

	for (size_t i = 0; i < p->handlers_len && rc == 0; i++)
		rc = handler_consume(p->handlers[i]);
	if (rc < 0) {
		log_error("consume_failed", LOG_ERRNO(rc));
		loop_exit(p->service->loop, 1);
		return;
	}
	processor_handlers_changed(p);
}

/* ---- the end ---- */

static bool are_handlers_idle(const struct processor *p)
{
	for (size_t i = 0; i < p->handlers_len; i++)
		if (!handler_is_idle(p->handlers[i]))
			return false;
	return true;
}

static void stop_kinds(struct processor *p)
{
	p->are_kinds_stopped = true;
	p->drain_until_ms = clock_mono_ms() + LEAVE_MS;
	for (size_t i = 0; i < p->handlers_len; i++)
		if (p->handlers[i]->kind->stop)
			p->handlers[i]->kind->stop(p->handlers[i]->self);
}

static void interrupt(struct processor *p)
{
	log_warn("drain_limit", LOG_INT("drain_ms", p->options->processor.drain_ms));
	p->is_interrupted = true;
	p->drain_until_ms = clock_mono_ms() + INTERRUPT_MS;
	for (size_t i = 0; i < p->handlers_len; i++)
		handler_interrupt(p->handlers[i]);
}

/* Runs end; those that do not are ended; then the children leave; what is left by then is the kernel's. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct processor *p = arg;
	bool is_late = clock_mono_ms() >= p->drain_until_ms;

	if (p->are_kinds_stopped && (is_late || reaper_children(p->reaper) == 0)) {
		service_stopped(p->service);
		return;
	}
	if (!p->are_kinds_stopped && (are_handlers_idle(p) || (is_late && p->is_interrupted)))
		stop_kinds(p);
	else if (!p->are_kinds_stopped && is_late)
		interrupt(p);
	timer_arm(p->drain_timer, reaper_children(p->reaper) || !p->are_kinds_stopped ? LOOK_MS : 0);
}

static void processor_stop(void *self)
{
	struct processor *p = self;

	p->drain_until_ms = clock_mono_ms() + p->options->processor.drain_ms;
	cancels_stop(p->cancels);
	for (size_t i = 0; i < p->handlers_len; i++)
		handler_stop(p->handlers[i]);
	on_look(-1, 0, p);
}

static int64_t drain_ms(const void *options)
{
	const struct processor_options *o = options;

	return o->processor.drain_ms + INTERRUPT_MS + LEAVE_MS + 1000;
}

/* ---- made and freed ---- */

static void processor_free(void *self)
{
	struct processor *p = self;

	if (!p)
		return;
	for (size_t i = 0; i < p->handlers_len; i++)
		handler_free(p->handlers[i]);
	free(p->handlers);
	cancels_free(p->cancels);
	recent_free(p->finished);
	recent_free(p->canceled);
	if (p->drain_timer)
		event_free(p->drain_timer);
	reaper_free(p->reaper);
	free(p);
}

static int start_handlers(struct processor *p)
{
	size_t len = p->options->processor.handlers.len;

	p->handlers = calloc(len + 1, sizeof *p->handlers);
	if (!p->handlers)
		return -ENOMEM;
	for (; p->handlers_len < len; p->handlers_len++) {
		int rc = handler_new(
			p, processor_handler(p->options, p->handlers_len), &p->handlers[p->handlers_len]);

		if (rc < 0)
			return rc;
	}
	if (len == 0)
		log_warn("no_handlers");
	return 0;
}

static int start_parts(struct processor *p)
{
	int rc = reaper_new(p->service->loop, &p->reaper);

	if (rc < 0)
		return rc;
	p->drain_timer = loop_timer(p->service->loop, on_look, p);
	if (!p->drain_timer)
		return -ENOMEM;
	if ((rc = recent_new(FINISHED_MAX, FINISHED_MS, &p->finished)) < 0)
		return rc;
	if ((rc = recent_new(CANCELED_MAX, p->service->options->store.task_ttl_ms, &p->canceled)) < 0)
		return rc;
	if ((rc = start_handlers(p)) < 0)
		return rc;
	return cancels_new(p, &p->cancels);
}

/* Pipes of children must never land on 0 to 2. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int processor_start(struct service *s, const void *options, void **self)
{
	struct processor *p = calloc(1, sizeof *p);
	int rc;

	if (!p)
		return -ENOMEM;
	open_standard_files();
	p->service = s;
	p->options = options;
	live_init(&p->live);
	service_health(s, "handlers", false, "starting");
	rc = start_parts(p);
	if (rc < 0) {
		processor_free(p);
		return rc;
	}
	metrics_on_collect(s->metrics, collect, p);
	*self = p;
	return 0;
}

static const char *const publishes_to[] = {TOPOLOGY_REPLY_EXCHANGE, NULL};

const struct service_definition processor_definition = {
	.name = "processor",
	.summary = "Consumes task queues, runs handlers and sends their results.",
	.options = processor_option_table,
	.options_size = sizeof(struct processor_options),
	.admin_offset = offsetof(struct processor_options, processor.admin),
	.metrics = metric_table,
	.metrics_len = sizeof metric_table / sizeof *metric_table,
	.check = processor_options_check,
	.publishes_to = publishes_to,
	.start = processor_start,
	.stop = processor_stop,
	.free = processor_free,
	.drain_ms = drain_ms,
	.extra_flag = PLUGIN_HOST_FLAG,
	.extra = plugin_host_main,
};
