#include "runtime/health.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "runtime/quote.h"

struct check {
	char name[HEALTH_NAME_MAX + 1];
	char why[HEALTH_WHY_MAX + 1];
	bool is_up;
};

struct health {
	struct metrics *metrics;
	struct check checks[HEALTH_CHECKS_MAX];
	size_t len;
	bool is_stopping;
};

int health_new(struct metrics *metrics, struct health **out)
{
	struct health *h = calloc(1, sizeof *h);

	if (!h)
		return -ENOMEM;
	h->metrics = metrics;
	*out = h;
	return 0;
}

void health_free(struct health *h)
{
	free(h);
}

static struct check *find(struct health *h, const char *name)
{
	for (size_t i = 0; i < h->len; i++)
		if (strncmp(h->checks[i].name, name, HEALTH_NAME_MAX) == 0)
			return &h->checks[i];
	assert(h->len < HEALTH_CHECKS_MAX);
	snprintf(h->checks[h->len].name, sizeof h->checks[h->len].name, "%s", name);
	return &h->checks[h->len++];
}

void health_set(struct health *h, const char *check, bool is_up, const char *why)
{
	struct check *c = find(h, check);

	c->is_up = is_up;
	snprintf(c->why, sizeof c->why, "%s", !is_up && why ? why : "");
}

void health_stop(struct health *h)
{
	h->is_stopping = true;
}

bool health_is_ready(const struct health *h)
{
	for (size_t i = 0; i < h->len; i++)
		if (!h->checks[i].is_up)
			return false;
	return !h->is_stopping;
}

int health_livez(struct health *h, struct buf *body)
{
	return buf_append_text(body, "{\"status\":\"alive\"}\n") < 0 ? 500 : 200;
}

static void append_check(const struct check *c, struct buf *body)
{
	quote_json(body, slice_text(c->name));
	buf_printf(body, ":{\"status\":\"%s\"", c->is_up ? "up" : "down");
	if (*c->why) {
		buf_append_text(body, ",\"reason\":");
		quote_json(body, slice_text(c->why));
	}
	buf_append_byte(body, '}');
}

int health_readyz(struct health *h, struct buf *body)
{
	bool is_ready = health_is_ready(h);

	buf_printf(body, "{\"status\":\"%s\",\"checks\":{",
		is_ready	 ? "ready"
		: h->is_stopping ? "stopping"
				 : "not_ready");
	for (size_t i = 0; i < h->len; i++) {
		if (i > 0)
			buf_append_byte(body, ',');
		append_check(&h->checks[i], body);
	}
	buf_append_text(body, "}}\n");
	return body->error ? 500 : is_ready ? 200 : 503;
}

int health_metrics(struct health *h, struct buf *body)
{
	return metrics_render(h->metrics, body) < 0 ? 500 : 200;
}
