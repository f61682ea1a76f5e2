#include "gateway/endpoint_body.h"

#include <errno.h>

#include "gateway/envelope.h"
#include "proto/json.h"
#include "proto/name.h"
#include "runtime/config.h"
#include "runtime/signing_key.h"
#include "runtime/url.h"

enum { TEXT_MAX = 4096 };

struct reader {
	enum endpoint_body_kind kind;
	struct endpoint_body *body;
	struct fault *fault;
};

static int refuse(struct reader *r, const char *field, const char *what)
{
	return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "%s", what);
}

/* ---- single members ---- */

static int read_text(struct reader *r, struct slice value, const char *field, struct buf *text)
{
	int rc;

	if (json_type_of(value) != JSON_STRING)
		return refuse(r, field, "must be a string");
	rc = json_decode_string(value, text);
	return rc == -EMSGSIZE ? refuse(r, field, "too long") : rc;
}

static int read_url(struct reader *r, struct slice value, const char *field)
{
	const char *why = NULL;
	int rc = read_text(r, value, field, &r->body->url);

	if (rc == 0)
		rc = url_check(buf_slice(&r->body->url), &why);
	r->body->has_url = rc == 0;
	return why ? refuse(r, field, why) : rc;
}

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < 0x20 || text.data[i] == 0x7f)
			return true;
	return false;
}

static int read_description(struct reader *r, struct slice value, const char *field)
{
	int rc = json_type_of(value) == JSON_NULL ? 0 : read_text(r, value, field, &r->body->description);

	if (rc == 0 && r->body->description.len > ENDPOINT_DESCRIPTION_MAX)
		return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "longer than %d bytes",
			ENDPOINT_DESCRIPTION_MAX);
	if (rc == 0 && has_control(buf_slice(&r->body->description)))
		return refuse(r, field, "must not hold control characters");
	r->body->has_description = rc == 0;
	return rc;
}

static bool is_pattern(struct slice text)
{
	if (text.len == 0 || text.data[text.len - 1] != '*')
		return name_is_valid(text);
	text.len--;
	return text.len == 0 || name_is_valid(text);
}

static int add_pattern(struct reader *r, struct slice value, const char *field)
{
	struct buf *tasks = &r->body->tasks;
	size_t start = tasks->len + (tasks->len > 0);
	int rc;

	if (tasks->len > 0)
		buf_append_byte(tasks, ',');
	rc = read_text(r, value, field, tasks);
	if (rc == 0 &&
		(tasks->len == start || !is_pattern(slice_of(tasks->data + start, tasks->len - start))))
		return refuse(r, field, "must be a task name, or the beginning of one and a *");
	return rc;
}

static int read_tasks(struct reader *r, struct slice value, const char *field)
{
	struct json_item item = {0};
	size_t len = 0;
	int rc = 0;

	r->body->has_tasks = true;
	if (json_type_of(value) == JSON_NULL)
		return 0;
	if (json_type_of(value) != JSON_ARRAY)
		return refuse(r, field, "must be a list of task names");
	while (rc == 0 && json_next_item(value, &item)) {
		if (len == ENDPOINT_PATTERNS_MAX)
			return fault_set(r->fault, PROBLEM_INVALID_FIELD, field, "more than %d names",
				ENDPOINT_PATTERNS_MAX);
		rc = add_pattern(r, item.value, fault_item(field, len++).field);
	}
	return rc;
}

static int add_outcome(struct reader *r, struct slice value, const char *field)
{
	enum task_state state;
	struct buf name;
	bool is_good;

	buf_init(&name, TEXT_MAX);
	is_good = json_type_of(value) == JSON_STRING && json_decode_string(value, &name) == 0 &&
		  task_state_parse(buf_slice(&name), &state) == 0 && task_state_is_terminal(state);
	buf_done(&name);
	if (!is_good)
		return refuse(r, field, "must be \"succeeded\", \"failed\", \"canceled\" or \"dead\"");
	r->body->outcomes |= 1u << state;
	return 0;
}

static int read_on(struct reader *r, struct slice value, const char *field)
{
	struct json_item item = {0};
	size_t len = 0;
	int rc = 0;

	r->body->has_outcomes = true;
	if (json_type_of(value) == JSON_NULL)
		return 0;
	if (json_type_of(value) != JSON_ARRAY)
		return refuse(r, field, "must be a list of outcomes");
	while (rc == 0 && json_next_item(value, &item))
		rc = add_outcome(r, item.value, fault_item(field, len++).field);
	if (rc == 0 && len == 0)
		return refuse(r, field, "names no outcome; leave it out for all of them");
	return rc;
}

