#include "gateway/tasks.h"

#include <errno.h>

#include "gateway/answer.h"
#include "gateway/envelope.h"
#include "gateway/submit.h"
#include "proto/json.h"

bool tasks_body_is_json(struct call *call)
{
	struct slice type = call_content_type(call);

	if (type.len == 0 || media_type_is_json(type))
		return true;
	call_problem(call, PROBLEM_MEDIA_TYPE, NULL, "this is sent as application/json, not as %s",
		fault_quote(type).text);
	return false;
}

static int read_nothing(struct slice json, struct fault *fault)
{
	struct json_member m = {0};
	int rc = envelope_check_json(json, fault);

	if (rc == 0 && json_type_of(json) != JSON_OBJECT)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "", "must be an empty object, or left out");
	if (rc == 0 && json_next_member(json, &m))
		return fault_set(fault, PROBLEM_INVALID_FIELD, fault_member("", m.key).field,
			"unknown key: this call takes nothing in its body");
	return rc;
}

bool tasks_body_is_nothing(struct call *call)
{
	struct slice body = call_body(call);
	struct fault fault;
	int rc;

	if (body.len == 0)
		return true;
	if (!tasks_body_is_json(call))
		return false;
	rc = read_nothing(body, &fault);
	if (rc < 0)
		fault_answer(rc, &fault, call);
	return rc == 0;
}

/* ?mode= is all that the query may say: everything else has its place in the envelope. */
static int read_query(const struct call *call, enum submit_mode *mode, struct fault *fault)
{
	const struct call_param *params;
	size_t len;

	params = call_params(call, &len);
	for (size_t i = 0; i < len; i++) {
		if (!slice_is_text(params[i].name, "mode"))
			return fault_set(fault, PROBLEM_INVALID_FIELD, fault_quote(params[i].name).text,
				"unknown query parameter: %s (options stand in the envelope)",
				fault_quote(params[i].name).text);
		if (submit_mode_parse(params[i].value, mode) < 0)
			return fault_set(
				fault, PROBLEM_INVALID_FIELD, "mode", "neither \"async\" nor \"sync\"");
	}
	return 0;
}

void tasks_post(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct submission_rules rules = submit_rules(g);
	struct submit_options options = {0};
	struct submission *s = NULL;
	struct fault fault;
	int rc;

	if (!tasks_body_is_json(call))
		return;
	rc = read_query(call, &options.mode, &fault);
	if (rc == 0)
		rc = envelope_parse(call_body(call), &rules, &s, &fault);
	if (rc < 0)
		fault_answer(rc, &fault, call);
	else
		submit_start(g, call, s, &options);
}
