/*
 * builtin: echo gives the payload back, byte for byte under its own content type; sleep waits as long as the payload
 * says (a JSON number of seconds, or {"seconds": 1.5} or {"ms": 1500}; nothing: not at all) and answers with it.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor/kind.h"
#include "proto/json.h"

enum { SLEEP_MAX_S = 86400 };

struct builtin;

struct builtin_row {
	const char *name;
	int (*run)(struct builtin *b, struct job *job);
};

struct builtin {
	const struct builtin_row *row;
	struct loop *loop;
	struct slice content_type; /* unset: the payload's */
	struct nap *first;
};

/* ---- echo ---- */

static int echo(struct builtin *b, struct job *job)
{
	struct outcome outcome = {
		.kind = OUTCOME_SUCCEEDED,
		.result = job->request->payload,
		.content_type = slice_is_set(b->content_type) ? b->content_type : job->request->content_type,
	};

	job_done(job, &outcome);
	return 0;
}

/* ---- sleep ---- */

struct nap {
	struct builtin *builtin;
	struct nap *prev, *next;
	struct job *job;
	struct event *timer;
};

static int number_of(struct slice value, double unit, double *seconds)
{
	char text[32];
	double parsed;

	if (json_type_of(value) != JSON_NUMBER || value.len >= sizeof text)
		return -EINVAL;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	parsed = strtod(text, NULL) * unit;
	if (!(parsed >= 0 && parsed <= SLEEP_MAX_S))
		return -EINVAL;
	*seconds = parsed;
	return 0;
}

static struct slice trim(struct slice s)
{
	while (s.len && memchr(" \t\r\n", s.data[s.len - 1], 4))
		s.len--;
	while (s.len && memchr(" \t\r\n", s.data[0], 4)) {
		s.data++;
		s.len--;
	}
	return s;
}

static int seconds_of(struct slice payload, double *seconds)
{
	struct json_member m = {0};
	struct json_error error;

	*seconds = 0;
	payload = trim(payload);
	if (payload.len == 0 || slice_is_text(payload, "null"))
		return 0;
	if (json_check(payload, &error) < 0)
		return -EINVAL;
	if (json_type_of(payload) != JSON_OBJECT)
		return number_of(payload, 1, seconds);
	while (json_next_member(payload, &m)) {
		if (json_key_is(m.key, "seconds"))
			return number_of(m.value, 1, seconds);
		if (json_key_is(m.key, "ms"))
			return number_of(m.value, 0.001, seconds);
	}
	return 0;
}

static void nap_free(struct nap *n)
{
	if (n->prev)
		n->prev->next = n->next;
	else
		n->builtin->first = n->next;
	if (n->next)
		n->next->prev = n->prev;
	event_free(n->timer);
	free(n);
}

static void on_awake(evutil_socket_t fd, short what, void *arg)
{
	struct nap *n = arg;
	struct builtin *b = n->builtin;
	struct job *job = n->job;

	nap_free(n);
	echo(b, job);
}

static int doze(struct builtin *b, struct job *job)
{
	struct nap *n;
	double seconds;

	if (seconds_of(job->request->payload, &seconds) < 0) {
		job_fail(job, OUTCOME_FAILED, "bad_payload",
			"the payload of sleep is a number of seconds up to 86400, {\"seconds\": N} or {\"ms\": N}");
		return 0;
	}
	n = calloc(1, sizeof *n);
	if (!n)
		return -ENOMEM;
	n->timer = loop_timer(b->loop, on_awake, n);
	if (!n->timer) {
		free(n);
		return -ENOMEM;
	}
	n->builtin = b;
	n->job = job;
	n->next = b->first;
	if (b->first)
		b->first->prev = n;
	b->first = n;
	job->state = n;
	timer_arm(n->timer, (int64_t)ceil(seconds * 1000));
	return 0;
}

/* ---- the kind ---- */

static const struct builtin_row rows[] = {
	{"echo", echo},
	{"sleep", doze},
};

static const struct builtin_row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static bool is_chosen(const struct handler_options *o)
{
	return o->builtin;
}

static void check(const struct handler_options *o, struct complaints *c)
{
	if (!find_row(o->builtin))
		complain(c, "builtin", "no such builtin; there are echo and sleep");
}

static int start(const struct kind_env *env, const struct handler_options *o, void **self)
{
	struct builtin *b = calloc(1, sizeof *b);

	if (!b)
		return -ENOMEM;
	b->row = find_row(o->builtin);
	b->loop = env->loop;
	b->content_type = slice_text(o->content_type);
	*self = b;
	return 0;
}

static int run_job(void *self, struct job *job)
{
	struct builtin *b = self;

	return b->row->run(b, job);
}

static void cancel(void *self, struct job *job)
{
	nap_free(job->state);
	job_fail(job, OUTCOME_RETRY, "interrupted", "woken before its time");
}

static void free_builtin(void *self)
{
	struct builtin *b = self;

	if (!b)
		return;
	while (b->first)
		nap_free(b->first);
	free(b);
}

const struct handler_kind kind_builtin = {
	.name = "builtin",
	.is_chosen = is_chosen,
	.check = check,
	.start = start,
	.run = run_job,
	.cancel = cancel,
	.free = free_builtin,
};
