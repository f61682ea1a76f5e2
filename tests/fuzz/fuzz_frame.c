#include "processor/frame.h"
#include "tests/fuzz/fuzz.h"

enum { FRAME_MAX = 4096 };

/* Feeds `bytes` in pieces, appends every frame with its head to `out`; where the reading ended. */
static int read_all(struct slice bytes, size_t piece, struct buf *out)
{
	struct frame_reader reader;
	uint8_t head[FRAME_HEAD_LEN];
	struct slice frame;
	int rc = 0;

	frame_reader_init(&reader, FRAME_MAX);
	while (rc == 0 && bytes.len > 0) {
		struct slice part = slice_of(bytes.data, bytes.len < piece ? bytes.len : piece);

		bytes = slice_of(bytes.data + part.len, bytes.len - part.len);
		while ((rc = frame_read(&reader, &part, &frame)) == 1) {
			fuzz_require(frame.len <= FRAME_MAX);
			frame_head(frame.len, head);
			fuzz_require(
				buf_append(out, head, sizeof head) == 0 && buf_append_slice(out, frame) == 0);
		}
		fuzz_require(rc < 0 || part.len == 0);
	}
	frame_reader_done(&reader);
	return rc;
}

static bool is_prefix(struct slice part, struct slice whole)
{
	return part.len <= whole.len && slice_is_equal(part, slice_of(whole.data, part.len));
}

/* The first byte says how large the pieces are. However it is cut, the same frames come, and they are what was sent. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole, pieces;
	struct slice bytes;

	if (len == 0)
		return 0;
	bytes = slice_of(data + 1, len - 1);
	buf_init(&whole, len);
	buf_init(&pieces, len);
	fuzz_require(read_all(bytes, len, &whole) == read_all(bytes, (size_t)data[0] + 1, &pieces));
	fuzz_require(slice_is_equal(buf_slice(&whole), buf_slice(&pieces)));
	fuzz_require(is_prefix(buf_slice(&whole), bytes));
	buf_done(&whole);
	buf_done(&pieces);
	return 0;
}
