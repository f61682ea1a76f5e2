#include "processor/cancels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor/run.h"
#include "proto/control.h"
#include "proto/topology.h"
#include "runtime/clock.h"

enum {
	PREFETCH = 500,
	QUIET_MS = 150,	 /* nothing came for so long: the backlog is read */
	LIMIT_MS = 3000, /* tasks are taken then in any case */
	GATE_MS = 10000,
};

struct cancels {
	struct processor *processor;
	struct broker_consumer *consumer;
	struct event *quiet, *limit;
	bool is_settled;
	struct log_gate gate;
};

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct cancels *c = arg;

	if (c->is_settled)
		return;
	c->is_settled = true;
	processor_cancels_ready(c->processor);
}

static struct run *next_to_stop(struct processor *p, const struct id *id)
{
	struct live_entry *e = NULL;

	while ((e = live_next(&p->live, id, e))) {
		struct run *r = (struct run *)((char *)e - offsetof(struct run, live));

		if (r->stop == RUN_GOES_ON && r->state != RUN_REPLYING)
			return r;
	}
	return NULL;
}

static void take(struct cancels *c, const struct control *message)
{
	struct processor *p = c->processor;
	int64_t task_ttl_ms = p->service->options->store.task_ttl_ms;
	struct run *r;

	switch (message->kind) {
	case CONTROL_CANCEL: break;
	}
	if (clock_wall_ms() - message->at_ms > task_ttl_ms)
		return;
	recent_add(p->canceled, &message->id, 0, clock_mono_ms());
	while ((r = next_to_stop(p, &message->id)))
		run_stop(r, RUN_CANCELED);
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	struct cancels *c = arg;
	struct decode_error error;
	struct control message;
	unsigned suppressed;
	int rc = control_decode(d->body, &message, &error);

	if (rc == 0)
		take(c, &message);
	else if (rc == -EBADMSG && log_gate_pass(&c->gate, GATE_MS, &suppressed))
		log_warn("control_refused", LOG_TEXT("path", error.path), LOG_TEXT("why", error.reason),
			LOG_INT("suppressed", suppressed));
	broker_ack(d);
	if (!c->is_settled)
		timer_arm(c->quiet, QUIET_MS);
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct cancels *c = arg;

	if (c->is_settled)
		return;
	if (is_consuming)
		timer_arm(c->quiet, QUIET_MS);
	if (!evtimer_pending(c->limit, NULL))
		timer_arm(c->limit, LIMIT_MS);
}

int cancels_new(struct processor *p, struct cancels **out)
{
	struct cancels *c = calloc(1, sizeof *c);
	struct broker_consumer_options opt = {
		.queue = TOPOLOGY_CONTROL,
		.tag = "control",
		.prefetch = PREFETCH,
		.stream_from_first = true,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = c,
	};
	int rc = -ENOMEM;

	if (!c)
		return rc;
	c->processor = p;
	c->quiet = loop_timer(p->service->loop, on_settled, c);
	c->limit = loop_timer(p->service->loop, on_settled, c);
	if (c->quiet && c->limit)
		rc = service_consume(p->service, &opt, &c->consumer);
	if (rc < 0)
		cancels_free(c);
	else
		*out = c;
	return rc;
}

void cancels_stop(struct cancels *c)
{
	event_del(c->quiet);
	event_del(c->limit);
	c->is_settled = true;
}

void cancels_free(struct cancels *c)
{
	if (!c)
		return;
	if (c->quiet)
		event_free(c->quiet);
	if (c->limit)
		event_free(c->limit);
	free(c);
}
