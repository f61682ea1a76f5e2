#include "notifier/attempt.h"

#include <errno.h>

#include "proto/json.h"
#include "runtime/clock.h"

static const struct slice nothing;

struct attempt attempt_of(const char *channel, const struct schedule *schedule, const struct store_due *due,
	struct ticket *ticket)
{
	return (struct attempt){
		.channel = channel,
		.schedule = schedule,
		.ticket = ticket,
		.row = due->row,
		.task_id = due->task_id,
		.made = due->attempt,
		.due_at_ms = due->due_at_ms,
	};
}

int64_t attempt_early_ms(const struct attempt *a, int64_t now_ms)
{
	int64_t early_ms = a->due_at_ms + a->schedule->waits_ms[0] - now_ms;

	return a->made == 0 && early_ms > 0 ? early_ms : 0;
}

void attempt_delivered(const struct attempt *a, int32_t status, struct slice response)
{
	ticket_end(a->ticket, STORE_DUE_DONE, 0, status, NULL, response);
}

void attempt_failed(
	const struct attempt *a, int32_t status, const char *error, struct slice response, int64_t asked_ms)
{
	int64_t wait_ms;

	if (schedule_next(a->schedule, a->made + 1, asked_ms, random_u32(), &wait_ms))
		ticket_end(a->ticket, STORE_DUE_AGAIN, wait_ms, status, error, response);
	else
		attempt_dead(a, status, error, response);
}

void attempt_dead(const struct attempt *a, int32_t status, const char *error, struct slice response)
{
	char row[ID_TEXT_LEN + 1], task[ID_TEXT_LEN + 1];

	id_format(&a->row, row);
	id_format(&a->task_id, task);
	log_warn("delivery_dead", LOG_TEXT("channel", a->channel), LOG_TEXT("id", row),
		LOG_TEXT("task", task), LOG_INT("attempts", a->made + 1), LOG_INT("status", status),
		LOG_TEXT("error", error));
	ticket_end(a->ticket, STORE_DUE_DEAD, 0, status, error, response);
}

void attempt_later(const struct attempt *a, int64_t wait_ms)
{
	ticket_end(a->ticket, STORE_DUE_LATER, wait_ms, 0, NULL, nothing);
}

int attempt_target_text(struct slice target, const char *key, struct buf *out)
{
	struct json_member m = {0};

	while (json_next_member(target, &m))
		if (json_key_is(m.key, key) && json_type_of(m.value) == JSON_STRING)
			return json_decode_string(m.value, out);
	return -ENOENT;
}
