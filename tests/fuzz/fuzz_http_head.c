#include "gateway/chunked.h"
#include "gateway/head.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD_MAX = 2048 };

struct outcome {
	enum head_status status;
	size_t used;
};

/* Fed in pieces of `step` bytes. */
static struct outcome feed(struct head *h, struct slice bytes, size_t step)
{
	struct outcome o = {.status = HEAD_MORE};
	size_t used;

	head_init(h, HEAD_MAX);
	for (size_t at = 0; o.status == HEAD_MORE && at < bytes.len; at += step) {
		size_t len = bytes.len - at < step ? bytes.len - at : step;

		o.status = head_feed(h, slice_of(bytes.data + at, len), &used);
		o.used += used;
	}
	return o;
}

static void is_within(struct slice part, const struct head *h)
{
	fuzz_require(part.data >= h->text.data && part.data + part.len <= h->text.data + h->text.len);
	for (size_t i = 0; i < part.len; i++)
		fuzz_require(part.data[i] >= 0x20 || part.data[i] == '\t');
}

/* What passed is what evhttp and every other reader agree on. */
static void is_strict(const struct head *h)
{
	fuzz_require(!(h->is_chunked && h->content_length >= 0));
	fuzz_require(h->minor <= 1 && h->fields_len <= HEAD_FIELDS_MAX);
	fuzz_require(h->text.len <= HEAD_MAX && h->text.len >= 4);
	fuzz_require(memcmp(h->text.data + h->text.len - 4, "\r\n\r\n", 4) == 0);
	is_within(head_target(h), h);
	fuzz_require(head_target(h).data[0] == '/' || slice_is_text(head_target(h), "*"));
	for (size_t i = 0; i < h->fields_len; i++) {
		is_within(slice_of(h->text.data + h->fields[i].name, h->fields[i].name_len), h);
		is_within(slice_of(h->text.data + h->fields[i].value, h->fields[i].value_len), h);
	}
}

static enum chunked_status feed_chunks(struct slice bytes, size_t step, uint64_t *moved)
{
	struct chunked c;
	enum chunked_status status = CHUNKED_MORE;
	size_t used;

	chunked_init(&c);
	*moved = 0;
	for (size_t at = 0; at < bytes.len && (status == CHUNKED_MORE || status == CHUNKED_DATA);
		at += used) {
		size_t len = bytes.len - at < step ? bytes.len - at : step;

		if (c.state == CHUNKED_IN_DATA) {
			used = c.left < len ? (size_t)c.left : len;
			*moved += used;
			chunked_moved(&c, used);
			status = CHUNKED_MORE;
		} else {
			status = chunked_feed(&c, slice_of(bytes.data + at, len), &used);
			fuzz_require(used <= len);
		}
	}
	return status;
}

static void check_chunks(struct slice bytes)
{
	uint64_t moved, again;
	enum chunked_status status = feed_chunks(bytes, bytes.len, &moved);
	enum chunked_status same = feed_chunks(bytes, 1, &again);

	fuzz_require(status == same && moved == again && moved <= bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice bytes = slice_of(data, len);
	struct head whole, pieces;
	struct outcome first = feed(&whole, bytes, len ? len : 1);
	struct outcome second = feed(&pieces, bytes, 1);

	fuzz_require(first.status == second.status);
	if (first.status == HEAD_DONE) {
		fuzz_require(first.used == second.used);
		is_strict(&whole);
		fuzz_require(slice_is_equal(buf_slice(&whole.text), buf_slice(&pieces.text)));
		check_chunks(slice_of(data + first.used, len - first.used));
	} else if (first.status == HEAD_REFUSED) {
		fuzz_require(whole.problem == pieces.problem && whole.why);
	}
	head_done(&whole);
	head_done(&pieces);
	return 0;
}
