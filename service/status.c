#include "service/status.h"

#include "service/json_out.h"

enum status_presence status_presence(const struct store_task *task, int64_t now_ms, int64_t lifetime_ms)
{
	switch (task->presence) {
	case STORE_PRESENT: return STATUS_KNOWN;
	case STORE_TOMBSTONE: return STATUS_GONE;
	case STORE_ABSENT: break;
	}
	return now_ms - (int64_t)id_time_ms(&task->id) > lifetime_ms ? STATUS_GONE : STATUS_QUEUED;
}

struct store_task status_queued(const struct id *id)
{
	return (struct store_task){
		.id = *id,
		.state = TASK_QUEUED,
		.attempt = 1,
		.created_at_ms = (int64_t)id_time_ms(id),
	};
}

static void link_to(struct buf *out, const char *key, const struct id *id, const char *tail)
{
	char text[ID_TEXT_LEN + 1];

	id_format(id, text);
	json_out_key(out, key);
	buf_append_text(out, "\"/v1/tasks/");
	buf_append_text(out, text);
	buf_append_text(out, tail);
	buf_append_byte(out, '"');
}

void status_render_links(const struct id *id, struct buf *out)
{
	json_out_open(out, "links", '{');
	link_to(out, "self", id, "");
	link_to(out, "result", id, "/result");
	link_to(out, "events", id, "/events");
	link_to(out, "ws", id, "/ws");
	link_to(out, "deliveries", id, "/deliveries");
	json_out_close(out, '}');
}

static void render_result(const struct store_task *t, struct buf *out)
{
	if (!slice_is_set(t->content_type)) {
		json_out_raw(out, "result_info", (struct slice){0});
		return;
	}
	if (t->result_is_json && slice_is_set(t->result))
		json_out_raw(out, "result", t->result);
	json_out_open(out, "result_info", '{');
	json_out_text(out, "content_type", t->content_type);
	json_out_number(out, "size", t->result_len);
	link_to(out, "href", &t->id, "/result");
	json_out_close(out, '}');
}

void status_render_error(const struct store_error *error, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_text(out, "type", error->type);
	json_out_text(out, "message", error->message);
	json_out_bool(out, "retryable", error->retryable);
	if (error->status)
		json_out_number(out, "status", error->status);
	else
		json_out_raw(out, "status", (struct slice){0});
	json_out_raw(out, "data", error->data);
	json_out_close(out, '}');
}

static void render_error(const struct store_task *t, struct buf *out)
{
	json_out_key(out, "error");
	if (slice_is_set(t->error.type))
		status_render_error(&t->error, out);
	else
		buf_append_text(out, "null");
}

static void render_deliveries(const struct store_task *t, struct buf *out)
{
	json_out_open(out, "deliveries", '{');
	json_out_number(out, "pending", t->deliveries_pending);
	json_out_number(out, "delivered", t->deliveries_delivered);
	json_out_number(out, "dead", t->deliveries_dead);
	json_out_close(out, '}');
}

/* Members that only some tasks have. */
static void render_relations(const struct store_task *t, struct buf *out)
{
	if (t->state == TASK_SCHEDULED && t->due_at_ms)
		json_out_time(out, "due_at", t->due_at_ms);
	if (!id_is_zero(&t->waits_for))
		json_out_id(out, "waits_for", &t->waits_for);
	if (!id_is_zero(&t->batch))
		json_out_id(out, "batch", &t->batch);
	if (!id_is_zero(&t->retry_of))
		json_out_id(out, "retry_of", &t->retry_of);
}

void status_render(const struct store_task *t, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_id(out, "id", &t->id);
	json_out_text(out, "task", t->task);
	json_out_text(out, "status", slice_text(task_state_name(t->state)));
	json_out_number(out, "attempt", t->attempt);
	json_out_time(out, "created_at", t->created_at_ms);
	json_out_time(out, "started_at", t->started_at_ms);
	json_out_time(out, "finished_at", t->finished_at_ms);
	json_out_raw(out, "progress", t->progress);
	render_result(t, out);
	render_error(t, out);
	render_deliveries(t, out);
	json_out_raw(out, "metadata", t->metadata);
	render_relations(t, out);
	json_out_number(out, "rev", (int64_t)t->rev);
	status_render_links(&t->id, out);
	json_out_close(out, '}');
}
