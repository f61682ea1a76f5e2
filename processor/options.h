/*
 * The processor's configuration: its root table, its struct, and the checks that tables cannot say.
 */
#ifndef PROCESSOR_OPTIONS_H
#define PROCESSOR_OPTIONS_H

#include "service/options.h"

struct retry_options {
	int64_t attempts;
	int64_t base_ms;
	int64_t cap_ms;
};

struct upstream_options {
	char *url; /* NULL: this handler is of another kind */
	char *method;
	struct option_strings headers; /* "Name: value" */
	int64_t connections;	       /* 0: as the handler's concurrency */
};

/* One of the list processor.handlers. Exactly one of exec, worker, http.url, plugin and builtin is given. */
struct handler_options {
	char *task;
	struct option_strings exec;
	struct option_strings worker;
	struct upstream_options http;
	char *plugin;
	char *plugin_config;
	char *builtin;
	char *content_type; /* of the result; NULL: the kind's own */
	int64_t concurrency;
	int64_t timeout_ms;
	struct retry_options retry;
	int64_t output_limit;	   /* bytes */
	int64_t prefetch;	   /* 0: adapts to how long runs take */
	struct option_strings env; /* "NAME=value" */
	char *cwd;
	int line; /* in the configuration file */
};

struct processor_section {
	char *admin;
	int64_t drain_ms;
	struct option_list handlers; /* of struct handler_options */
};

struct processor_options {
	struct service_options shared;
	struct processor_section processor;
};

extern const struct option processor_option_table[];

static inline const struct handler_options *processor_handler(const struct processor_options *o, size_t i)
{
	return (const struct handler_options *)o->processor.handlers.items + i;
}

/* As service_definition.check: what is wrong with the handlers, a line each. Looks at files, starts nothing. */
int processor_options_check(const void *options, const char *path, struct buf *errors);

#endif
