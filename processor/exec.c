/*
 * exec: a program for each run. Payload on stdin, result on stdout, the end of stderr tells of a failure.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "processor/child.h"
#include "processor/environment.h"
#include "processor/kind.h"
#include "processor/tail.h"
#include "proto/wire.h"

enum { GRACE_MS = 3000 };

struct exec_handler {
	const struct handler_options *options;
	struct reaper *reaper;
	struct slice content_type;
	struct environment environment;
	char path[PATH_MAX];
	char **argv;
	struct exec_run *first; /* those running, for the end */
};

struct exec_run {
	struct exec_handler *handler;
	struct exec_run *prev, *next;
	struct job *job;
	struct child *child;
	struct buf output;
	struct tail errors;
};

static bool is_chosen(const struct handler_options *o)
{
	return o->exec.len > 0;
}

static void check(const struct handler_options *o, struct complaints *c)
{
	char path[PATH_MAX];
	int rc = program_find(o->exec.items[0], o->cwd, path, sizeof path);

	if (rc < 0)
		complain(c, "exec", "%s: %s", o->exec.items[0],
			rc == -EACCES ? "is not an executable file" : "no such program");
}

static void stop_and_free(void *self);

static int start(const struct kind_env *env, const struct handler_options *o, void **self)
{
	struct exec_handler *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return -ENOMEM;
	h->options = o;
	h->reaper = env->reaper;
	h->content_type = slice_text(o->content_type ? o->content_type : "application/octet-stream");
	rc = program_find(o->exec.items[0], o->cwd, h->path, sizeof h->path);
	if (rc == 0)
		rc = argv_of(&o->exec, &h->argv);
	if (rc == 0)
		rc = environment_init(&h->environment, o);
	if (rc < 0)
		stop_and_free(h);
	else
		*self = h;
	return rc;
}

static void unlink_run(struct exec_run *run)
{
	struct exec_handler *h = run->handler;

	if (run->prev)
		run->prev->next = run->next;
	else
		h->first = run->next;
	if (run->next)
		run->next->prev = run->prev;
}

static void run_free(struct exec_run *run)
{
	buf_done(&run->output);
	free(run);
}

static void on_output(struct slice bytes, void *arg)
{
	struct exec_run *run = arg;

	/* What is wrong with the buffer stays in it, and the end looks there. */
	if (buf_append_slice(&run->output, bytes) < 0)
		child_end(run->child, 0);
}

static void on_errors(struct slice bytes, void *arg)
{
	struct exec_run *run = arg;

	tail_add(&run->errors, bytes);
}

static void describe_end(const struct child_end *end, struct outcome *o, char *message, size_t len)
{
	o->kind = OUTCOME_RETRY;
	if (end->signal) {
		o->error_type = slice_text("signal");
		snprintf(message, len, "ended by signal %d (%s)", end->signal, strsignal(end->signal));
	} else {
		o->error_type = slice_text("exit");
		o->status = end->code;
		snprintf(message, len, "exited with %d", end->code);
		if (end->code == EX_USAGE || end->code == EX_DATAERR)
			o->kind = OUTCOME_FAILED;
	}
	o->message = slice_text(message);
}

static void attach_errors(const struct exec_run *run, struct outcome *o, struct buf *data)
{
	struct buf text;

	buf_init(&text, 4 * TAIL_MAX);
	if (run->errors.total && tail_text(&run->errors, &text) == 0 && text.len &&
		wire_str(buf_slice(&text), data) == 0)
		o->data = buf_slice(data);
	buf_done(&text);
}

static void on_end(const struct child_end *end, void *arg)
{
	struct exec_run *run = arg;
	struct outcome outcome = {.kind = OUTCOME_SUCCEEDED};
	char message[160];
	struct buf data;

	unlink_run(run);
	buf_init(&data, 8 * TAIL_MAX);
	if (run->output.error == -EMSGSIZE) {
		snprintf(message, sizeof message, "more than %lld bytes of output",
			(long long)run->handler->options->output_limit);
		outcome = (struct outcome){.kind = OUTCOME_FAILED,
			.error_type = slice_text("output_too_large"),
			.message = slice_text(message)};
	} else if (run->output.error < 0) {
		outcome = (struct outcome){.kind = OUTCOME_RETRY,
			.error_type = slice_text("out_of_memory"),
			.message = slice_text("no memory for the output")};
	} else if (end->signal || end->code) {
		describe_end(end, &outcome, message, sizeof message);
		attach_errors(run, &outcome, &data);
	} else {
		outcome.result = buf_slice(&run->output);
		outcome.content_type = run->handler->content_type;
	}
	job_done(run->job, &outcome);
	buf_done(&data);
	run_free(run);
}

static int spawn(struct exec_run *run)
{
	static const struct child_events events = {
		.on_output = on_output, .on_errors = on_errors, .on_end = on_end};
	struct exec_handler *h = run->handler;
	struct child_spec spec = {
		.path = h->path,
		.argv = h->argv,
		.cwd = h->options->cwd,
	};
	int rc = environment_describe(&h->environment, run->job);

	if (rc < 0)
		return rc;
	spec.environ = h->environment.vars;
	return child_start(h->reaper, &spec, &events, run, &run->child);
}

static int run_job(void *self, struct job *job)
{
	struct exec_handler *h = self;
	struct exec_run *run = calloc(1, sizeof *run);
	int rc;

	if (!run)
		return -ENOMEM;
	run->handler = h;
	run->job = job;
	buf_init(&run->output, (size_t)h->options->output_limit);
	rc = spawn(run);
	if (rc < 0) {
		run_free(run);
		return rc;
	}
	run->next = h->first;
	if (h->first)
		h->first->prev = run;
	h->first = run;
	job->state = run;
	child_send(run->child, slice_of(NULL, 0), job->request->payload, true);
	return 0;
}

static void cancel(void *self, struct job *job)
{
	struct exec_run *run = job->state;

	child_end(run->child, GRACE_MS);
}

static void stop_and_free(void *self)
{
	struct exec_handler *h = self;
	struct exec_run *run;

	if (!h)
		return;
	while ((run = h->first)) {
		unlink_run(run);
		child_free(run->child);
		run_free(run);
	}
	environment_done(&h->environment);
	free(h->argv);
	free(h);
}

const struct handler_kind kind_exec = {
	.name = "exec",
	.is_chosen = is_chosen,
	.check = check,
	.start = start,
	.run = run_job,
	.cancel = cancel,
	.free = stop_and_free,
};
