#include "gateway/tickets.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/answer.h"
#include "gateway/fault.h"
#include "gateway/lookup.h"
#include "gateway/tasks.h"
#include "proto/json.h"
#include "runtime/clock.h"

enum { DOCUMENT_MAX = 1024, ID_JSON_MAX = 1024 };

/* ---- reading ---- */

int tickets_read(struct slice text, struct ticket *out, void *arg)
{
	const struct gateway *g = arg;

	return ticket_read(text, g->ids.keys, g->ids.len, clock_wall_ms(), out);
}

bool tickets_check_query(struct call *call, const char *other)
{
	const struct call_param *params;
	size_t len;

	if (call_has_key_in_query(call)) {
		call_problem(call, PROBLEM_INVALID_FIELD, NULL, "%s", CALL_KEY_IN_QUERY);
		return false;
	}
	params = call_params(call, &len);
	for (size_t i = 0; i < len; i++) {
		if (slice_is_text(params[i].name, "ticket") ||
			(other && slice_is_text(params[i].name, other)))
			continue;
		call_problem(call, PROBLEM_INVALID_FIELD, fault_quote(params[i].name).text,
			"unknown query parameter: %s", fault_quote(params[i].name).text);
		return false;
	}
	return true;
}

/* ---- giving ---- */

static int read_id(
	struct gateway *g, struct call *call, struct slice value, struct id *out, struct fault *fault)
{
	struct buf text;
	int rc = -EINVAL;

	buf_init(&text, ID_JSON_MAX);
	if (json_type_of(value) == JSON_STRING && json_decode_string(value, &text) == 0)
		rc = ids_parse(&g->ids, ID_TASK, call_tenant(call), buf_slice(&text), out);
	buf_done(&text);
	return rc < 0 ? fault_set(fault, PROBLEM_INVALID_FIELD, "/id", "must be the id of a task") : 0;
}

/* Nothing, or {"id": "<the one task that it is for>"}. */
static int read_body(struct gateway *g, struct call *call, struct id *out, struct fault *fault)
{
	struct slice body = call_body(call);
	struct json_member m = {0};
	struct json_error error;
	int rc;

	if (body.len == 0)
		return 0;
	rc = json_check(body, &error);
	if (rc == -EBADMSG)
		return fault_set(
			fault, PROBLEM_INVALID_JSON, "", "%s at byte %zu", error.reason, error.offset);
	if (rc == 0 && json_type_of(body) != JSON_OBJECT)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "", "must be an object");
	while (rc == 0 && json_next_member(body, &m)) {
		if (json_key_is(m.key, "id"))
			rc = read_id(g, call, m.value, out, fault);
		else
			rc = fault_set(
				fault, PROBLEM_INVALID_FIELD, fault_member("", m.key).field, "unknown key");
	}
	return rc;
}

static void render(const struct ticket *t, const char *text, struct buf *out)
{
	char expires_at[CLOCK_TEXT_LEN + 1], id[ID_TEXT_LEN + 1];

	clock_format(t->expires_at_ms, expires_at);
	buf_printf(out, "{\"ticket\":\"%s\",\"expires_at\":\"%s\"", text, expires_at);
	if (!id_is_zero(&t->task)) {
		id_format(&t->task, id);
		buf_printf(out, ",\"id\":\"%s\"", id);
	}
	buf_append_byte(out, '}');
}

static void give(struct gateway *g, struct call *call, struct ticket *t)
{
	uint8_t random[TICKET_RANDOM_LEN];
	char text[TICKET_TEXT_MAX + 1];
	struct buf document;

	snprintf(t->tenant, sizeof t->tenant, "%.*s", SLICE_ARG(call_tenant(call)));
	t->expires_at_ms = clock_wall_ms() + g->options->live.ticket_ttl_ms;
	random_fill(random, sizeof random);
	buf_init(&document, DOCUMENT_MAX);
	if (ticket_write(t, random, &g->ids.keys[0], text) == 0)
		render(t, text, &document);
	else
		document.error = -ENOMEM;
	if (document.error)
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
	else
		call_answer_json(call, 201, buf_slice(&document));
	buf_done(&document);
}

void tickets_post(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct ticket t = {0};
	struct fault fault;
	int rc;

	if (!tasks_body_is_json(call) || !lookup_is_ready(g, call))
		return;
	rc = read_body(g, call, &t.task, &fault);
	if (rc == 0)
		give(g, call, &t);
	else
		fault_answer(rc, &fault, call);
}
