/*
 * Replays tests/vectors: what Python's msgpack made decodes to the fields described, and is what we encode.
 */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/context.h"
#include "proto/control.h"
#include "proto/json.h"
#include "proto/reply.h"
#include "tests/unit/equal.h"

#define ROOM 1000000

/* ---- decoded messages in the vectors' words ---- */

static void put_key(struct buf *out, const char *key)
{
	if (out->data[out->len - 1] != '{')
		buf_append_byte(out, ',');
	buf_printf(out, "\"%s\":", key);
}

static void put_bin(struct buf *out, const char *key, struct slice bytes)
{
	if (!slice_is_set(bytes))
		return;
	put_key(out, key);
	buf_append_text(out, "{\"bin\":\"");
	for (size_t i = 0; i < bytes.len; i++)
		buf_printf(out, "%02x", bytes.data[i]);
	buf_append_text(out, "\"}");
}

static void put_id(struct buf *out, const char *key, const struct id *id)
{
	if (!id_is_zero(id))
		put_bin(out, key, slice_of(id->bytes, ID_LEN));
}

static void put_text(struct buf *out, const char *key, struct slice text)
{
	if (text.len == 0)
		return;
	put_key(out, key);
	json_append_string(out, text);
}

static void put_number(struct buf *out, const char *key, int64_t number)
{
	if (number == 0)
		return;
	put_key(out, key);
	buf_printf(out, "%lld", (long long)number);
}

static void put_true(struct buf *out, const char *key, bool value)
{
	if (!value)
		return;
	put_key(out, key);
	buf_append_text(out, "true");
}

static void put_raw(struct buf *out, const char *key, struct slice object)
{
	if (!slice_is_set(object))
		return;
	put_key(out, key);
	assert_int_equal(wire_to_json(object, out), 0);
}

static void put_retry(struct buf *out, bool has_retry, const struct retry_policy *retry)
{
	if (!has_retry)
		return;
	put_key(out, "retry");
	buf_printf(out, "{\"base_ms\":%u,\"cap_ms\":%u}", retry->base_ms, retry->cap_ms);
}

static void put_request(struct buf *out, const struct request *r)
{
	put_id(out, "id", &r->id);
	put_text(out, "task", r->task);
	put_bin(out, "payload", r->payload);
	put_text(out, "content_type", r->content_type);
	put_number(out, "created_at", r->created_at_ms);
	put_number(out, "deadline", r->deadline_ms);
	put_number(out, "attempt", r->attempt);
	put_number(out, "max_attempts", r->max_attempts);
	put_number(out, "timeout_ms", r->timeout_ms);
	put_retry(out, r->has_retry, &r->retry);
	put_bin(out, "context", r->context);
}

static void put_error(struct buf *out, bool has_error, const struct reply_error *e)
{
	if (!has_error)
		return;
	put_key(out, "error");
	buf_append_byte(out, '{');
	put_text(out, "type", e->type);
	put_text(out, "message", e->message);
	put_key(out, "retryable");
	buf_append_text(out, e->retryable ? "true" : "false");
	put_number(out, "status", e->status);
	put_raw(out, "data", e->data);
	buf_append_byte(out, '}');
}

static void put_reply(struct buf *out, const struct reply *r)
{
	put_id(out, "id", &r->id);
	put_number(out, "attempt", r->attempt);
	put_text(out, "kind", slice_text(reply_kind_name(r->kind)));
	put_bin(out, "result", r->result);
	put_text(out, "content_type", r->content_type);
	put_number(out, "started_at", r->started_at_ms);
	put_number(out, "finished_at", r->finished_at_ms);
	put_error(out, r->has_error, &r->error);
	put_bin(out, "request", r->request);
	put_bin(out, "context", r->context);
	put_raw(out, "progress", r->progress);
	put_number(out, "seq", (int64_t)r->seq);
	put_text(out, "worker", r->worker);
	put_retry(out, r->has_retry, &r->retry);
	put_number(out, "retry_after_ms", r->retry_after_ms);
}

static void put_context(struct buf *out, const struct context *c)
{
	put_text(out, "tenant", c->tenant);
	put_text(out, "task", c->task);
	put_text(out, "metadata", c->metadata);
	put_text(out, "deliver", c->deliver);
	put_id(out, "batch", &c->batch);
	put_id(out, "retry_of", &c->retry_of);
	put_true(out, "has_next", c->has_next);
	put_true(out, "is_inline", c->is_inline);
	put_text(out, "traceparent", c->trace.parent);
	put_text(out, "tracestate", c->trace.state);
}

