#include "proto/fields.h"

#include <assert.h>
#include <errno.h>
#include <msgpack.h>
#include <stdio.h>

#include "base/utf8.h"
#include "proto/id.h"
#include "proto/wire.h"

/* Bytes; scalars take nothing from a zone, but without one msgpack-c makes one for each string. */
enum { ZONE_CHUNK = 64 };

struct decoding {
	struct slice rest; /* of a checked message */
	struct decode_error *error;
	const char *parent; /* key of the map that is being read; NULL at the top */
	msgpack_zone zone;
};

struct encoding {
	msgpack_packer packer;
	struct buf *out;
};

/* How each type is read, held against its limits, and written. */
struct codec {
	int (*get)(struct decoding *d, const struct field *f, void *record);
	bool (*is_there)(const struct field *f, const void *record);
	int (*check)(const struct field *f, const void *record, unsigned depth);
	void (*put)(struct encoding *e, const struct field *f, const void *record);
};

static const struct codec codecs[];

static const void *member(const struct field *f, const void *record)
{
	return (const char *)record + f->at;
}

static void set_member(const struct field *f, void *record, const void *value, size_t size)
{
	memcpy((char *)record + f->at, value, size);
}

static struct slice slice_member(const struct field *f, const void *record)
{
	struct slice s;

	memcpy(&s, member(f, record), sizeof s);
	return s;
}

static int refuse_as(struct decoding *d, const char *parent, const char *key, const char *reason)
{
	*d->error = (struct decode_error){.path = ""};
	snprintf(d->error->path, sizeof d->error->path, "%s%s%s", parent ? parent : "",
		parent && key ? "." : "", key ? key : "");
	snprintf(d->error->reason, sizeof d->error->reason, "%s", reason);
	return -EBADMSG;
}

static int refuse(struct decoding *d, const struct field *f, const char *reason)
{
	return refuse_as(d, d->parent, f->key, reason);
}

/* ---- numbers ---- */

static struct slice after(struct slice s, size_t len)
{
	return slice_of(s.data + len, s.len - len);
}

/*
 * Only for what is no container (the answer is then an empty map): so msgpack-c takes no memory, and its own limit of 32
 * levels does not matter.
 */
static msgpack_object read_scalar(struct decoding *d)
{
	msgpack_object o = {.type = MSGPACK_OBJECT_MAP};
	enum wire_kind kind;
	uint32_t count;
	size_t len = 0;

	if (wire_open(d->rest, &kind, &count) == 0 &&
		msgpack_unpack((const char *)d->rest.data, d->rest.len, &len, &d->zone, &o) > 0)
		d->rest = after(d->rest, len);
	return o;
}

