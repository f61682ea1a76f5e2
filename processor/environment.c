#include "processor/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX "POSTBACK_"

static const char *const supervisors[] = {
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

static size_t name_len(const char *assignment)
{
	return strcspn(assignment, "=");
}

static bool is_same_name(const char *a, const char *b)
{
	return name_len(a) == name_len(b) && memcmp(a, b, name_len(a)) == 0;
}

static bool is_private(const char *assignment)
{
	if (strncmp(assignment, PREFIX, strlen(PREFIX)) == 0)
		return true;
	for (size_t i = 0; i < sizeof supervisors / sizeof *supervisors; i++)
		if (is_same_name(assignment, supervisors[i]))
			return true;
	return false;
}

/* Owns `assignment`, also on failure. */
static int put(struct environment *e, char *assignment)
{
	if (!assignment)
		return -ENOMEM;
	for (size_t i = 0; i < e->len; i++) {
		if (!is_same_name(e->vars[i], assignment))
			continue;
		free(e->vars[i]);
		e->vars[i] = assignment;
		return 0;
	}
	if (e->len + 1 >= e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 64;
		char **vars = realloc(e->vars, cap * sizeof *vars);

		if (!vars) {
			free(assignment);
			return -ENOMEM;
		}
		e->vars = vars;
		e->cap = cap;
	}
	e->vars[e->len++] = assignment;
	e->vars[e->len] = NULL;
	return 0;
}

int environment_init(struct environment *e, const struct handler_options *o)
{
	int rc = 0;

	*e = (struct environment){0};
	for (char **v = environ; rc == 0 && v && *v; v++)
		if (!is_private(*v))
			rc = put(e, strdup(*v));
	for (size_t i = 0; rc == 0 && i < o->env.len; i++)
		rc = put(e, strdup(o->env.items[i]));
	return rc == 0 ? environment_set(e, PREFIX "TASK", "%s", o->task) : rc;
}

int environment_set(struct environment *e, const char *name, const char *format, ...)
{
	char *value = NULL;
	char *assignment = NULL;
	va_list args;
	int rc;

	va_start(args, format);
	rc = vasprintf(&value, format, args);
	va_end(args);
	if (rc < 0)
		return -ENOMEM;
	rc = asprintf(&assignment, "%s=%s", name, value);
	free(value);
	return rc < 0 ? -ENOMEM : put(e, assignment);
}

static void unset(struct environment *e, const char *name)
{
	for (size_t i = 0; i < e->len; i++) {
		if (!is_same_name(e->vars[i], name))
			continue;
		free(e->vars[i]);
		e->vars[i] = e->vars[--e->len];
		e->vars[e->len] = NULL;
		return;
	}
}

int environment_describe(struct environment *e, const struct job *job)
{
	const struct request *r = job->request;
	char id[ID_TEXT_LEN + 1];
	int rc;

	id_format(&r->id, id);
	unset(e, "TRACEPARENT");
	rc = environment_set(e, PREFIX "TASK_ID", "%s", id);
	if (rc == 0)
		rc = environment_set(e, PREFIX "ATTEMPT", "%u", r->attempt);
	if (rc == 0)
		rc = environment_set(e, PREFIX "CONTENT_TYPE", "%.*s", SLICE_ARG(r->content_type));
	if (rc == 0)
		rc = environment_set(e, PREFIX "DEADLINE", "%lld", (long long)job->deadline_ms);
	if (rc == 0 && job->traceparent.len && !memchr(job->traceparent.data, 0, job->traceparent.len))
		rc = environment_set(e, "TRACEPARENT", "%.*s", SLICE_ARG(job->traceparent));
	return rc;
}

void environment_done(struct environment *e)
{
	for (size_t i = 0; i < e->len; i++)
		free(e->vars[i]);
	free(e->vars);
	*e = (struct environment){0};
}

bool environment_is_valid(const char *assignment)
{
	size_t len = name_len(assignment);

	if (len == 0 || assignment[len] != '=' || isdigit((unsigned char)*assignment))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)assignment[i]) && assignment[i] != '_')
			return false;
	return strncmp(assignment, PREFIX, strlen(PREFIX)) != 0;
}
