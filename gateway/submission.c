#include "gateway/submission.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/json.h"
#include "runtime/clock.h"
#include "runtime/config.h"

enum { BASE_DEFAULT_MS = 1000, CAP_DEFAULT_MS = 600000 };
#define WAIT_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)

struct submission *submission_new(void)
{
	return calloc(1, sizeof(struct submission));
}

void submission_free(struct submission *s)
{
	while (s) {
		struct submission *then = s->then;

		buf_done(&s->owned);
		buf_done(&s->owned_metadata);
		buf_done(&s->deliver);
		free(s);
		s = then;
	}
}

size_t submission_steps(const struct submission *s)
{
	size_t steps = 0;

	for (; s; s = s->then)
		steps++;
	return steps;
}

bool submission_is_later(const struct submission *s)
{
	return s->run_at_ms || !id_is_zero(&s->waits_for);
}

/* ---- single options ---- */

struct setting {
	struct submission *s;
	struct submission_options *given;
	struct slice text;
	const char *field;
	const struct submission_rules *rules;
	struct fault *fault;
};

static int refuse(const struct setting *o, const char *what)
{
	return fault_set(o->fault, PROBLEM_INVALID_FIELD, o->field, "%s", what);
}

static int read_duration(const struct setting *o, int64_t min_ms, int64_t max_ms, int64_t *out)
{
	char least[QUANTITY_TEXT_LEN + 1], most[QUANTITY_TEXT_LEN + 1];
	int64_t ms;

	if (duration_parse(o->text, &ms) == 0 && ms >= min_ms && ms <= max_ms) {
		*out = ms;
		return 0;
	}
	duration_format(min_ms, least);
	duration_format(max_ms, most);
	return fault_set(o->fault, PROBLEM_INVALID_FIELD, o->field,
		"not a duration like \"500ms\", \"10s\", \"5m\", \"2h\" or \"7d\" of %s to %s", least, most);
}

static int read_number(const struct setting *o, uint32_t min, uint32_t max, uint32_t *out)
{
	uint32_t number = 0;
	bool is_number = o->text.len > 0 && o->text.len <= 9;

	for (size_t i = 0; is_number && i < o->text.len; i++) {
		is_number = isdigit(o->text.data[i]);
		number = number * 10 + (o->text.data[i] - '0');
	}
	if (!is_number || number < min || number > max)
		return fault_set(o->fault, PROBLEM_INVALID_FIELD, o->field, "not a whole number of %u to %u",
			min, max);
	*out = number;
	return 0;
}

static int read_moment(const struct setting *o, int64_t *out)
{
	int64_t ms;

	if (o->text.len == 0 || clock_parse((const char *)o->text.data, o->text.len, &ms) < 0)
		return refuse(o, "not a time by RFC 3339, like \"2026-01-02T03:04:05Z\"");
	if (ms > o->rules->now_ms + SUBMISSION_AHEAD_MAX_MS)
		return refuse(o, "more than 366 days ahead");
	*out = ms;
	return 0;
}

static int set_delay(const struct setting *o)
{
	int64_t ms = 0;
	int rc = read_duration(o, 0, SUBMISSION_AHEAD_MAX_MS, &ms);

	if (rc < 0)
		return rc;
	o->given->has_delay = true;
	o->s->run_at_ms = ms ? o->rules->now_ms + ms : 0;
	return 0;
}

static int set_run_at(const struct setting *o)
{
	int64_t ms = 0;
	int rc = read_moment(o, &ms);

	if (rc < 0)
		return rc;
	o->given->has_run_at = true;
	o->s->run_at_ms = ms > o->rules->now_ms ? ms : 0;
	return 0;
}

static bool begins_a_moment(struct slice text)
{
	return text.len > 4 && text.data[4] == '-';
}

static int set_expires(const struct setting *o)
{
	o->given->has_expires = true;
	if (begins_a_moment(o->text))
		return read_moment(o, &o->s->deadline_ms);
	return read_duration(o, 1, SUBMISSION_AHEAD_MAX_MS, &o->given->expires_after_ms);
}

static int set_timeout(const struct setting *o)
{
	int64_t max = o->rules->timeout_max_ms < UINT32_MAX ? o->rules->timeout_max_ms : UINT32_MAX;
	int64_t ms = 0;
	int rc = read_duration(o, 1, max, &ms);

	if (rc < 0)
		return rc;
	o->s->timeout_ms = (uint32_t)ms;
	return 0;
}

static int set_attempts(const struct setting *o)
{
	return read_number(o, 1, RETRY_ATTEMPTS_MAX, &o->s->max_attempts);
}

static int set_wait(const struct setting *o, bool *has, uint32_t *out)
{
	int64_t ms = 0;
	int rc = read_duration(o, 0, WAIT_MAX_MS, &ms);

	if (rc < 0)
		return rc;
	*has = true;
	*out = (uint32_t)ms;
	return 0;
}

static int set_base(const struct setting *o)
{
	return set_wait(o, &o->given->has_base, &o->s->retry.base_ms);
}

static int set_cap(const struct setting *o)
{
	return set_wait(o, &o->given->has_cap, &o->s->retry.cap_ms);
}

