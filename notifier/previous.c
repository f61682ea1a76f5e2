#include "notifier/previous.h"

#include <errno.h>

#include "proto/json.h"

static void append_task(const struct store_task *task, struct buf *out)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&task->id, id);
	buf_printf(out, "{\"id\":\"%s\"", id);
	if (task->presence != STORE_PRESENT) {
		buf_append_text(out, "}");
		return;
	}
	buf_append_text(out, ",\"task\":");
	json_append_string(out, task->task);
	buf_printf(out, ",\"status\":\"%s\"", task_state_name(task->state));
	if (task->result_is_json && slice_is_set(task->result)) {
		buf_append_text(out, ",\"result\":");
		buf_append_slice(out, task->result);
	} else if (slice_is_set(task->content_type)) {
		buf_append_text(out, ",\"result_info\":{\"content_type\":");
		json_append_string(out, task->content_type);
		buf_printf(out, ",\"size\":%lld,\"href\":\"/v1/tasks/%s/result\"}",
			(long long)task->result_len, id);
	}
	buf_append_text(out, "}");
}

static void append_batch(const struct store_due *due, struct buf *out)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&due->previous_batch, id);
	buf_printf(out, "{\"batch\":\"%s\"", id);
	for (int state = 0; state < TASK_STATES; state++) {
		if (task_state_is_terminal((enum task_state)state))
			buf_printf(out, ",\"%s\":%u", task_state_name((enum task_state)state),
				due->previous_counts[state]);
	}
	buf_append_text(out, "}");
}

/* The object's members but `previous`, as they stand. Returns whether there was any. */
static bool append_members(struct slice object, struct buf *out)
{
	struct json_member m = {0};
	bool is_first = true;

	while (json_next_member(object, &m)) {
		if (json_key_is(m.key, "previous"))
			continue;
		if (!is_first)
			buf_append_byte(out, ',');
		is_first = false;
		buf_append_byte(out, '"');
		buf_append_slice(out, m.key);
		buf_append_text(out, "\":");
		buf_append_slice(out, m.value);
	}
	return !is_first;
}

int previous_join(struct slice payload, const struct store_due *due, struct buf *out)
{
	struct slice object = payload.len ? payload : slice_text("{}");
	struct json_error ignored;

	if (json_check(object, &ignored) < 0 || json_type_of(object) != JSON_OBJECT)
		return -EBADMSG;
	buf_append_byte(out, '{');
	if (append_members(object, out))
		buf_append_byte(out, ',');
	buf_append_text(out, "\"previous\":");
	if (id_is_zero(&due->previous_batch))
		append_task(&due->previous, out);
	else
		append_batch(due, out);
	return buf_append_byte(out, '}');
}