static void put_control(struct buf *out, const struct control *c)
{
	put_text(out, "kind", slice_text("cancel"));
	put_id(out, "id", &c->id);
	put_number(out, "at", c->at_ms);
}

static void put_live_error(struct buf *out, bool has_error, const struct live_error *e)
{
	if (!has_error)
		return;
	put_key(out, "error");
	buf_append_byte(out, '{');
	put_text(out, "type", e->type);
	put_text(out, "message", e->message);
	put_true(out, "retryable", e->retryable);
	put_number(out, "status", e->status);
	put_text(out, "data", e->data);
	buf_append_byte(out, '}');
}

static void put_live_event(struct buf *out, const struct live_event *e)
{
	put_id(out, "id", &e->id);
	put_text(out, "tenant", e->tenant);
	put_text(out, "task", e->task);
	put_text(out, "state", slice_text(task_state_name(e->state)));
	put_number(out, "rev", (int64_t)e->rev);
	put_true(out, "is_partial", e->is_partial);
	put_number(out, "attempt", e->attempt);
	put_number(out, "created_at", e->created_at_ms);
	put_number(out, "due_at", e->due_at_ms);
	put_number(out, "started_at", e->started_at_ms);
	put_number(out, "finished_at", e->finished_at_ms);
	put_text(out, "progress", e->progress);
	put_text(out, "metadata", e->metadata);
	put_text(out, "worker", e->worker);
	put_live_error(out, e->has_error, &e->error);
	put_text(out, "content_type", e->content_type);
	put_number(out, "result_len", e->result_len);
	put_true(out, "result_is_json", e->result_is_json);
	put_bin(out, "result", e->result);
	put_id(out, "waits_for", &e->waits_for);
	put_id(out, "batch", &e->batch);
	put_id(out, "retry_of", &e->retry_of);
	put_number(out, "pending", e->deliveries_pending);
	put_number(out, "delivered", e->deliveries_delivered);
	put_number(out, "dead", e->deliveries_dead);
	put_number(out, "span", e->span);
}

static void put_live_events(struct buf *out, struct slice events)
{
	struct decode_error error;
	struct live_event e;
	struct slice event;

	put_key(out, "events");
	buf_append_byte(out, '[');
	for (size_t at = 0; live_next_event(events, &at, &event);) {
		assert_int_equal(live_event_decode(event, &e, &error), 0);
		if (out->data[out->len - 1] != '[')
			buf_append_byte(out, ',');
		buf_append_byte(out, '{');
		put_live_event(out, &e);
		buf_append_byte(out, '}');
	}
	buf_append_byte(out, ']');
}

static int replay_live(
	struct slice bytes, struct buf *described, struct buf *encoded, struct decode_error *error)
{
	struct live_message m;
	int rc = live_message_decode(bytes, &m, error);

	if (rc < 0)
		return rc;
	buf_append_byte(described, '{');
	put_number(described, "publisher", (int64_t)m.publisher);
	put_bin(described, "marks", m.marks);
	if (slice_is_set(m.events))
		put_live_events(described, m.events);
	buf_append_byte(described, '}');
	return live_message_encode_again(&m, ROOM, encoded);
}

/* Decodes, describes as JSON and encodes again. */
#define REPLAY(name)                                                                                        \
	static int replay_##name(                                                                           \
		struct slice bytes, struct buf *described, struct buf *encoded, struct decode_error *error) \
	{                                                                                                   \
		struct name message;                                                                        \
		int rc = name##_decode(bytes, &message, error);                                             \
                                                                                                            \
		if (rc < 0)                                                                                 \
			return rc;                                                                          \
		buf_append_byte(described, '{');                                                            \
		put_##name(described, &message);                                                            \
		buf_append_byte(described, '}');                                                            \
		return name##_encode(&message, encoded);                                                    \
	}

REPLAY(request)
REPLAY(reply)
REPLAY(context)
REPLAY(control)

static const struct {
	const char *name;
	int (*replay)(
		struct slice bytes, struct buf *described, struct buf *encoded, struct decode_error *error);
} messages[] = {
	{"\"request\"", replay_request},
	{"\"reply\"", replay_reply},
	{"\"context\"", replay_context},
	{"\"control\"", replay_control},
	{"\"live\"", replay_live},
};

