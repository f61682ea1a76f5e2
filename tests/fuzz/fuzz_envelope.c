/*
 * What clients say of a task: envelopes, batches, joined parameters, reply templates, headers. What is accepted can be
 * sent, what is refused says why, and what is made is JSON.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/batch.h"
#include "gateway/envelope.h"
#include "gateway/join.h"
#include "gateway/message.h"
#include "gateway/prefer.h"
#include "proto/context.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

static const struct submission_rules rules = {.now_ms = INT64_C(1800000000000), .timeout_max_ms = 1800000};

static void can_be_sent(struct submission *s, struct slice text)
{
	struct message_context context = {.tenant = slice_text("t")};
	struct json_error error;

	for (; s; s = s->then) {
		struct message message = {0};

		s->id = (struct id){{1, [6] = 0x70, [8] = 0x80}};
		fuzz_require(name_is_valid(slice_text(s->task)));
		fuzz_require(json_check(s->payload, &error) == 0);
		fuzz_require(s->metadata.len <= SUBMISSION_METADATA_MAX);
		fuzz_require(message_encode(s, &context, text.len + 4096, &message) == 0);
		free(message.data);
	}
}

static void read_envelope(struct slice text)
{
	struct submission *s = NULL;
	struct fault fault = {.detail = ""};
	int rc = envelope_parse(text, &rules, &s, &fault);

	fuzz_require(rc == 0 || rc == -EINVAL);
	fuzz_require((rc == 0) == (s != NULL) && (rc == 0) == (fault.detail[0] == '\0'));
	fuzz_require(submission_steps(s) <= ENVELOPE_DEPTH_MAX);
	can_be_sent(s, text);
	submission_free(s);
}

static void read_batch(struct slice text)
{
	struct batch_read batch;
	struct fault fault = {.detail = ""};

	if (batch_read(text, 16, &rules, &batch, &fault) < 0) {
		fuzz_require(fault.detail[0] != '\0');
		return;
	}
	fuzz_require(batch.len >= 1 && batch.len <= 16);
	for (size_t i = 0; i < batch.len; i++) {
		fuzz_require(batch.items[i].submission || batch.items[i].fault.detail[0]);
		can_be_sent(batch.items[i].submission, text);
	}
	can_be_sent(batch.then, text);
	batch_read_done(&batch);
}

/* The text up to the first NUL is a name, what follows a value and the JSON that they join. */
static void join_params_of(struct slice text)
{
	const uint8_t *end = text.len ? memchr(text.data, '\0', text.len) : NULL;
	struct slice name = slice_of(text.data, end ? (size_t)(end - text.data) : text.len);
	struct slice json =
		end ? slice_of(end + 1, text.len - name.len - 1) : slice_text("{\"a\":\"{id}{a}\"}");
	struct call_param params[] = {{name, json}, {slice_text("a"), name}};
	struct json_error error;
	struct buf out;

	if (json_check(json, &error) < 0 || !utf8_is_valid(name) || slice_is_text(name, "a"))
		return;
	buf_init(&out, 64 * text.len + 4096);
	fuzz_require(join_template(json, slice_text("1"), slice_text("2"), params, 2, &out) < 0 ||
		     json_check(buf_slice(&out), &error) != -ENOMEM);
	buf_reset(&out);
	if (json_type_of(json) == JSON_OBJECT) {
		fuzz_require(join_object(json, params, 2, &out) == 0);
		fuzz_require(json_check(buf_slice(&out), &error) == 0);
	}
	buf_reset(&out);
	fuzz_require(join_metadata(params, 2, &out) == 0);
	fuzz_require(json_check(buf_slice(&out), &error) == 0);
	buf_done(&out);
}

static void read_headers(struct slice text)
{
	int seconds = prefer_wait_s(text);

	fuzz_require(seconds >= 0 && seconds <= PREFER_WAIT_MAX_S);
	etag_matches(text, 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice text = slice_of(data, len);

	read_envelope(text);
	read_batch(text);
	join_params_of(text);
	read_headers(text);
	return 0;
}
