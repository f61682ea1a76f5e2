#include "gateway/delivery_render.h"

#include "proto/json.h"
#include "service/json_out.h"

static const char *state_name(enum store_delivery_state state)
{
	switch (state) {
	case STORE_DELIVERY_PENDING: return "pending";
	case STORE_DELIVERY_DELIVERED: return "delivered";
	case STORE_DELIVERY_DEAD: break;
	}
	return "dead";
}

/* Of the target only where it is: what else a channel keeps there is its own. */
static struct slice address_of(struct slice target)
{
	struct json_member m = {0};

	while (slice_is_set(target) && json_next_member(target, &m))
		if (json_key_is(m.key, "url") || json_key_is(m.key, "to"))
			return m.value;
	return (struct slice){0};
}

static void render_attempt(const struct store_attempt *a, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_number(out, "number", a->number);
	json_out_time(out, "at", a->at_ms);
	json_out_number(out, "took_ms", a->took_ms);
	if (a->status)
		json_out_number(out, "status", a->status);
	else
		json_out_raw(out, "status", (struct slice){0});
	json_out_text(out, "error", a->error);
	json_out_text(out, "response", a->response);
	json_out_close(out, '}');
}

static void render_links(const struct store_delivery *d, struct buf *out)
{
	char id[ID_TEXT_LEN + 1], task[ID_TEXT_LEN + 1];

	id_format(&d->id, id);
	id_format(&d->task_id, task);
	json_out_open(out, "links", '{');
	json_out_key(out, "self");
	buf_printf(out, "\"" DELIVERY_PATH "%s\"", id);
	json_out_key(out, "task");
	buf_printf(out, "\"/v1/tasks/%s\"", task);
	json_out_close(out, '}');
}

void delivery_render(const struct store_delivery *d, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_id(out, "id", &d->id);
	json_out_id(out, "task_id", &d->task_id);
	json_out_text(out, "channel", d->channel);
	json_out_raw(out, "target", address_of(d->target));
	if (id_is_zero(&d->endpoint))
		json_out_raw(out, "endpoint", (struct slice){0});
	else
		json_out_id(out, "endpoint", &d->endpoint);
	json_out_text(out, "status", slice_text(state_name(d->state)));
	json_out_time(out, "next_at", d->next_at_ms);
	json_out_number(out, "attempts_made", d->attempts_made);
	json_out_open(out, "attempts", '[');
	for (size_t i = 0; i < d->attempts_len; i++)
		render_attempt(&d->attempts[i], out);
	json_out_close(out, ']');
	render_links(d, out);
	json_out_close(out, '}');
}

void delivery_render_list(const struct store_delivery *deliveries, size_t len, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_open(out, "deliveries", '[');
	for (size_t i = 0; i < len; i++)
		delivery_render(&deliveries[i], out);
	json_out_close(out, ']');
	json_out_close(out, '}');
}
