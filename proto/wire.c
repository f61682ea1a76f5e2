#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* What the count in an object's head counts. */
enum counted { COUNTS_NOTHING, COUNTS_BYTES, COUNTS_ITEMS, COUNTS_PAIRS, INVALID };

struct head {
	size_t len; /* of the head itself */
	enum counted counted;
	uint32_t count;
	uint32_t fixed; /* bytes of the body beyond those counted */
};

/* The formats of the first bytes 0xc0 to 0xdf. */
static const struct format {
	uint8_t count_len;
	uint8_t counted;
	uint8_t fixed;
} formats[32] = {
	[0xc0 - 0xc0] = {0, COUNTS_NOTHING, 0}, /* nil */
	[0xc1 - 0xc0] = {0, INVALID, 0},
	[0xc2 - 0xc0] = {0, COUNTS_NOTHING, 0}, /* false, true */
	[0xc3 - 0xc0] = {0, COUNTS_NOTHING, 0},
	[0xc4 - 0xc0] = {1, COUNTS_BYTES, 0}, /* bin */
	[0xc5 - 0xc0] = {2, COUNTS_BYTES, 0},
	[0xc6 - 0xc0] = {4, COUNTS_BYTES, 0},
	[0xc7 - 0xc0] = {1, COUNTS_BYTES, 1}, /* ext: its type is one byte more */
	[0xc8 - 0xc0] = {2, COUNTS_BYTES, 1},
	[0xc9 - 0xc0] = {4, COUNTS_BYTES, 1},
	[0xca - 0xc0] = {0, COUNTS_NOTHING, 4}, /* float */
	[0xcb - 0xc0] = {0, COUNTS_NOTHING, 8},
	[0xcc - 0xc0] = {0, COUNTS_NOTHING, 1}, /* uint */
	[0xcd - 0xc0] = {0, COUNTS_NOTHING, 2},
	[0xce - 0xc0] = {0, COUNTS_NOTHING, 4},
	[0xcf - 0xc0] = {0, COUNTS_NOTHING, 8},
	[0xd0 - 0xc0] = {0, COUNTS_NOTHING, 1}, /* int */
	[0xd1 - 0xc0] = {0, COUNTS_NOTHING, 2},
	[0xd2 - 0xc0] = {0, COUNTS_NOTHING, 4},
	[0xd3 - 0xc0] = {0, COUNTS_NOTHING, 8},
	[0xd4 - 0xc0] = {0, COUNTS_NOTHING, 2}, /* fixext */
	[0xd5 - 0xc0] = {0, COUNTS_NOTHING, 3},
	[0xd6 - 0xc0] = {0, COUNTS_NOTHING, 5},
	[0xd7 - 0xc0] = {0, COUNTS_NOTHING, 9},
	[0xd8 - 0xc0] = {0, COUNTS_NOTHING, 17},
	[0xd9 - 0xc0] = {1, COUNTS_BYTES, 0}, /* str */
	[0xda - 0xc0] = {2, COUNTS_BYTES, 0},
	[0xdb - 0xc0] = {4, COUNTS_BYTES, 0},
	[0xdc - 0xc0] = {2, COUNTS_ITEMS, 0}, /* array */
	[0xdd - 0xc0] = {4, COUNTS_ITEMS, 0},
	[0xde - 0xc0] = {2, COUNTS_PAIRS, 0}, /* map */
	[0xdf - 0xc0] = {4, COUNTS_PAIRS, 0},
};

/* Formats that bear their count in the first byte. */
static struct head fix_head(uint8_t first)
{
	if (first < 0x80 || first >= 0xe0)
		return (struct head){1, COUNTS_NOTHING, 0, 0};
	if (first < 0x90)
		return (struct head){1, COUNTS_PAIRS, first & 0x0f, 0};
	if (first < 0xa0)
		return (struct head){1, COUNTS_ITEMS, first & 0x0f, 0};
	return (struct head){1, COUNTS_BYTES, first & 0x1f, 0};
}

