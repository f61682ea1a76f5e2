#include "processor/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "processor/admission.h"
#include "processor/environment.h"
#include "processor/kind.h"
#include "proto/name.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define DAY (24LL * HOUR)
#define MIB (1024LL * 1024)

/* What a reply bears beside its result, generously. */
#define REPLY_ROOM (256 * 1024)

static const struct option upstream_table[] = {
	{.name = "url",
		.type = OPTION_STRING,
		.offset = offsetof(struct upstream_options, url),
		.required = true,
		.help = "Where the payload is sent; {name} in its path or query stands for a member of the JSON payload."},
	{.name = "method",
		.type = OPTION_STRING,
		.offset = offsetof(struct upstream_options, method),
		.fallback = "POST",
		.help = "The HTTP method."},
	{.name = "headers",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct upstream_options, headers),
		.help = "More headers to send, each \"Name: value\"."},
	{.name = "connections",
		.type = OPTION_INT,
		.offset = offsetof(struct upstream_options, connections),
		.min = 0,
		.max = 10000,
		.help = "Connections kept open; 0: as many as the handler's concurrency."},
	{0},
};

static const struct option retry_table[] = {
	{.name = "attempts",
		.type = OPTION_INT,
		.offset = offsetof(struct retry_options, attempts),
		.fallback = "3",
		.min = 1,
		.max = RETRY_ATTEMPTS_MAX,
		.help = "Attempts in all."},
	{.name = "base",
		.type = OPTION_DURATION,
		.offset = offsetof(struct retry_options, base_ms),
		.fallback = "1s",
		.min = 0,
		.max = 7 * DAY,
		.help = "Wait before the second attempt; doubles for each further one."},
	{.name = "cap",
		.type = OPTION_DURATION,
		.offset = offsetof(struct retry_options, cap_ms),
		.fallback = "10m",
		.min = 0,
		.max = 7 * DAY,
		.help = "The longest wait, not below `base`."},
	{0},
};

/* As of an envelope's retry. */
static int check_retry(const void *value, char *why, size_t why_len)
{
	const struct retry_options *retry = value;
	char cap[QUANTITY_TEXT_LEN + 1];

	if (retry->base_ms <= retry->cap_ms)
		return 0;
	duration_format(retry->cap_ms, cap);
	snprintf(why, why_len, "base is longer than cap, %s", cap);
	return -EINVAL;
}

static int check_task(const void *value, char *why, size_t why_len)
{
	const char *task = *(char *const *)value;

	if (name_is_valid(slice_text(task)))
		return 0;
	snprintf(why, why_len, "is no task name: letters, digits and _.- after a letter or digit, at most %d",
		NAME_MAX_LEN);
	return -EINVAL;
}

static int check_content_type(const void *value, char *why, size_t why_len)
{
	if (content_type_is_valid(slice_text(*(char *const *)value)))
		return 0;
	snprintf(why, why_len, "is no content type");
	return -EINVAL;
}

static const struct option handler_table[] = {
	{.name = "task",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, task),
		.required = true,
		.check = check_task,
		.help = "The task name whose requests it runs."},
	{.name = "exec",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct handler_options, exec),
		.help = "A program and its arguments, started for every run: payload on stdin, result on stdout."},
	{.name = "worker",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct handler_options, worker),
		.help = "A program and its arguments that stays and takes requests as frames on stdin."},
	{.name = "http",
		.type = OPTION_SECTION,
		.offset = offsetof(struct handler_options, http),
		.fields = upstream_table,
		.help = "An HTTP upstream."},
	{.name = "plugin",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, plugin),
		.help = "A shared object made with postback/plugin.h; a name without a slash is looked for among the "
			"installed ones."},
	{.name = "plugin_config",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, plugin_config),
		.fallback = "",
		.help = "Handed to the plug-in's start()."},
	{.name = "builtin",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, builtin),
		.help = "echo or sleep."},
	{.name = "content_type",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, content_type),
		.check = check_content_type,
		.help = "Content type of results. Without it: exec application/octet-stream, http what the upstream says, "
			"worker and plugin what they say, echo the payload's."},
	{.name = "concurrency",
		.type = OPTION_INT,
		.offset = offsetof(struct handler_options, concurrency),
		.fallback = "1",
		.min = 1,
		.max = 10000,
		.help = "Runs at a time, durable and inline together."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		.offset = offsetof(struct handler_options, timeout_ms),
		.fallback = "30s",
		.min = 1,
		.max = 30 * DAY,
		.help = "How long a run may take, unless its request says otherwise."},
	{.name = "retry",
		.type = OPTION_SECTION,
		.offset = offsetof(struct handler_options, retry),
		.fields = retry_table,
		.check = check_retry,
		.help = "What happens after a failure, unless the request says otherwise."},
	{.name = "output_limit",
		.type = OPTION_SIZE,
		.offset = offsetof(struct handler_options, output_limit),
		.fallback = "8MiB",
		.min = 1,
		.max = 128 * MIB,
		.help = "Largest result; a run that makes more has failed."},
	{.name = "prefetch",
		.type = OPTION_INT,
		.offset = offsetof(struct handler_options, prefetch),
		.min = 0,
		.max = UINT16_MAX,
		.help = "Durable requests held unacked at most; 0: concurrency and about 50 ms of work ahead."},
	{.name = "env",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct handler_options, env),
		.help = "exec, worker, plugin: environment variables to set, each NAME=value."},
	{.name = "cwd",
		.type = OPTION_STRING,
		.offset = offsetof(struct handler_options, cwd),
		.help = "exec, worker, plugin: the folder they run in; without it the processor's own."},
	{0},
};

