#include "notifier/message.h"

#include <errno.h>
#include <inttypes.h>

#include "runtime/clock.h"
#include "service/json_out.h"
#include "service/status.h"

enum {
	HEADERS_BYTES_MAX = 8192,
	BODY_TYPICAL = 1024, /* bytes beside the result */
};

struct type_name {
	char text[32];
};

static struct type_name type_of(enum task_state state)
{
	struct type_name type;

	snprintf(type.text, sizeof type.text, "task.%s", task_state_name(state));
	return type;
}

int message_render(const struct store_task *task, struct buf *out)
{
	buf_reserve(out, BODY_TYPICAL + task->result.len);
	json_out_open(out, NULL, '{');
	json_out_text(out, "type", slice_text(type_of(task->state).text));
	json_out_time(out, "timestamp", task->finished_at_ms);
	json_out_key(out, "data");
	status_render(task, out);
	json_out_close(out, '}');
	return out->error;
}

/* Each line ends in a NUL. */
static void add_line(struct buf *out, const char *name, const char *value)
{
	buf_append_text(out, name);
	buf_append(out, ": ", 2);
	buf_append_text(out, value);
	buf_append_byte(out, '\0');
}

static int add_signature(const struct message *m, const struct signature_keys *keys, const char *id,
	int64_t now_ms, struct buf *out)
{
	char timestamp[24];
	struct buf signature;
	int rc;

	snprintf(timestamp, sizeof timestamp, "%" PRId64, now_ms / 1000);
	add_line(out, "webhook-id", id);
	add_line(out, "webhook-timestamp", timestamp);
	buf_init(&signature, HEADERS_BYTES_MAX);
	rc = signature_append(keys, slice_text(id), now_ms / 1000, m->body, &signature);
	if (rc == 0)
		add_line(out, "webhook-signature", buf_text(&signature));
	buf_done(&signature);
	return rc;
}

static void add_cloudevents(const struct message *m, const char *id, struct buf *out)
{
	char task_id[ID_TEXT_LEN + 1], source[ID_TEXT_LEN + 16], time[CLOCK_TEXT_LEN + 1];

	id_format(&m->task_id, task_id);
	snprintf(source, sizeof source, "/v1/tasks/%s", task_id);
	clock_format(m->finished_at_ms, time);
	add_line(out, "ce-specversion", "1.0");
	add_line(out, "ce-id", id);
	add_line(out, "ce-type", type_of(m->state).text);
	add_line(out, "ce-source", source);
	add_line(out, "ce-time", time);
}

static void point_at_lines(struct message_headers *h)
{
	const char *at = (const char *)h->text.data;
	const char *end = at + h->text.len;

	for (size_t i = 0; i < MESSAGE_HEADERS_MAX && at < end; i++) {
		h->lines[i] = at;
		at += strlen(at) + 1;
	}
}

int message_make_headers(const struct message *m, const struct signature_keys *keys, bool with_cloudevents,
	int64_t now_ms, struct message_headers *out)
{
	char id[ID_TEXT_LEN + 1];
	int rc;

	*out = (struct message_headers){0};
	buf_init(&out->text, HEADERS_BYTES_MAX);
	id_format(&m->id, id);
	add_line(&out->text, "content-type", "application/json");
	rc = add_signature(m, keys, id, now_ms, &out->text);
	if (with_cloudevents)
		add_cloudevents(m, id, &out->text);
	if (rc < 0 || out->text.error)
		return -ENOMEM;
	point_at_lines(out);
	return 0;
}

void message_headers_done(struct message_headers *h)
{
	buf_done(&h->text);
}
