/*
 * The processor: consumes task queues, runs each request by its handler, replies, acks. This header is what its parts
 * find around them.
 */
#ifndef PROCESSOR_PROCESSOR_H
#define PROCESSOR_PROCESSOR_H

#include "processor/live.h"
#include "processor/options.h"
#include "processor/reaper.h"
#include "processor/recent.h"
#include "service/service.h"

enum {
	PROCESSOR_TASKS = SERVICE_METRICS,
	PROCESSOR_SECONDS,
	PROCESSOR_RUNNING,
	PROCESSOR_WAITING,
	PROCESSOR_UNCONFIRMED,
	PROCESSOR_PREFETCH,
	PROCESSOR_REDELIVERED,
	PROCESSOR_JOINED,
	PROCESSOR_REFUSED,
	PROCESSOR_RESTARTS,
	PROCESSOR_HANDLER_UP,
	PROCESSOR_STRAYS,
	PROCESSOR_METRICS_END,
};

struct processor {
	struct service *service;
	const struct processor_options *options;
	struct reaper *reaper;
	struct live live;	 /* runs waiting, running or replying */
	struct recent *finished; /* runs whose reply was confirmed, by id and attempt */
	struct recent *canceled; /* tasks, by id */
	struct cancels *cancels;
	struct handler **handlers;
	size_t handlers_len;
	struct event *drain_timer;
	int64_t drain_until_ms; /* monotonic; set when stopping */
	bool is_interrupted;
	bool are_kinds_stopped;
};

/* A lane has begun to consume or lost its queue; a handler can run nothing any more, or can again. */
void processor_handlers_changed(struct processor *p);
/* The cancels that were waiting are known: task queues may be consumed. */
void processor_cancels_ready(struct processor *p);

extern const struct service_definition processor_definition;

#endif