/* Quorum queues of RabbitMQ 3.10 know no priorities; the ordinary one is accepted so that clients may always send it. */
static int set_priority(const struct setting *o)
{
	uint32_t priority;

	if (read_number(o, 0, 0, &priority) < 0)
		return refuse(o,
			"only 0 is accepted, as the queues know no priorities: leave it out, and give what must not "
			"wait behind other work a task name of its own, and so a queue and processors of its own");
	return 0;
}

static const struct {
	const char *name;
	int (*set)(const struct setting *o);
	bool needs_moment; /* of no use before it is known when the task becomes due */
} options[] = {
	{"delay", set_delay, true},
	{"run_at", set_run_at, true},
	{"expires", set_expires, false},
	{"timeout", set_timeout, false},
	{"attempts", set_attempts, false},
	{"base", set_base, false},
	{"cap", set_cap, false},
	{"priority", set_priority, false},
};

static int find_option(const char *name)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (strcmp(options[i].name, name) == 0)
			return (int)i;
	return -1;
}

bool submission_option_is_known(const char *name)
{
	return find_option(name) >= 0;
}

int submission_option_set(struct submission *s, struct submission_options *given, const char *name,
	struct slice text, const char *field, const struct submission_rules *rules, struct fault *fault)
{
	struct setting o = {s, given, text, field, rules, fault};
	int i = find_option(name);

	if (given->is_then && options[i].needs_moment)
		return refuse(&o, "a task that runs after another becomes due with it");
	return options[i].set(&o);
}

/* ---- what must fit together ---- */

static int end_retry(
	struct submission *s, const struct submission_options *given, const char *field, struct fault *fault)
{
	s->has_retry = given->has_base || given->has_cap;
	if (!s->has_retry)
		return 0;
	if (!given->has_base)
		s->retry.base_ms = s->retry.cap_ms < BASE_DEFAULT_MS ? s->retry.cap_ms : BASE_DEFAULT_MS;
	if (!given->has_cap)
		s->retry.cap_ms = s->retry.base_ms > CAP_DEFAULT_MS ? s->retry.base_ms : CAP_DEFAULT_MS;
	if (s->retry.base_ms > s->retry.cap_ms)
		return fault_set(
			fault, PROBLEM_INVALID_FIELD, field, "the retry's base is longer than its cap");
	return 0;
}

static int end_expires(struct submission *s, const struct submission_options *given, const char *field,
	const struct submission_rules *rules, struct fault *fault)
{
	int64_t due_ms = s->run_at_ms ? s->run_at_ms : rules->now_ms;

	if (!given->has_expires)
		return 0;
	if (given->expires_after_ms && given->is_then)
		return fault_set(fault, PROBLEM_INVALID_FIELD, field,
			"`expires` of a task that runs after another must be a time");
	if (given->expires_after_ms)
		s->deadline_ms = due_ms + given->expires_after_ms;
	if (s->deadline_ms <= due_ms)
		return fault_set(fault, PROBLEM_INVALID_FIELD, field, "it expires before it is due");
	return 0;
}

int submission_options_end(struct submission *s, const struct submission_options *given, const char *field,
	const struct submission_rules *rules, struct fault *fault)
{
	int rc;

	if (given->has_delay && given->has_run_at)
		return fault_set(
			fault, PROBLEM_INVALID_FIELD, field, "`delay` and `run_at` exclude each other");
	rc = end_retry(s, given, field, fault);
	if (rc < 0)
		return rc;
	return end_expires(s, given, field, rules, fault);
}

/* ---- the rest ---- */

int submission_set_task(struct submission *s, struct slice name, const char *field, struct fault *fault)
{
	if (!name_is_valid(name))
		return fault_set(fault, PROBLEM_INVALID_FIELD, field,
			"not a task name: a letter or digit, then up to 99 letters, digits, '_', '.' or '-'");
	memcpy(s->task, name.data, name.len);
	s->task[name.len] = '\0';
	return 0;
}

int submission_set_metadata(struct submission *s, struct slice json, const char *field, struct fault *fault)
{
	if (json_type_of(json) != JSON_OBJECT)
		return fault_set(fault, PROBLEM_INVALID_FIELD, field, "`metadata` must be a JSON object");
	if (json.len > SUBMISSION_METADATA_MAX)
		return fault_set(fault, PROBLEM_INVALID_FIELD, field, "`metadata` is larger than 16 KiB");
	s->metadata = json;
	return 0;
}

static struct slice trimmed(const uint8_t *from, const uint8_t *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return slice_of(from, (size_t)(to - from));
}

static bool has_ending(struct slice text, const char *ending)
{
	size_t len = strlen(ending);

	return text.len >= len && strncasecmp((const char *)text.data + text.len - len, ending, len) == 0;
}

bool media_type_is_json(struct slice content_type)
{
	const uint8_t *end;
	struct slice type;

	if (content_type.len == 0)
		return false;
	end = memchr(content_type.data, ';', content_type.len);
	type = trimmed(content_type.data, end ? end : content_type.data + content_type.len);
	if (type.len == strlen("application/json"))
		return has_ending(type, "application/json");
	return has_ending(type, "+json");
}
