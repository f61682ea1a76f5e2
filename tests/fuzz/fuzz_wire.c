#include <errno.h>
#include <msgpack.h>

#include "proto/json.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

enum { LIBRARY_DEPTH = 31 }; /* msgpack-c reads no deeper */

/* What passes the walk is one whole object for msgpack-c as well, whose memory the input's length bounds. */
static void library_agrees(struct slice bytes)
{
	const char *reason;
	msgpack_unpacked unpacked;
	size_t off = 0;

	if (wire_object_len(bytes, LIBRARY_DEPTH, &reason) < 0)
		return;
	msgpack_unpacked_init(&unpacked);
	fuzz_require(msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.len, &off) > 0);
	fuzz_require(off == bytes.len);
	msgpack_unpacked_destroy(&unpacked);
}

static void json_is_valid(struct slice bytes)
{
	struct json_error error;
	struct buf out;
	int rc;

	buf_init(&out, 8 * bytes.len + 64);
	rc = wire_to_json(bytes, &out);
	fuzz_require(rc == 0 || rc == -EBADMSG || rc == -EMSGSIZE);
	fuzz_require(rc != 0 || json_check(buf_slice(&out), &error) == 0);
	fuzz_require(rc == 0 || out.len == 0);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice bytes = slice_of(data, len);
	struct decode_error error;

	json_is_valid(bytes);
	if (wire_check(bytes, &error) == 0)
		library_agrees(bytes);
	return 0;
}