static int read_integer(struct decoding *d, const struct field *f, int64_t *out)
{
	msgpack_object o = read_scalar(d);

	if (o.type != MSGPACK_OBJECT_POSITIVE_INTEGER && o.type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return refuse(d, f, "not an integer");
	if (o.type == MSGPACK_OBJECT_POSITIVE_INTEGER && o.via.u64 > INT64_MAX)
		return refuse(d, f, "out of range");
	*out = o.via.i64;
	if (*out < f->min || *out > f->max)
		return refuse(d, f, "out of range");
	return 0;
}

static size_t integer_size(const struct field *f)
{
	return f->type == FIELD_INT64 ? sizeof(int64_t) : sizeof(int32_t);
}

static int64_t integer_member(const struct field *f, const void *record)
{
	int64_t wide;
	uint32_t narrow;

	if (f->type == FIELD_INT64) {
		memcpy(&wide, member(f, record), sizeof wide);
		return wide;
	}
	memcpy(&narrow, member(f, record), sizeof narrow);
	return f->type == FIELD_INT32 ? (int32_t)narrow : (int64_t)narrow;
}

static int get_integer(struct decoding *d, const struct field *f, void *record)
{
	int64_t wide;
	uint32_t narrow;
	int rc = read_integer(d, f, &wide);

	if (rc < 0)
		return rc;
	narrow = (uint32_t)wide;
	set_member(f, record, f->type == FIELD_INT64 ? (void *)&wide : (void *)&narrow, integer_size(f));
	return 0;
}

static bool has_integer(const struct field *f, const void *record)
{
	return integer_member(f, record) != 0;
}

static int check_integer(const struct field *f, const void *record, unsigned depth)
{
	int64_t number = integer_member(f, record);

	return number >= f->min && number <= f->max ? 0 : -EINVAL;
}

static void put_integer(struct encoding *e, const struct field *f, const void *record)
{
	msgpack_pack_int64(&e->packer, integer_member(f, record));
}

static int get_version(struct decoding *d, const struct field *f, void *record)
{
	const struct field version = {.key = f->key, .min = INT64_MIN, .max = INT64_MAX};
	int64_t number;
	int rc = read_integer(d, &version, &number);

	if (rc < 0)
		return rc;
	return number == PROTO_VERSION ? 0 : refuse(d, f, "not a version known here");
}

static void put_version(struct encoding *e, const struct field *f, const void *record)
{
	msgpack_pack_int64(&e->packer, PROTO_VERSION);
}

static int get_bool(struct decoding *d, const struct field *f, void *record)
{
	msgpack_object o = read_scalar(d);

	if (o.type != MSGPACK_OBJECT_BOOLEAN)
		return refuse(d, f, "not a boolean");
	set_member(f, record, &o.via.boolean, sizeof(bool));
	return 0;
}

static bool has_bool(const struct field *f, const void *record)
{
	return *(const bool *)member(f, record);
}

static void put_bool(struct encoding *e, const struct field *f, const void *record)
{
	if (has_bool(f, record))
		msgpack_pack_true(&e->packer);
	else
		msgpack_pack_false(&e->packer);
}

/* ---- strings ---- */

static struct slice str_of(const msgpack_object *o)
{
	return slice_of(o->via.str.ptr, o->via.str.size);
}

static int read_str(struct decoding *d, const struct field *f, struct slice *out)
{
	msgpack_object o = read_scalar(d);

	if (o.type != MSGPACK_OBJECT_STR)
		return refuse(d, f, "not a string");
	*out = str_of(&o);
	if (!utf8_is_valid(*out))
		return refuse(d, f, "not UTF-8");
	return 0;
}

static bool fits(const struct field *f, size_t len)
{
	return len <= (f->max ? (uint64_t)f->max : UINT32_MAX);
}

static bool has_text(const struct field *f, const void *record)
{
	return slice_member(f, record).len > 0;
}

static int get_text(struct decoding *d, const struct field *f, void *record)
{
	char reason[sizeof d->error->reason];
	struct slice text;
	int rc = read_str(d, f, &text);

	if (rc < 0)
		return rc;
	if (text.len == 0 || !fits(f, text.len))
		return refuse(d, f, text.len == 0 ? "empty" : "too long");
	rc = f->check ? f->check(text) : 0;
	if (rc == -ENOMEM)
		return rc;
	snprintf(reason, sizeof reason, "not %s", f->expects ? f->expects : "");
	if (rc < 0)
		return refuse(d, f, reason);
	set_member(f, record, &text, sizeof text);
	return 0;
}

static int check_text(const struct field *f, const void *record, unsigned depth)
{
	struct slice text = slice_member(f, record);

	if (text.len == 0 || !fits(f, text.len) || !utf8_is_valid(text))
		return -EINVAL;
	return f->check ? f->check(text) : 0;
}

static void put_text(struct encoding *e, const struct field *f, const void *record)
{
	wire_str(slice_member(f, record), e->out);
}

static int get_prose(struct decoding *d, const struct field *f, void *record)
{
	struct slice text;
	int rc = read_str(d, f, &text);

	if (rc < 0)
		return rc;
	text.len = utf8_cut(text, (size_t)f->max);
	set_member(f, record, &text, sizeof text);
	return 0;
}

/* Bytes that are no text come from programs' output, and three bytes of U+FFFD take the place of each. */
static void put_prose(struct encoding *e, const struct field *f, const void *record)
{
	struct slice text = slice_member(f, record);
	struct buf valid;

	text.len = utf8_cut(text, (size_t)f->max);
	if (utf8_is_valid(text)) {
		wire_str(text, e->out);
		return;
	}
	buf_init(&valid, 3 * text.len);
	if (utf8_append_valid(&valid, text) < 0)
		e->out->error = -ENOMEM;
	text = buf_slice(&valid);
	text.len = utf8_cut(text, (size_t)f->max);
	wire_str(text, e->out);
	buf_done(&valid);
}

static unsigned word_member(const struct field *f, const void *record)
{
	unsigned word;

	memcpy(&word, member(f, record), sizeof word);
	return word;
}

static int get_word(struct decoding *d, const struct field *f, void *record)
{
	struct slice text;
	int rc = read_str(d, f, &text);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; f->words[i]; i++) {
		if (slice_is_text(text, f->words[i])) {
			set_member(f, record, &i, sizeof i);
			return 0;
		}
	}
	refuse(d, f, "not a word known here");
	return -ENOMSG;
}