/* ---- the files ---- */

struct vector {
	struct slice message;
	struct slice canonical;
	struct slice hex;
	struct slice fields;
	struct slice error;
};

static void read_file(const char *path, struct buf *out)
{
	FILE *file = fopen(path, "r");
	char bytes[4096];
	size_t len;

	assert_non_null(file);
	while ((len = fread(bytes, 1, sizeof bytes, file)) > 0)
		assert_int_equal(buf_append(out, bytes, len), 0);
	fclose(file);
}

static struct slice member(struct slice object, const char *key)
{
	struct json_member m = {.offset = 0};

	while (json_next_member(object, &m)) {
		if (json_key_is(m.key, key))
			return m.value;
	}
	return slice_text(NULL);
}

static struct vector parse_vector(struct slice text)
{
	struct json_error error;

	assert_int_equal(json_check(text, &error), 0);
	return (struct vector){
		.message = member(text, "message"),
		.canonical = member(text, "canonical"),
		.hex = member(text, "hex"),
		.fields = member(text, "fields"),
		.error = member(text, "error"),
	};
}

static void put_unhexed(struct buf *out, struct slice quoted)
{
	for (size_t i = 1; i + 2 < quoted.len; i += 2) {
		char digits[3] = {(char)quoted.data[i], (char)quoted.data[i + 1], '\0'};

		buf_append_byte(out, (uint8_t)strtoul(digits, NULL, 16));
	}
}

/* The text without the white space between its parts. */
static void put_compact(struct buf *out, struct slice text)
{
	bool in_string = false;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (in_string && c == '\\') {
			buf_append_byte(out, c);
			c = text.data[++i];
		} else if (c == '"') {
			in_string = !in_string;
		}
		if (in_string || !strchr(" \t\r\n", c))
			buf_append_byte(out, c);
	}
}

static void assert_same_text(struct buf *actual, struct slice expected_json)
{
	struct buf expected;

	buf_init(&expected, ROOM);
	put_compact(&expected, expected_json);
	assert_string_equal(buf_text(actual), buf_text(&expected));
	buf_done(&expected);
}

static void assert_error(const struct decode_error *error, struct slice expected)
{
	struct buf text;

	buf_init(&text, 1000);
	buf_printf(&text, "{\"path\":\"%s\",\"reason\":\"%s\"}", error->path, error->reason);
	assert_same_text(&text, expected);
	buf_done(&text);
}

static int replay(const struct vector *v, struct slice bytes, struct buf *described, struct buf *encoded,
	struct decode_error *error)
{
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		if (slice_is_text(v->message, messages[i].name))
			return messages[i].replay(bytes, described, encoded, error);
	}
	fail_msg("unknown message %.*s", SLICE_ARG(v->message));
	return -EINVAL;
}

static void check_vector(const struct vector *v)
{
	struct buf bytes, described, encoded;
	struct decode_error error;
	int rc;

	buf_init(&bytes, ROOM);
	buf_init(&described, ROOM);
	buf_init(&encoded, ROOM);
	put_unhexed(&bytes, v->hex);
	rc = replay(v, buf_slice(&bytes), &described, &encoded, &error);
	if (slice_is_set(v->error)) {
		assert_int_equal(rc, -EBADMSG);
		assert_error(&error, v->error);
	} else {
		assert_int_equal(rc, 0);
		assert_same_text(&described, v->fields);
		assert_int_equal(slice_is_equal(buf_slice(&encoded), buf_slice(&bytes)),
			slice_is_text(v->canonical, "true"));
	}
	buf_done(&bytes);
	buf_done(&described);
	buf_done(&encoded);
}

static void every_vector_decodes_to_its_fields_and_encodes_back(void **state)
{
	glob_t files;

	assert_int_equal(glob(TESTS_DIR "/vectors/*.json", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 30);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct vector v;
		struct buf text;

		print_message("%s\n", files.gl_pathv[i]);
		buf_init(&text, ROOM);
		read_file(files.gl_pathv[i], &text);
		v = parse_vector(buf_slice(&text));
		check_vector(&v);
		buf_done(&text);
	}
	globfree(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_decodes_to_its_fields_and_encodes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
