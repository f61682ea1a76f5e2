#include "proto/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"

/* Bytes; scalars take nothing from a zone, but without one msgpack-c makes one for each string. */
enum { ZONE_CHUNK = 64 };

struct converting {
	struct slice rest; /* of a checked object */
	struct buf *out;
	msgpack_zone zone;
};

static int convert(struct converting *c);

/* The shortest of the usual precisions that reads back as the same number. */
static int append_float(struct buf *out, double number, bool is_single)
{
	char text[32];

	if (number - number != 0) /* infinite or no number at all */
		return buf_append_text(out, "null");
	for (int digits = is_single ? 6 : 15; digits <= 17; digits++) {
		double back;

		snprintf(text, sizeof text, "%.*g", digits, number);
		back = strtod(text, NULL);
		if (is_single ? (float)back == (float)number : back >= number && back <= number)
			break;
	}
	return buf_append_text(out, text);
}

static int append_bin(struct buf *out, struct slice bytes)
{
	struct json_error error;
	int rc = json_check(bytes, &error);

	if (rc == -ENOMEM)
		return rc;
	if (rc == 0)
		return buf_append_slice(out, bytes);
	return utf8_is_valid(bytes) ? json_append_string(out, bytes) : buf_append_text(out, "null");
}

static int append_scalar(struct buf *out, const msgpack_object *o)
{
	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN: return buf_append_text(out, o->via.boolean ? "true" : "false");
	case MSGPACK_OBJECT_POSITIVE_INTEGER: return buf_printf(out, "%" PRIu64, o->via.u64);
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: return buf_printf(out, "%" PRId64, o->via.i64);
	case MSGPACK_OBJECT_FLOAT32: return append_float(out, o->via.f64, true);
	case MSGPACK_OBJECT_FLOAT64: return append_float(out, o->via.f64, false);
	case MSGPACK_OBJECT_STR: return json_append_string(out, slice_of(o->via.str.ptr, o->via.str.size));
	case MSGPACK_OBJECT_BIN: return append_bin(out, slice_of(o->via.bin.ptr, o->via.bin.size));
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_EXT:
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP: return buf_append_text(out, "null");
	}
	return -EBADMSG;
}

static void skip(struct converting *c, size_t len)
{
	c->rest = slice_of(c->rest.data + len, c->rest.len - len);
}

static int read_scalar(struct converting *c, msgpack_object *out)
{
	size_t len = 0;

	if (msgpack_unpack((const char *)c->rest.data, c->rest.len, &len, &c->zone, out) <= 0)
		return -EBADMSG;
	skip(c, len);
	return 0;
}

static int convert_key(struct converting *c)
{
	enum wire_kind kind;
	uint32_t count;
	msgpack_object key;

	if (wire_open(c->rest, &kind, &count) > 0 || read_scalar(c, &key) < 0 ||
		key.type != MSGPACK_OBJECT_STR)
		return -EBADMSG;
	append_scalar(c->out, &key);
	return buf_append_byte(c->out, ':');
}

static int convert_container(struct converting *c, enum wire_kind kind, uint32_t count)
{
	buf_append_byte(c->out, kind == WIRE_MAP ? '{' : '[');
	for (uint32_t i = 0; i < count; i++) {
		int rc = 0;

		if (i > 0)
			buf_append_byte(c->out, ',');
		if (kind == WIRE_MAP)
			rc = convert_key(c);
		if (rc == 0)
			rc = convert(c);
		if (rc < 0)
			return rc;
	}
	return buf_append_byte(c->out, kind == WIRE_MAP ? '}' : ']');
}

/* Recursion is as deep as the check of the object allowed. */
static int convert(struct converting *c)
{
	msgpack_object scalar;
	enum wire_kind kind;
	uint32_t count;
	size_t head = wire_open(c->rest, &kind, &count);

	if (head > 0) {
		skip(c, head);
		return convert_container(c, kind, count);
	}
	return read_scalar(c, &scalar) < 0 ? -EBADMSG : append_scalar(c->out, &scalar);
}

int wire_to_json(struct slice object, struct buf *out)
{
	struct converting c = {.rest = object, .out = out};
	struct decode_error wire_error;
	struct json_error json_error;
	size_t start = out->len;
	int rc = wire_check(object, &wire_error);

	if (rc < 0)
		return rc;
	if (!msgpack_zone_init(&c.zone, ZONE_CHUNK))
		return -ENOMEM;
	rc = convert(&c);
	msgpack_zone_destroy(&c.zone);
	/* Duplicate keys, and a bin that is deep where it stands. */
	if (rc == 0)
		rc = json_check(slice_of(out->data + start, out->len - start), &json_error);
	if (rc < 0)
		out->len = start;
	return rc;
}

static int write_packed(void *out, const char *bytes, size_t len)
{
	return buf_append(out, bytes, len);
}

int wire_str(struct slice text, struct buf *out)
{
	msgpack_packer packer;

	msgpack_packer_init(&packer, out, write_packed);
	msgpack_pack_str(&packer, text.len);
	return buf_append_slice(out, text);
}

int wire_bin(struct slice bytes, struct buf *out)
{
	msgpack_packer packer;

	msgpack_packer_init(&packer, out, write_packed);
	msgpack_pack_bin(&packer, bytes.len);
	return buf_append_slice(out, bytes);
}
