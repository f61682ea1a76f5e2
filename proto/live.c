#include "proto/live.h"

#include <errno.h>
#include <msgpack.h>

#include "proto/fields.h"
#include "proto/wire.h"

enum { MARK_LEN = 6, TEXT_MAX = 255, ERROR_TYPE_MAX = 255, MESSAGE_MAX = 4096 };

/* ---- one event ---- */

/* The words of task_state_name, as the tables here want them. */
static const char *const states[TASK_STATES + 1] = {
	[TASK_SCHEDULED] = "scheduled",
	[TASK_QUEUED] = "queued",
	[TASK_RUNNING] = "running",
	[TASK_SUCCEEDED] = "succeeded",
	[TASK_FAILED] = "failed",
	[TASK_CANCELED] = "canceled",
	[TASK_DEAD] = "dead",
};

#define AT(member) .at = offsetof(struct live_error, member)

static const struct field error_rows[] = {
	{.key = "type", .type = FIELD_TEXT, .required = true, AT(type), .max = ERROR_TYPE_MAX},
	{.key = "message", .type = FIELD_PROSE, AT(message), .max = MESSAGE_MAX},
	{.key = "retryable", .type = FIELD_BOOL, AT(retryable)},
	{.key = "status", .type = FIELD_INT32, AT(status), .min = INT32_MIN, .max = INT32_MAX},
	{.key = "data", .type = FIELD_TEXT, AT(data)},
};

static const struct fields error_fields = FIELDS(error_rows);

#undef AT
#define AT(member) .at = offsetof(struct live_event, member)
#define TIME	   .type = FIELD_INT64, .max = FIELD_TIME_MAX
#define COUNT	   .type = FIELD_UINT32, .max = UINT32_MAX

static const struct field event_rows[] = {
	{.key = "id", .type = FIELD_ID, .required = true, AT(id)},
	{.key = "tenant", .type = FIELD_TEXT, .required = true, AT(tenant), .max = TEXT_MAX},
	{.key = "task", .type = FIELD_TEXT, .required = true, AT(task), CHECK_NAME},
	{.key = "state", .type = FIELD_WORD, .required = true, AT(state), .words = states},
	{.key = "rev", .type = FIELD_INT64, .required = true, AT(rev), .min = 1, .max = INT64_MAX},
	{.key = "is_partial", .type = FIELD_BOOL, AT(is_partial)},
	{.key = "attempt", COUNT, AT(attempt)},
	{.key = "created_at", TIME, AT(created_at_ms)},
	{.key = "due_at", TIME, AT(due_at_ms)},
	{.key = "started_at", TIME, AT(started_at_ms)},
	{.key = "finished_at", TIME, AT(finished_at_ms)},
	{.key = "progress", .type = FIELD_TEXT, AT(progress)},
	{.key = "metadata", .type = FIELD_TEXT, AT(metadata)},
	{.key = "worker", .type = FIELD_TEXT, AT(worker), .max = TEXT_MAX},
	{.key = "error",
		.type = FIELD_MAP,
		AT(error),
		.map = &error_fields,
		HAS(struct live_event, has_error)},
	{.key = "content_type", .type = FIELD_TEXT, AT(content_type)},
	{.key = "result_len", .type = FIELD_INT64, AT(result_len), .max = INT64_MAX},
	{.key = "result_is_json", .type = FIELD_BOOL, AT(result_is_json)},
	{.key = "result", .type = FIELD_BIN, AT(result)},
	{.key = "waits_for", .type = FIELD_ID, AT(waits_for)},
	{.key = "batch", .type = FIELD_ID, AT(batch)},
	{.key = "retry_of", .type = FIELD_ID, AT(retry_of)},
	{.key = "pending", COUNT, AT(deliveries_pending)},
	{.key = "delivered", COUNT, AT(deliveries_delivered)},
	{.key = "dead", COUNT, AT(deliveries_dead)},
	{.key = "span", COUNT, AT(span)},
};

static const struct fields event_fields = FIELDS(event_rows);

int live_event_encode(const struct live_event *e, struct buf *out)
{
	return fields_encode(&event_fields, e, out);
}

int live_event_decode(struct slice bytes, struct live_event *out, struct decode_error *error)
{
	struct live_event e = {.rev = 0};
	int rc = fields_decode(&event_fields, bytes, &e, error);

	if (rc == 0)
		*out = e;
	return rc;
}

