#include "proto/control.h"

#include <errno.h>

#include "proto/fields.h"

static const char *const kinds[] = {
	[CONTROL_CANCEL] = "cancel",
	NULL,
};

#define AT(member) .at = offsetof(struct control, member)

static const struct field rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "kind", .type = FIELD_WORD, .required = true, AT(kind), .words = kinds},
	{.key = "id", .type = FIELD_ID, .required = true, AT(id)},
	{.key = "at", .type = FIELD_INT64, .required = true, AT(at_ms), .max = FIELD_TIME_MAX},
};

static const struct fields fields = FIELDS(rows);
static const struct fields head = {rows, 2}; /* v and kind */

int control_encode(const struct control *c, struct buf *out)
{
	return fields_encode(&fields, c, out);
}

/* A kind that comes later may give the other keys another type, so the kind is looked at first. */
int control_decode(struct slice bytes, struct control *out, struct decode_error *error)
{
	struct control c = {.at_ms = 0};
	int rc = fields_decode(&head, bytes, &c, error);

	if (rc == 0)
		rc = fields_decode(&fields, bytes, &c, error);
	if (rc == 0)
		*out = c;
	return rc;
}