static int read_head(struct slice bytes, struct head *out)
{
	const struct format *format;

	if (bytes.len == 0)
		return -EBADMSG;
	if (bytes.data[0] < 0xc0 || bytes.data[0] >= 0xe0) {
		*out = fix_head(bytes.data[0]);
		return 0;
	}
	format = &formats[bytes.data[0] - 0xc0];
	if (bytes.len - 1 < format->count_len)
		return -EBADMSG;
	*out = (struct head){1U + format->count_len, format->counted, 0, format->fixed};
	for (size_t i = 1; i < out->len; i++)
		out->count = out->count << 8 | bytes.data[i];
	return 0;
}

/* The objects that a container owes: a pair is two. */
static uint64_t children(const struct head *head)
{
	switch (head->counted) {
	case COUNTS_ITEMS: return head->count;
	case COUNTS_PAIRS: return UINT64_C(2) * head->count;
	case COUNTS_NOTHING:
	case COUNTS_BYTES:
	case INVALID: return 0;
	}
	return 0;
}

static bool is_container(const struct head *head)
{
	return head->counted == COUNTS_ITEMS || head->counted == COUNTS_PAIRS;
}

struct walk {
	struct slice rest;
	unsigned depth;			    /* containers open */
	uint64_t left[PROTO_DEPTH_MAX + 1]; /* objects still to come, by depth */
	uint64_t owed;			    /* their sum; each takes a byte at least */
};

static const char *step(struct walk *w, unsigned depth_max)
{
	struct head head;
	uint64_t len;

	if (read_head(w->rest, &head) < 0)
		return "truncated";
	if (head.counted == INVALID)
		return "an invalid byte";
	len = head.len + (uint64_t)head.fixed + (head.counted == COUNTS_BYTES ? head.count : 0);
	if (len > w->rest.len)
		return "truncated";
	w->rest = slice_of(w->rest.data + len, w->rest.len - len);
	w->left[w->depth]--;
	w->owed += children(&head) - 1;
	if (w->owed > w->rest.len)
		return is_container(&head) ? "a count larger than the message" : "truncated";
	if (!is_container(&head))
		return NULL;
	if (w->depth == depth_max)
		return "nested too deep";
	w->left[++w->depth] = children(&head);
	return NULL;
}

int64_t wire_object_len(struct slice bytes, unsigned depth_max, const char **reason)
{
	struct walk w = {.rest = bytes, .left = {1}, .owed = 1};

	assert(depth_max <= PROTO_DEPTH_MAX);
	while (true) {
		const char *refusal;

		while (w.left[w.depth] == 0) {
			if (w.depth == 0)
				return (int64_t)(bytes.len - w.rest.len);
			w.depth--;
		}
		refusal = step(&w, depth_max);
		if (refusal) {
			*reason = refusal;
			return -EBADMSG;
		}
	}
}

int wire_check(struct slice bytes, struct decode_error *error)
{
	const char *reason = "bytes after the object";
	int64_t len = wire_object_len(bytes, PROTO_DEPTH_MAX, &reason);

	if (len >= 0 && (size_t)len == bytes.len)
		return 0;
	*error = (struct decode_error){.path = ""};
	snprintf(error->reason, sizeof error->reason, "%s", reason);
	return -EBADMSG;
}

size_t wire_open(struct slice object, enum wire_kind *kind, uint32_t *count)
{
	struct head head;

	*kind = WIRE_SCALAR;
	if (read_head(object, &head) < 0 || !is_container(&head))
		return 0;
	*kind = head.counted == COUNTS_PAIRS ? WIRE_MAP : WIRE_ARRAY;
	*count = head.count;
	return head.len;
}

struct slice wire_bytes(struct slice object)
{
	bool is_ext;
	struct head head;

	if (read_head(object, &head) < 0 || head.counted != COUNTS_BYTES)
		return (struct slice){0};
	is_ext = head.fixed > 0;
	if (is_ext || object.len - head.len < head.count)
		return (struct slice){0};
	return slice_of(object.data + head.len, head.count);
}
