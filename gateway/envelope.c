#include "gateway/envelope.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/deliver.h"
#include "proto/json.h"

struct reader {
	const struct submission_rules *rules;
	struct fault *fault;
	struct submission *s;
	struct submission_options given;
	const char *base; /* where the envelope stands */
	unsigned depth;
	bool has_task, has_payload;
};

static int refuse(struct reader *r, const char *field, const char *what)
{
	return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "%s", what);
}

static int read_then_at(struct slice value, const char *field, unsigned depth,
	const struct submission_rules *rules, struct submission **out, struct fault *fault);

/* ---- single members ---- */

static int read_text(struct reader *r, struct slice value, const char *field, struct buf *text)
{
	if (json_type_of(value) != JSON_STRING)
		return refuse(r, field, "must be a string, in quotes");
	if (json_decode_string(value, text) < 0)
		return refuse(r, field, "too long");
	return 0;
}

static int read_task(struct reader *r, struct slice value, const char *field)
{
	struct buf text;
	int rc;

	buf_init(&text, 1024);
	rc = read_text(r, value, field, &text);
	if (rc == 0)
		rc = submission_set_task(r->s, buf_slice(&text), field, r->fault);
	buf_done(&text);
	r->has_task = true;
	return rc;
}

static int read_payload(struct reader *r, struct slice value, const char *field)
{
	r->s->payload = value;
	r->has_payload = true;
	return 0;
}

static int read_metadata(struct reader *r, struct slice value, const char *field)
{
	return submission_set_metadata(r->s, value, field, r->fault);
}

static int read_deliver(struct reader *r, struct slice value, const char *field)
{
	buf_init(&r->s->deliver, DELIVER_TEXT_MAX);
	return deliver_read(value, field, &r->s->deliver, r->fault);
}

static int read_then(struct reader *r, struct slice value, const char *field)
{
	return read_then_at(value, field, r->depth + 1, r->rules, &r->s->then, r->fault);
}

static int read_option(struct reader *r, const char *name, struct slice value, const char *field)
{
	struct buf text;
	int rc;

	buf_init(&text, 1024);
	rc = read_text(r, value, field, &text);
	if (rc == 0)
		rc = submission_option_set(
			r->s, &r->given, name, buf_slice(&text), field, r->rules, r->fault);
	buf_done(&text);
	return rc;
}

static int read_number(struct reader *r, const char *name, struct slice value, const char *field)
{
	if (json_type_of(value) != JSON_NUMBER)
		return refuse(r, field, "must be a number");
	return submission_option_set(r->s, &r->given, name, value, field, r->rules, r->fault);
}

static int read_priority(struct reader *r, struct slice value, const char *field)
{
	return read_number(r, "priority", value, field);
}

/* ---- objects as tables of members ---- */

struct member {
	const char *name;
	const char *option; /* a text option by this name, or */
	int (*read)(struct reader *r, struct slice value, const char *field); /* a reader of its own */
	bool may_be_null; /* null is a value, not "not given" */
};

static int read_attempts(struct reader *r, struct slice value, const char *field)
{
	return read_number(r, "attempts", value, field);
}

static const struct member retry_members[] = {
	{.name = "attempts", .read = read_attempts},
	{.name = "base", .option = "base"},
	{.name = "cap", .option = "cap"},
	{0},
};

static const struct member *find_member(const struct member *members, struct slice key)
{
	for (; members->name; members++)
		if (json_key_is(key, members->name))
			return members;
	return NULL;
}

