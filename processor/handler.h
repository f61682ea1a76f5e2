/*
 * A handler at work: its two lanes (the durable and the inline queue of its task), the slots that both share, and the
 * runs in them.
 */
#ifndef PROCESSOR_HANDLER_H
#define PROCESSOR_HANDLER_H

#include <sys/queue.h>

#include "processor/admission.h"
#include "processor/kind.h"
#include "processor/processor.h"

struct run;
TAILQ_HEAD(run_list, run);

#define HANDLER_WHY_MAX 160

struct lane {
	struct handler *handler;
	bool is_inline;
	bool is_consuming;
	struct broker_consumer *consumer;
};

struct handler {
	struct processor *processor;
	const struct handler_options *options;
	const struct handler_kind *kind;
	void *self;
	struct lane durable, inlined;
	struct admission admission;
	struct run_list lines[WAITING_LINES];
	struct run_list active; /* all runs, waiting ones too */
	size_t active_len;
	size_t joined;	 /* deliveries that wait for runs of other deliveries */
	size_t full;	 /* prefetch when not careful */
	size_t most;	 /* that it may grow to */
	uint16_t wanted; /* prefetch told to the broker */
	int64_t timeout_max_ms;
	uint64_t mean_us, mean_bytes; /* of the latest runs */
	int64_t adapted_ms;
	char unable_why[HANDLER_WHY_MAX]; /* "": its kind can run what comes */
	bool is_pumping;
	bool is_stopping;
	struct event *timer; /* looks again whether replies can be published */
};

/* Declares the queues and starts the kind; consumes nothing yet. 0 or a negative errno, logged. */
int handler_new(struct processor *p, const struct handler_options *o, struct handler **out);
void handler_free(struct handler *h);
int handler_consume(struct handler *h);

/* Stops taking; durable requests that wait go back to their queue, everything else goes on. */
void handler_stop(struct handler *h);
/* Ends what still runs; its requests go back. */
void handler_interrupt(struct handler *h);
/* Takes requests, and its kind can run them. */
bool handler_is_up(const struct handler *h);
/* Nothing waits, runs or replies. */
bool handler_is_idle(const struct handler *h);
/* Waiting in all lines; replying. */
size_t handler_waiting(const struct handler *h);
size_t handler_replying(const struct handler *h);

/* For run.c: it takes a slot; it gave it back after so long; it is about to be freed. */
void handler_run_began(struct handler *h, const struct run *r);
void handler_run_ended(struct handler *h, const struct run *r, int64_t took_us);
void handler_run_gone(struct handler *h, struct run *r);
/* Starts what may start. */
void handler_pump(struct handler *h);

#endif
