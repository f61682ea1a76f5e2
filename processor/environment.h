/*
 * The environment of a handler's programs: ours, less what is Postback's own (POSTBACK_… may hold passwords) and less
 * what a supervisor meant for us, then the handler's `env`, then what describes the task.
 */
#ifndef PROCESSOR_ENVIRONMENT_H
#define PROCESSOR_ENVIRONMENT_H

#include "processor/job.h"
#include "processor/options.h"

struct environment {
	char **vars; /* NULL terminated, for posix_spawn */
	size_t len, cap;
};

/* What all programs of a handler have in common. 0 or -ENOMEM; environment_done also after an error. */
int environment_init(struct environment *e, const struct handler_options *o);
/* Replaces or adds. 0 or -ENOMEM. */
int environment_set(struct environment *e, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* POSTBACK_TASK, _TASK_ID, _ATTEMPT, _CONTENT_TYPE, _DEADLINE and TRACEPARENT. 0 or -ENOMEM. */
int environment_describe(struct environment *e, const struct job *job);
void environment_done(struct environment *e);

/* "NAME=value" with a name of letters, digits and underscores that is not one of Postback's own. */
bool environment_is_valid(const char *assignment);

#endif
