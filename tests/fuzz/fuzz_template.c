#include <errno.h>

#include "notifier/template.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

static void is_one_line(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		fuzz_require(s.data[i] >= 0x20 && s.data[i] != 0x7f);
}

static void is_in_a_string(struct slice text, struct slice filled)
{
	struct json_error ignored;
	struct buf json;

	if (memchr(text.data, '"', text.len) || memchr(text.data, '\\', text.len))
		return;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < 0x20)
			return;
	buf_init(&json, filled.len + 2);
	buf_append_byte(&json, '"');
	buf_append_slice(&json, filled);
	buf_append_byte(&json, '"');
	fuzz_require(json_check(buf_slice(&json), &ignored) == 0);
	buf_done(&json);
}

static void fill(struct slice text, struct slice document, enum template_kind kind)
{
	const struct template_source source = {.document = document, .value_max = 100};
	char why[100];
	struct buf out;
	int rc;

	buf_init(&out, 1 << 20);
	rc = template_render(text, kind, &source, &out);
	fuzz_require(rc == template_check(text, why, sizeof why) || rc == -EMSGSIZE);
	if (rc == 0) {
		fuzz_require(utf8_is_valid(buf_slice(&out)));
		if (kind == TEMPLATE_LINE)
			is_one_line(buf_slice(&out));
		if (kind == TEMPLATE_JSON)
			is_in_a_string(text, buf_slice(&out));
	}
	buf_done(&out);
}

/* A template, a NUL, and a document. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = len ? memchr(data, '\0', len) : NULL;
	struct slice text = slice_of(data, end ? (size_t)(end - data) : len);
	struct slice document = end ? slice_of(end + 1, len - text.len - 1) : (struct slice){0};
	struct json_error ignored;

	if (len == 0 || !utf8_is_valid(text))
		return 0;
	if (slice_is_set(document) &&
		(json_check(document, &ignored) != 0 || json_type_of(document) != JSON_OBJECT))
		return 0;
	for (enum template_kind kind = TEMPLATE_TEXT; kind <= TEMPLATE_JSON; kind++)
		fill(text, document, kind);
	return 0;
}
