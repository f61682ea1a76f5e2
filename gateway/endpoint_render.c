#include "gateway/endpoint_render.h"

#include "service/json_out.h"
#include "store/endpoint.h"

static void render_tasks(struct slice tasks, struct buf *out)
{
	struct slice pattern;

	json_out_open(out, "tasks", '[');
	while (endpoint_next_pattern(&tasks, &pattern))
		json_out_item_text(out, pattern);
	json_out_close(out, ']');
}

static void render_outcomes(uint32_t outcomes, struct buf *out)
{
	json_out_open(out, "on", '[');
	for (int s = 0; s < TASK_STATES; s++)
		if (task_state_is_terminal((enum task_state)s) && (!outcomes || (outcomes & (1u << s))))
			json_out_item_text(out, slice_text(task_state_name((enum task_state)s)));
	json_out_close(out, ']');
}

static void render_links(const struct store_endpoint *e, struct buf *out)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&e->id, id);
	json_out_open(out, "links", '{');
	json_out_key(out, "self");
	buf_printf(out, "\"" ENDPOINT_PATH "%s\"", id);
	json_out_close(out, '}');
}

/* 0: there is none that is valid still. */
static int64_t old_secret_until_ms(const struct store_endpoint *e, int64_t now_ms)
{
	struct slice rest = e->old_secrets, newest;
	int64_t until_ms;

	return endpoint_next_old_secret(&rest, &newest, &until_ms) && until_ms > now_ms ? until_ms : 0;
}

void endpoint_render(const struct store_endpoint *e, bool with_secret, int64_t now_ms, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_id(out, "id", &e->id);
	json_out_text(out, "url", e->url);
	json_out_text(out, "description", e->description.len ? e->description : (struct slice){0});
	render_tasks(e->tasks, out);
	render_outcomes(e->outcomes, out);
	if (with_secret)
		json_out_text(out, "secret", e->secret);
	json_out_time(out, "old_secret_until", old_secret_until_ms(e, now_ms));
	json_out_bool(out, "enabled", e->is_enabled);
	json_out_time(out, "disabled_at", e->is_enabled ? 0 : e->disabled_at_ms);
	json_out_text(out, "disabled_reason", e->is_enabled ? (struct slice){0} : e->disabled_reason);
	json_out_time(out, "failing_since", e->failing_since_ms);
	json_out_time(out, "created_at", e->created_at_ms);
	json_out_time(out, "updated_at", e->updated_at_ms);
	render_links(e, out);
	json_out_close(out, '}');
}

void endpoint_render_list(const struct store_endpoint *endpoints, size_t len, int64_t now_ms, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_open(out, "endpoints", '[');
	for (size_t i = 0; i < len; i++)
		endpoint_render(&endpoints[i], false, now_ms, out);
	json_out_close(out, ']');
	json_out_close(out, '}');
}