static int read_enabled(struct reader *r, struct slice value, const char *field)
{
	if (json_type_of(value) != JSON_BOOL)
		return refuse(r, field, "must be true or false");
	r->body->has_enabled = true;
	r->body->is_enabled = slice_is_text(value, "true");
	return 0;
}

static int read_secret(struct reader *r, struct slice value, const char *field)
{
	int rc;

	if (json_type_of(value) == JSON_NULL)
		return 0;
	rc = read_text(r, value, field, &r->body->secret);
	if (rc == 0 && !signing_secret_is_valid(buf_slice(&r->body->secret)))
		return refuse(r, field, "must be whsec_ and the base64 of 24 to 64 random bytes");
	r->body->has_secret = rc == 0;
	return rc;
}

static int read_overlap(struct reader *r, struct slice value, const char *field)
{
	struct buf text;
	int64_t ms = -1;
	int rc;

	if (json_type_of(value) == JSON_NULL)
		return 0;
	buf_init(&text, TEXT_MAX);
	rc = read_text(r, value, field, &text);
	if (rc == 0 && (duration_parse(buf_slice(&text), &ms) < 0 || ms < 0 || ms > ENDPOINT_OVERLAP_MAX_MS))
		rc = refuse(r, field, "not a duration like \"24h\" of 0s to 30d");
	buf_done(&text);
	if (rc == 0)
		r->body->overlap_ms = ms;
	return rc;
}

/* ---- the whole ---- */

static const struct {
	const char *name;
	unsigned kinds; /* enum endpoint_body_kind, or'ed */
	int (*read)(struct reader *r, struct slice value, const char *field);
} members[] = {
	{"url", ENDPOINT_BODY_NEW | ENDPOINT_BODY_CHANGE, read_url},
	{"description", ENDPOINT_BODY_NEW | ENDPOINT_BODY_CHANGE, read_description},
	{"tasks", ENDPOINT_BODY_NEW | ENDPOINT_BODY_CHANGE, read_tasks},
	{"on", ENDPOINT_BODY_NEW | ENDPOINT_BODY_CHANGE, read_on},
	{"secret", ENDPOINT_BODY_NEW | ENDPOINT_BODY_ROTATE, read_secret},
	{"enabled", ENDPOINT_BODY_CHANGE, read_enabled},
	{"overlap", ENDPOINT_BODY_ROTATE, read_overlap},
};

static int read_member(struct reader *r, const struct json_member *m)
{
	struct fault_place at = fault_member("", m->key);

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		if ((members[i].kinds & r->kind) && json_key_is(m->key, members[i].name))
			return members[i].read(r, m->value, at.field);
	return refuse(r, at.field, "unknown key");
}

int endpoint_body_read(
	struct slice json, enum endpoint_body_kind kind, struct endpoint_body *out, struct fault *fault)
{
	struct reader r = {.kind = kind, .body = out, .fault = fault};
	struct json_member m = {0};
	int rc = envelope_check_json(json, fault);

	*out = (struct endpoint_body){.overlap_ms = ENDPOINT_OVERLAP_MS};
	buf_init(&out->url, TEXT_MAX);
	buf_init(&out->description, TEXT_MAX);
	buf_init(&out->tasks, (size_t)ENDPOINT_PATTERNS_MAX * (NAME_MAX_LEN + 2));
	buf_init(&out->secret, SIGNING_SECRET_TEXT_MAX);
	if (rc < 0)
		return rc;
	if (json_type_of(json) != JSON_OBJECT)
		return refuse(&r, "", "must be an object");
	while (rc == 0 && json_next_member(json, &m))
		rc = read_member(&r, &m);
	if (rc == 0 && kind == ENDPOINT_BODY_NEW && !out->has_url)
		return refuse(&r, "/url", "url is missing");
	return rc;
}

void endpoint_body_done(struct endpoint_body *b)
{
	if (b->secret.data)
		explicit_bzero(b->secret.data, b->secret.cap);
	buf_done(&b->secret);
	buf_done(&b->url);
	buf_done(&b->description);
	buf_done(&b->tasks);
}