static int check_word(const struct field *f, const void *record, unsigned depth)
{
	unsigned word = word_member(f, record);

	for (unsigned i = 0; f->words[i]; i++) {
		if (i == word)
			return 0;
	}
	return -EINVAL;
}

static void put_word(struct encoding *e, const struct field *f, const void *record)
{
	wire_str(slice_text(f->words[word_member(f, record)]), e->out);
}

/* ---- bytes ---- */

static int read_bin(struct decoding *d, const struct field *f, struct slice *out)
{
	msgpack_object o = read_scalar(d);

	if (o.type != MSGPACK_OBJECT_BIN)
		return refuse(d, f, "not a bin");
	*out = slice_of(o.via.bin.ptr, o.via.bin.size);
	return 0;
}

static bool has_slice(const struct field *f, const void *record)
{
	return slice_is_set(slice_member(f, record));
}

static int get_bin(struct decoding *d, const struct field *f, void *record)
{
	struct slice bytes = slice_of(NULL, 0);
	int rc = read_bin(d, f, &bytes);

	if (rc < 0)
		return rc;
	if (!fits(f, bytes.len))
		return refuse(d, f, "too long");
	set_member(f, record, &bytes, sizeof bytes);
	return 0;
}

static int check_bin(const struct field *f, const void *record, unsigned depth)
{
	return fits(f, slice_member(f, record).len) ? 0 : -EINVAL;
}

static void put_bin(struct encoding *e, const struct field *f, const void *record)
{
	wire_bin(slice_member(f, record), e->out);
}

static int get_id(struct decoding *d, const struct field *f, void *record)
{
	struct slice bytes;
	struct id id;
	int rc = read_bin(d, f, &bytes);

	if (rc < 0)
		return rc;
	if (id_from_bytes(bytes, &id) < 0 || id_is_zero(&id))
		return refuse(d, f, "not an id");
	set_member(f, record, &id, sizeof id);
	return 0;
}

static bool has_id(const struct field *f, const void *record)
{
	return !id_is_zero(member(f, record));
}

static int check_id(const struct field *f, const void *record, unsigned depth)
{
	return has_id(f, record) ? 0 : -EINVAL;
}

static void put_id(struct encoding *e, const struct field *f, const void *record)
{
	wire_bin(slice_of(member(f, record), ID_LEN), e->out);
}

/* The length of the next object, whatever it is. */
static size_t object_len(const struct decoding *d)
{
	const char *reason;
	int64_t len = wire_object_len(d->rest, PROTO_DEPTH_MAX, &reason);

	assert(len > 0);
	return (size_t)len;
}

static int get_raw(struct decoding *d, const struct field *f, void *record)
{
	struct slice object = slice_of(d->rest.data, object_len(d));

	if (!fits(f, object.len))
		return refuse(d, f, "too long");
	set_member(f, record, &object, sizeof object);
	d->rest = after(d->rest, object.len);
	return 0;
}

static int check_raw(const struct field *f, const void *record, unsigned depth)
{
	struct slice object = slice_member(f, record);
	const char *reason;

	if (!fits(f, object.len))
		return -EINVAL;
	return wire_object_len(object, PROTO_DEPTH_MAX - depth, &reason) == (int64_t)object.len ? 0 : -EINVAL;
}

static void put_raw(struct encoding *e, const struct field *f, const void *record)
{
	buf_append_slice(e->out, slice_member(f, record));
}

/* ---- maps ---- */

static const struct field *find(const struct fields *f, struct slice key, size_t first)
{
	for (size_t n = 0; n < f->len; n++) {
		const struct field *row = &f->rows[(first + n) % f->len];

		if (slice_is_text(key, row->key))
			return row;
	}
	return NULL;
}

static int missing(struct decoding *d, const struct fields *f, uint32_t seen)
{
	for (size_t i = 0; i < f->len; i++) {
		if (f->rows[i].required && !(seen & UINT32_C(1) << i))
			return refuse(d, &f->rows[i], "missing");
	}
	return 0;
}

/* `seen` has a bit for each row. A sender that keeps our order finds each key at the first look. */
static int read_pair(struct decoding *d, const struct fields *f, void *record, uint32_t *seen, size_t *next)
{
	msgpack_object key = read_scalar(d);
	const struct field *row;
	uint32_t bit;

	if (key.type != MSGPACK_OBJECT_STR)
		return refuse_as(d, d->parent, NULL, "a key that is not a string");
	row = find(f, str_of(&key), *next);
	if (!row) {
		d->rest = after(d->rest, object_len(d));
		return 0;
	}
	bit = UINT32_C(1) << (row - f->rows);
	if (*seen & bit)
		return refuse(d, row, "there twice");
	*seen |= bit;
	*next = (size_t)(row - f->rows) + 1;
	return codecs[row->type].get(d, row, record);
}

