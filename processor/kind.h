/*
 * A handler kind: how the payload of a task becomes a result. Each is one file with one of these; kind.c lists them.
 */
#ifndef PROCESSOR_KIND_H
#define PROCESSOR_KIND_H

#include "processor/complaints.h"
#include "processor/job.h"
#include "processor/options.h"
#include "processor/reaper.h"
#include "runtime/metrics.h"

/* What a kind finds around it. All is borrowed and outlives the handler. */
struct kind_env {
	struct loop *loop;
	struct reaper *reaper;
	struct metrics *metrics;
	size_t restarts_metric; /* counter by task: children that had to be started again */
	/*
	 * The kind can run nothing any more, with why, or can again. Until it says so it can. Never inside start(). `why` is
	 * borrowed for the call, NULL when it can.
	 */
	void (*on_able)(bool is_able, const char *why, void *arg);
	void *arg;
};

struct handler_kind {
	const char *name; /* also of the option that chooses it */
	bool (*is_chosen)(const struct handler_options *o);
	/* More than the tables say: files that must be there, texts that must parse. */
	void (*check)(const struct handler_options *o, struct complaints *c);
	/* 0 or a negative errno. Borrows the options. */
	int (*start)(const struct kind_env *env, const struct handler_options *o, void **self);
	/*
	 * Runs a job; at most `concurrency` at a time. 0, and then exactly one job_done (inside the call, too), or a negative
	 * errno and none.
	 */
	int (*run)(void *self, struct job *job);
	/* Ends a running job soon: job_done comes, perhaps inside the call, once nothing of it is left running. */
	void (*cancel)(void *self, struct job *job);
	/* No job runs and none will: lets go of children, which the reaper sees end. May be NULL. */
	void (*stop)(void *self);
	/* Takes NULL. Ends without a word what still runs: no job_done comes any more. */
	void (*free)(void *self);
};

extern const struct handler_kind kind_exec, kind_worker, kind_http, kind_plugin, kind_builtin;

/* The kind that the options choose, or NULL; *chosen: how many they choose. */
const struct handler_kind *kind_of(const struct handler_options *o, unsigned *chosen);

#endif