bool live_event_id(struct slice bytes, struct id *out)
{
	static const uint8_t key[] = {0xa2, 'i', 'd', 0xc4, ID_LEN};
	enum wire_kind kind = WIRE_SCALAR;
	uint32_t pairs;
	size_t head = bytes.len > sizeof key + ID_LEN ? wire_open(bytes, &kind, &pairs) : 0;

	if (kind != WIRE_MAP || bytes.len < head + sizeof key + ID_LEN ||
		memcmp(bytes.data + head, key, sizeof key) != 0)
		return false;
	memcpy(out->bytes, bytes.data + head + sizeof key, ID_LEN);
	return true;
}

/* ---- marks ---- */

int live_mark_append(const struct live_mark *m, struct buf *out)
{
	const uint8_t bytes[MARK_LEN] = {(uint8_t)(m->shard >> 8), (uint8_t)m->shard,
		(uint8_t)(m->count >> 24), (uint8_t)(m->count >> 16), (uint8_t)(m->count >> 8),
		(uint8_t)m->count};

	return buf_append(out, bytes, sizeof bytes);
}

bool live_mark_at(struct slice marks, size_t index, struct live_mark *out)
{
	const uint8_t *at;

	if (marks.len / MARK_LEN <= index)
		return false;
	at = marks.data + index * MARK_LEN;
	out->shard = (uint16_t)(at[0] << 8 | at[1]);
	out->count = (uint32_t)at[2] << 24 | (uint32_t)at[3] << 16 | (uint32_t)at[4] << 8 | at[5];
	return true;
}

/* ---- the message ---- */

#undef AT
#define AT(member) .at = offsetof(struct live_message, member)

static const struct field message_rows[] = {
	{.key = "v", .type = FIELD_VERSION, .required = true},
	{.key = "publisher",
		.type = FIELD_INT64,
		.required = true,
		AT(publisher),
		.min = 1,
		.max = INT64_MAX},
	{.key = "marks",
		.type = FIELD_BIN,
		.required = true,
		AT(marks),
		.max = (int64_t)LIVE_MARKS_MAX * MARK_LEN},
	{.key = "events", .type = FIELD_RAW, AT(events)},
};

static const struct fields message_fields = FIELDS(message_rows);

static int append_packed(void *out, const char *bytes, size_t len)
{
	return buf_append(out, bytes, len);
}

/* Their array is put together first, so that it is held against all limits like any other field. */
int live_message_encode(
	uint64_t publisher, struct slice marks, struct slice events, uint32_t count, struct buf *out)
{
	struct live_message m = {.publisher = publisher, .marks = marks};
	msgpack_packer packer;
	struct buf list;
	int rc;

	buf_init(&list, events.len + 5);
	msgpack_packer_init(&packer, &list, append_packed);
	msgpack_pack_array(&packer, count);
	rc = buf_append_slice(&list, events);
	if (count > 0)
		m.events = buf_slice(&list);
	if (rc == 0)
		rc = marks.len % MARK_LEN ? -EINVAL : fields_encode(&message_fields, &m, out);
	buf_done(&list);
	return rc;
}

static int refuse(struct decode_error *error, const char *path, const char *reason)
{
	*error = (struct decode_error){.path = ""};
	strncpy(error->path, path, sizeof error->path - 1);
	strncpy(error->reason, reason, sizeof error->reason - 1);
	return -EBADMSG;
}

int live_message_decode(struct slice bytes, struct live_message *out, struct decode_error *error)
{
	struct live_message m = {.publisher = 0};
	enum wire_kind kind = WIRE_ARRAY;
	uint32_t count;
	int rc = fields_decode(&message_fields, bytes, &m, error);

	if (rc < 0)
		return rc;
	if (m.marks.len % MARK_LEN)
		return refuse(error, "marks", "not whole marks");
	if (slice_is_set(m.events))
		wire_open(m.events, &kind, &count);
	if (kind != WIRE_ARRAY)
		return refuse(error, "events", "not an array");
	*out = m;
	return 0;
}

bool live_next_event(struct slice events, size_t *at, struct slice *out)
{
	enum wire_kind kind;
	const char *reason;
	uint32_t count;
	int64_t len;

	if (*at == 0 && slice_is_set(events))
		*at = wire_open(events, &kind, &count);
	if (*at >= events.len)
		return false;
	len = wire_object_len(slice_of(events.data + *at, events.len - *at), PROTO_DEPTH_MAX, &reason);
	if (len <= 0)
		return false;
	*out = slice_of(events.data + *at, (size_t)len);
	*at += (size_t)len;
	return true;
}