static int read_fields(struct decoding *d, const struct fields *f, void *record)
{
	enum wire_kind kind;
	uint32_t pairs = 0;
	uint32_t seen = 0;
	size_t next = 0;
	size_t head = wire_open(d->rest, &kind, &pairs);

	assert(f->len <= 32);
	if (kind != WIRE_MAP)
		return refuse_as(d, d->parent, NULL, "not a map");
	d->rest = after(d->rest, head);
	while (pairs-- > 0) {
		int rc = read_pair(d, f, record, &seen, &next);

		if (rc < 0)
			return rc;
	}
	return missing(d, f, seen);
}

static bool is_there(const struct field *f, const void *record)
{
	return f->required || codecs[f->type].is_there(f, record);
}

static int check_fields(const struct fields *f, const void *record, unsigned depth)
{
	for (size_t i = 0; i < f->len; i++) {
		const struct field *row = &f->rows[i];
		int rc = is_there(row, record) ? codecs[row->type].check(row, record, depth) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

static void put_fields(struct encoding *e, const struct fields *f, const void *record)
{
	uint32_t pairs = 0;

	for (size_t i = 0; i < f->len; i++)
		pairs += is_there(&f->rows[i], record);
	msgpack_pack_map(&e->packer, pairs);
	for (size_t i = 0; i < f->len; i++) {
		const struct field *row = &f->rows[i];

		if (!is_there(row, record))
			continue;
		wire_str(slice_text(row->key), e->out);
		codecs[row->type].put(e, row, record);
	}
}

static int get_map(struct decoding *d, const struct field *f, void *record)
{
	bool there = true;
	int rc;

	assert(!d->parent);
	d->parent = f->key;
	rc = read_fields(d, f->map, (char *)record + f->at);
	d->parent = NULL;
	memcpy((char *)record + f->has, &there, sizeof there);
	return rc;
}

static bool has_map(const struct field *f, const void *record)
{
	return *((const bool *)record + f->has);
}

static int check_map(const struct field *f, const void *record, unsigned depth)
{
	return check_fields(f->map, member(f, record), depth + 1);
}

static void put_map(struct encoding *e, const struct field *f, const void *record)
{
	put_fields(e, f->map, member(f, record));
}

static bool is_always(const struct field *f, const void *record)
{
	return true;
}

static int check_nothing(const struct field *f, const void *record, unsigned depth)
{
	return 0;
}

static const struct codec codecs[] = {
	[FIELD_VERSION] = {get_version, is_always, check_nothing, put_version},
	[FIELD_ID] = {get_id, has_id, check_id, put_id},
	[FIELD_BOOL] = {get_bool, has_bool, check_nothing, put_bool},
	[FIELD_INT32] = {get_integer, has_integer, check_integer, put_integer},
	[FIELD_UINT32] = {get_integer, has_integer, check_integer, put_integer},
	[FIELD_INT64] = {get_integer, has_integer, check_integer, put_integer},
	[FIELD_WORD] = {get_word, is_always, check_word, put_word},
	[FIELD_TEXT] = {get_text, has_text, check_text, put_text},
	[FIELD_PROSE] = {get_prose, has_text, check_nothing, put_prose},
	[FIELD_BIN] = {get_bin, has_slice, check_bin, put_bin},
	[FIELD_RAW] = {get_raw, has_slice, check_raw, put_raw},
	[FIELD_MAP] = {get_map, has_map, check_map, put_map},
};

static int write_packed(void *out, const char *bytes, size_t len)
{
	return buf_append(out, bytes, len);
}

int fields_encode(const struct fields *f, const void *record, struct buf *out)
{
	struct encoding e = {.out = out};
	int rc = check_fields(f, record, 1);

	if (rc < 0)
		return rc;
	msgpack_packer_init(&e.packer, out, write_packed);
	put_fields(&e, f, record);
	return out->error;
}

int fields_decode(const struct fields *f, struct slice bytes, void *record, struct decode_error *error)
{
	struct decoding d = {.rest = bytes, .error = error};
	int rc = wire_check(bytes, error);

	if (rc < 0)
		return rc;
	if (!msgpack_zone_init(&d.zone, ZONE_CHUNK))
		return -ENOMEM;
	rc = read_fields(&d, f, record);
	msgpack_zone_destroy(&d.zone);
	return rc;
}
