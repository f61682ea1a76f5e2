/*
 * What clients say of registered endpoints: what is refused says why, and what is accepted, shown and said again is the
 * same.
 */
#include <errno.h>

#include "gateway/endpoint_body.h"
#include "gateway/endpoint_render.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

/* Of the document of an endpoint what a client may say. */
static void say_again(struct slice document, struct buf *out)
{
	static const char *const said[] = {"url", "description", "tasks", "on"};
	struct json_member m = {0};

	buf_append_byte(out, '{');
	while (json_next_member(document, &m))
		for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
			if (json_key_is(m.key, said[i])) {
				if (out->len > 1)
					buf_append_byte(out, ',');
				buf_printf(out, "\"%s\":", said[i]);
				buf_append_slice(out, m.value);
			}
	buf_append_byte(out, '}');
}

static void show(const struct endpoint_body *b, struct buf *out)
{
	const struct store_endpoint e = {
		.url = buf_slice(&b->url),
		.description = buf_slice(&b->description),
		.tasks = buf_slice(&b->tasks),
		.outcomes = b->outcomes,
		.secret = buf_slice(&b->secret),
		.is_enabled = true,
	};
	struct json_error error;

	endpoint_render(&e, true, 1, out);
	fuzz_require(!out->error && json_check(buf_slice(out), &error) == 0);
}

static void comes_back(const struct endpoint_body *b)
{
	struct buf document, again;
	struct endpoint_body second;
	struct fault fault;

	buf_init(&document, 1 << 20);
	buf_init(&again, 1 << 20);
	show(b, &document);
	say_again(buf_slice(&document), &again);
	fuzz_require(endpoint_body_read(buf_slice(&again), ENDPOINT_BODY_NEW, &second, &fault) == 0);
	fuzz_require(slice_is_equal(buf_slice(&b->url), buf_slice(&second.url)));
	fuzz_require(slice_is_equal(buf_slice(&b->description), buf_slice(&second.description)));
	fuzz_require(slice_is_equal(buf_slice(&b->tasks), buf_slice(&second.tasks)));
	fuzz_require(b->outcomes == 0 || b->outcomes == second.outcomes);
	endpoint_body_done(&second);
	buf_done(&document);
	buf_done(&again);
}

static void read_as(struct slice text, enum endpoint_body_kind kind)
{
	struct endpoint_body b;
	struct fault fault = {.detail = ""};
	int rc = endpoint_body_read(text, kind, &b, &fault);

	fuzz_require(rc == 0 || rc == -EINVAL);
	fuzz_require((rc == 0) == (fault.detail[0] == '\0'));
	fuzz_require(rc < 0 || (b.overlap_ms >= 0 && b.overlap_ms <= ENDPOINT_OVERLAP_MAX_MS));
	if (rc == 0 && kind == ENDPOINT_BODY_NEW)
		comes_back(&b);
	endpoint_body_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice text = slice_of(data, len);

	read_as(text, ENDPOINT_BODY_NEW);
	read_as(text, ENDPOINT_BODY_CHANGE);
	read_as(text, ENDPOINT_BODY_ROTATE);
	return 0;
}
