#include "gateway/ws_command.h"

#include <errno.h>

#include "proto/json.h"

enum { TEXT_MAX = 1 << 20 }; /* more than any message */

static const struct {
	const char *name, *done;
} verbs[] = {
	[WS_SUBSCRIBE] = {"subscribe", "subscribed"},
	[WS_UNSUBSCRIBE] = {"unsubscribe", "unsubscribed"},
};

/* ---- reading ---- */

static int read_id(struct slice value, struct ws_command *out)
{
	struct buf text;
	int rc;

	buf_init(&text, TEXT_MAX);
	rc = json_decode_string(value, &text);
	if (rc == 0)
		out->id = fault_quote(buf_slice(&text));
	buf_done(&text);
	return rc;
}

static int read_verb(enum ws_verb verb, struct slice value, struct ws_command *out, struct fault *fault)
{
	if (out->verb != WS_NO_VERB)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "", "one thing at a time");
	out->verb = verb;
	if (json_type_of(value) != JSON_STRING)
		return fault_set(fault, PROBLEM_INVALID_FIELD,
			fault_member("", slice_text(verbs[verb].name)).field,
			"must be the id of a task, a string");
	return read_id(value, out);
}

static int read_rev(struct slice value, struct ws_command *out, struct fault *fault)
{
	uint64_t rev = 0;

	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)value.data[i] - '0';

		if (digit > 9 || rev > (UINT64_MAX - digit) / 10)
			return fault_set(fault, PROBLEM_INVALID_FIELD, "/rev", "must be a whole number");
		rev = rev * 10 + digit;
	}
	out->rev = rev;
	return 0;
}

static int read_member(const struct json_member *m, struct ws_command *out, struct fault *fault)
{
	for (int v = WS_SUBSCRIBE; v <= WS_UNSUBSCRIBE; v++)
		if (json_key_is(m->key, verbs[v].name))
			return read_verb((enum ws_verb)v, m->value, out, fault);
	if (json_key_is(m->key, "rev"))
		return read_rev(m->value, out, fault);
	return fault_set(fault, PROBLEM_INVALID_FIELD, fault_member("", m->key).field, "unknown key");
}

int ws_command_read(struct slice text, struct ws_command *out, struct fault *fault)
{
	struct json_member m = {0};
	struct json_error error;
	int rc = json_check(text, &error);

	*out = (struct ws_command){0};
	if (rc == -EBADMSG)
		return fault_set(
			fault, PROBLEM_INVALID_JSON, "", "%s at byte %zu", error.reason, error.offset);
	while (rc == 0 && json_next_member(text, &m))
		rc = read_member(&m, out, fault);
	if (rc == 0 && out->verb == WS_NO_VERB)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "",
			"must be an object with \"subscribe\" or \"unsubscribe\"");
	return rc;
}

/* ---- answering ---- */

static void append_id(struct buf *out, const char *name, const struct ws_command *command)
{
	buf_printf(out, "\"%s\":", name);
	json_append_string(out, slice_text(command->id.text));
}

int ws_render_done(const struct ws_command *command, struct buf *out)
{
	buf_append_byte(out, '{');
	append_id(out, verbs[command->verb].done, command);
	return buf_append_byte(out, '}');
}

int ws_render_problem(const struct ws_command *command, const struct fault *fault, struct buf *out)
{
	buf_append_text(out, "{\"problem\":");
	problem_render(fault->problem, *fault->field ? fault->field : NULL, NULL, fault->detail, NULL, out);
	if (command->verb != WS_NO_VERB) {
		buf_append_byte(out, ',');
		append_id(out, verbs[command->verb].name, command);
	}
	return buf_append_byte(out, '}');
}
