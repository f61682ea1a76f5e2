#include "gateway/run.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/deliver.h"
#include "gateway/envelope.h"
#include "proto/json.h"

/* Names longer than any option's are no option's. */
struct name {
	char text[24];
};

static struct name name_of(struct slice text)
{
	struct name n = {0};

	if (text.len < sizeof n.text && !memchr(text.data, '\0', text.len))
		memcpy(n.text, text.data, text.len);
	return n;
}

static int set_mode(struct slice value, enum submit_mode *mode, struct fault *fault)
{
	if (submit_mode_parse(value, mode) < 0)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "mode", "neither \"async\" nor \"sync\"");
	return 0;
}

static int set_metadata(struct submission *s, struct slice value, struct fault *fault)
{
	struct json_error error;
	int rc = json_check(value, &error);

	if (rc == -EBADMSG)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "metadata", "not JSON: %s", error.reason);
	return rc < 0 ? rc : submission_set_metadata(s, value, "metadata", fault);
}

static int set_param(struct submission *s, struct submission_options *given, const struct call_param *p,
	const struct submission_rules *rules, enum submit_mode *mode, struct fault *fault)
{
	struct name name = name_of(p->name);

	if (strcmp(name.text, "mode") == 0)
		return set_mode(p->value, mode, fault);
	if (strcmp(name.text, "metadata") == 0)
		return set_metadata(s, p->value, fault);
	if (deliver_is_channel(p->name))
		return deliver_add(p->name, p->value, name.text, &s->deliver, fault);
	if (submission_option_is_known(name.text))
		return submission_option_set(s, given, name.text, p->value, name.text, rules, fault);
	return fault_set_unknown(fault, p->name);
}

static bool came_before(const struct call_param *params, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (slice_is_equal(params[j].name, params[i].name))
			return true;
	return false;
}

static int read_params(const struct run_input *in, struct submission *s, const struct submission_rules *rules,
	enum submit_mode *mode, struct fault *fault)
{
	struct submission_options given = {0};

	for (size_t i = 0; i < in->params_len; i++) {
		int rc;

		if (came_before(in->params, i))
			return fault_set(fault, PROBLEM_INVALID_FIELD, fault_quote(in->params[i].name).text,
				"given twice");
		rc = set_param(s, &given, &in->params[i], rules, mode, fault);
		if (rc < 0)
			return rc;
	}
	return submission_options_end(s, &given, "", rules, fault);
}

int run_set_payload(struct submission *s, struct slice content_type, struct slice body, struct fault *fault)
{
	s->payload = slice_is_set(body) ? body : slice_text("");
	s->content_type = content_type.len ? content_type : slice_text("application/octet-stream");
	if (!content_type_is_valid(s->content_type))
		return fault_set(fault, PROBLEM_INVALID_FIELD, "Content-Type",
			"longer than %d bytes, or not printable", CONTENT_TYPE_MAX);
	return media_type_is_json(s->content_type) ? envelope_check_json(s->payload, fault) : 0;
}

int run_read(const struct run_input *in, const struct submission_rules *rules, struct submission **out,
	enum submit_mode *mode, struct fault *fault)
{
	struct submission *s = submission_new();
	int rc;

	if (!s)
		return -ENOMEM;
	*mode = SUBMIT_ASYNC;
	buf_init(&s->deliver, DELIVER_TEXT_MAX);
	rc = submission_set_task(s, in->task, NULL, fault);
	if (rc == 0)
		rc = read_params(in, s, rules, mode, fault);
	if (rc == 0)
		rc = run_set_payload(s, in->content_type, in->body, fault);
	if (rc < 0)
		submission_free(s);
	else
		*out = s;
	return rc;
}

void run_task(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct submission_rules rules = submit_rules(g);
	struct submit_options options = {0};
	struct submission *s = NULL;
	struct run_input in = {
		.task = call_segment(call, "task"),
		.content_type = call_content_type(call),
		.body = call_body(call),
	};
	struct fault fault;
	int rc;

	in.params = call_params(call, &in.params_len);
	rc = run_read(&in, &rules, &s, &options.mode, &fault);
	if (rc < 0)
		fault_answer(rc, &fault, call);
	else
		submit_start(g, call, s, &options);
}
