/*
 * A message as a table of its fields: request, reply, context and control are each one table, which encodes and decodes
 * them. Adding a field is a line in the struct and a row in its table.
 *
 * The first row of a message is { .key = "v", .type = FIELD_VERSION }. A field that is not required is left out when it
 * holds nothing: zero, false, a slice that is not set.
 */
#ifndef PROTO_FIELDS_H
#define PROTO_FIELDS_H

#include "base/buf.h"
#include "proto/decode.h"
#include "proto/name.h"

/* The type of the member behind each is given in brackets. */
enum field_type {
	FIELD_VERSION, /* [none] the integer PROTO_VERSION */
	FIELD_ID,      /* [struct id] 16-byte bin, not all zero */
	FIELD_BOOL,    /* [bool] */
	FIELD_INT32,   /* [int32_t] of min to max */
	FIELD_UINT32,  /* [uint32_t] of min to max */
	FIELD_INT64,   /* [int64_t, or uint64_t with min >= 0] of min to max */
	FIELD_WORD,    /* [enum] str, one of `words` by its index; always there */
	FIELD_TEXT,    /* [slice] UTF-8 str of 1 to max bytes that passes `check` */
	FIELD_PROSE,   /* [slice] UTF-8 str for people: cut to max bytes both ways, made valid when encoded */
	FIELD_BIN,     /* [slice] bin of at most max bytes */
	FIELD_RAW,     /* [slice] one object of any type, as it stands, of at most max bytes */
	FIELD_MAP,     /* [the struct that `map` describes] there when the bool at `has` is */
};

struct fields {
	const struct field *rows;
	size_t len; /* at most 32 */
};

struct field {
	const char *key;
	enum field_type type;
	bool required;
	size_t at;   /* offset of the member */
	int64_t min; /* integers */
	int64_t max; /* integers, and the bytes of slices; of slices 0: as much as the message holds */
	int (*check)(struct slice); /* text: 0, -EINVAL or -ENOMEM */
	const char *expects;	    /* text: what `check` wants, as in "not <expects>" */
	const char *const *words;   /* word: the texts, NULL after the last */
	const struct fields *map;
	size_t has; /* map: offset of the bool that says it is there */
};

#define FIELDS(rows)                                     \
	{                                                \
		(rows), sizeof(rows) / sizeof((rows)[0]) \
	}

/* 9999-12-31T23:59:59.999Z: times and sums of them stay printable and far from overflow. */
#define FIELD_TIME_MAX INT64_C(253402300799999)

/* What more than one message has. */
extern const struct fields retry_fields; /* struct retry_policy */
int field_check_name(struct slice text);
int field_check_content_type(struct slice text);

/* Parts of rows. */
#define CHECK_NAME .max = NAME_MAX_LEN, .check = field_check_name, .expects = "a task name"
#define CHECK_CONTENT_TYPE \
	.max = CONTENT_TYPE_MAX, .check = field_check_content_type, .expects = "printable ASCII"
#define HAS(record, flag) .has = offsetof(record, flag)

/*
 * Appends. 0; -EINVAL for a record that fields_decode would refuse, with nothing appended; -ENOMEM or the buffer's error.
 */
int fields_encode(const struct fields *f, const void *record, struct buf *out);
/*
 * Into a zeroed record. 0; -EBADMSG with *error; -ENOMSG with *error for a word that is none; -ENOMEM. The record's
 * content counts only with 0. Borrows: slices point into `bytes`.
 */
int fields_decode(const struct fields *f, struct slice bytes, void *record, struct decode_error *error);

#endif