static const struct option section_table[] = {
	{.name = "admin",
		.type = OPTION_STRING,
		.offset = offsetof(struct processor_section, admin),
		.fallback = "127.0.0.1:8081",
		.check = service_check_admin,
		.help = "Where /livez, /readyz and /metrics are answered; \"\" for nowhere."},
	{.name = "drain",
		.type = OPTION_DURATION,
		.offset = offsetof(struct processor_section, drain_ms),
		.fallback = "30s",
		.max = HOUR,
		.help = "How long a stopping processor lets its runs finish before they are ended and put back."},
	{.name = "handlers",
		.type = OPTION_LIST,
		.offset = offsetof(struct processor_section, handlers),
		.fields = handler_table,
		.item_size = sizeof(struct handler_options),
		.line_offset = offsetof(struct handler_options, line),
		.help = "What runs tasks."},
	{0},
};

const struct option processor_option_table[] = {
	SERVICE_OPTIONS(struct processor_options),
	{.name = "processor",
		.type = OPTION_SECTION,
		.offset = offsetof(struct processor_options, processor),
		.fields = section_table,
		.help = "Runs tasks."},
	{.name = "gateway", .type = OPTION_IGNORED, .help = "The gateway's."},
	{.name = "notifier", .type = OPTION_IGNORED, .help = "The notifier's."},
	{0},
};

/* ---- what tables cannot say ---- */

static void check_kind(const struct handler_options *o, struct complaints *c)
{
	unsigned chosen;
	const struct handler_kind *kind = kind_of(o, &chosen);

	if (chosen != 1)
		complain(c, "", "%s of exec, worker, http, plugin and builtin is needed",
			chosen ? "only one" : "one");
	else
		kind->check(o, c);
}

static void check_times(
	const struct handler_options *o, const struct amqp_options *amqp, struct complaints *c)
{
	size_t most = admission_most((size_t)o->concurrency, o->timeout_ms, amqp->consumer_timeout_ms);

	if (most == 0)
		complain(c, "timeout", "is too long for amqp.consumer_timeout, with some seconds to end in");
	else if ((size_t)o->prefetch > most)
		complain(c, "prefetch",
			"%lld runs of %lld ms, %lld at a time, may pass amqp.consumer_timeout; at most %zu",
			(long long)o->prefetch, (long long)o->timeout_ms, (long long)o->concurrency, most);
	if (o->prefetch && o->prefetch < o->concurrency)
		complain(c, "prefetch", "is less than the concurrency, %lld", (long long)o->concurrency);
}

static void check_sizes(
	const struct handler_options *o, const struct amqp_options *amqp, struct complaints *c)
{
	if (o->output_limit > amqp->max_message - REPLY_ROOM)
		complain(c, "output_limit", "must be %d KiB below amqp.max_message, %lld bytes",
			REPLY_ROOM / 1024, (long long)amqp->max_message);
}

static void check_process(const struct handler_options *o, struct complaints *c)
{
	for (size_t i = 0; i < o->env.len; i++)
		if (!environment_is_valid(o->env.items[i]))
			complain(c, "env", "entry %zu is not NAME=value, or a name of Postback's own", i);
	if (o->cwd && access(o->cwd, X_OK) < 0)
		complain(c, "cwd", "%s: no such folder", o->cwd);
}

static void check_unique(const struct processor_options *o, size_t index, struct complaints *c)
{
	const char *task = processor_handler(o, index)->task;

	for (size_t i = 0; i < index; i++)
		if (strcmp(processor_handler(o, i)->task, task) == 0)
			complain(c, "task", "handlers[%zu] runs %s already", i, task);
}

int processor_options_check(const void *options, const char *path, struct buf *errors)
{
	const struct processor_options *o = options;
	int count = 0;

	for (size_t i = 0; i < o->processor.handlers.len; i++) {
		const struct handler_options *h = processor_handler(o, i);
		struct complaints c = {.path = path, .line = h->line, .index = i, .lines = errors};

		check_kind(h, &c);
		check_times(h, &o->shared.amqp, &c);
		check_sizes(h, &o->shared.amqp, &c);
		check_process(h, &c);
		check_unique(o, i, &c);
		count += c.count;
	}
	return count;
}