static int read_members(struct reader *r, struct slice object, const struct member *members, const char *base)
{
	struct json_member m = {0};

	while (json_next_member(object, &m)) {
		const struct member *known = find_member(members, m.key);
		struct fault_place at = fault_member(base, m.key);
		int rc = 0;

		if (!known)
			return refuse(r, at.field, "unknown key");
		if (json_type_of(m.value) == JSON_NULL && !known->may_be_null)
			continue;
		rc = known->read ? known->read(r, m.value, at.field)
				 : read_option(r, known->option, m.value, at.field);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_retry(struct reader *r, struct slice value, const char *field)
{
	if (json_type_of(value) != JSON_OBJECT)
		return refuse(r, field, "must be an object");
	return read_members(r, value, retry_members, field);
}

static const struct member envelope_members[] = {
	{.name = "task", .read = read_task},
	{.name = "payload", .read = read_payload, .may_be_null = true},
	{.name = "deliver", .read = read_deliver},
	{.name = "then", .read = read_then},
	{.name = "delay", .option = "delay"},
	{.name = "run_at", .option = "run_at"},
	{.name = "expires", .option = "expires"},
	{.name = "timeout", .option = "timeout"},
	{.name = "retry", .read = read_retry},
	{.name = "priority", .read = read_priority},
	{.name = "metadata", .read = read_metadata},
	{0},
};

/* ---- the whole ---- */

static int read_envelope(struct reader *r, struct slice value)
{
	int rc;

	if (json_type_of(value) != JSON_OBJECT)
		return refuse(r, r->base, "an envelope must be an object");
	rc = read_members(r, value, envelope_members, r->base);
	if (rc < 0)
		return rc;
	if (!r->has_task) {
		struct fault_place at = fault_member(r->base, slice_text("task"));

		return refuse(r, at.field, "task is missing");
	}
	if (!r->has_payload)
		r->s->payload = slice_text(r->depth ? "{}" : "null");
	if (r->depth && json_type_of(r->s->payload) != JSON_OBJECT) {
		struct fault_place at = fault_member(r->base, slice_text("payload"));

		return refuse(r, at.field, "must be an object, which `previous` joins");
	}
	return submission_options_end(r->s, &r->given, r->base, r->rules, r->fault);
}

static int read_new(struct slice value, const char *field, unsigned depth,
	const struct submission_rules *rules, struct submission **out, struct fault *fault)
{
	struct reader r = {
		.rules = rules,
		.fault = fault,
		.s = submission_new(),
		.given.is_then = depth > 0,
		.base = field,
		.depth = depth,
	};
	int rc;

	if (!r.s)
		return -ENOMEM;
	r.s->content_type = slice_text("application/json");
	r.s->wants_previous = depth > 0;
	rc = read_envelope(&r, value);
	if (rc < 0)
		submission_free(r.s);
	else
		*out = r.s;
	return rc;
}

int envelope_read(struct slice value, const char *field, const struct submission_rules *rules,
	struct submission **out, struct fault *fault)
{
	return read_new(value, field, 0, rules, out, fault);
}

static int read_then_name(struct slice value, const char *field, struct submission **out, struct fault *fault)
{
	struct reader r = {.fault = fault, .s = submission_new()};
	int rc;

	if (!r.s)
		return -ENOMEM;
	r.s->content_type = slice_text("application/json");
	r.s->payload = slice_text("{}");
	r.s->wants_previous = true;
	rc = read_task(&r, value, field);
	if (rc < 0)
		submission_free(r.s);
	else
		*out = r.s;
	return rc;
}

static int read_then_at(struct slice value, const char *field, unsigned depth,
	const struct submission_rules *rules, struct submission **out, struct fault *fault)
{
	if (depth >= ENVELOPE_DEPTH_MAX)
		return fault_set(fault, PROBLEM_INVALID_FIELD, field, "more than %d tasks in a row",
			ENVELOPE_DEPTH_MAX);
	switch (json_type_of(value)) {
	case JSON_STRING: return read_then_name(value, field, out, fault);
	case JSON_OBJECT: return read_new(value, field, depth, rules, out, fault);
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_ARRAY: break;
	}
	return fault_set(fault, PROBLEM_INVALID_FIELD, field, "must be a task name or an envelope");
}

int envelope_read_then(struct slice value, const char *field, const struct submission_rules *rules,
	struct submission **out, struct fault *fault)
{
	return read_then_at(value, field, 1, rules, out, fault);
}

int envelope_check_json(struct slice json, struct fault *fault)
{
	struct json_error error;
	int rc = json_check(json, &error);

	if (rc == -EBADMSG)
		return fault_set(
			fault, PROBLEM_INVALID_JSON, NULL, "%s at byte %zu", error.reason, error.offset);
	return rc;
}

int envelope_parse(
	struct slice json, const struct submission_rules *rules, struct submission **out, struct fault *fault)
{
	int rc = envelope_check_json(json, fault);

	return rc < 0 ? rc : envelope_read(json, "", rules, out, fault);
}
