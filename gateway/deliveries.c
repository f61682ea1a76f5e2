#include "gateway/deliveries.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/answer.h"
#include "gateway/asking.h"
#include "gateway/delivery_render.h"
#include "gateway/lookup.h"
#include "gateway/tasks.h"
#include "runtime/clock.h"
#include "service/status.h"

#define DOCUMENT_MAX ((size_t)64 * 1024 * 1024)

struct pending {
	struct asking base;
	struct id id; /* in the path */
};

/* ---- answers ---- */

static void answer_list(struct call *call, const struct store_delivery *deliveries, size_t len)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	delivery_render_list(deliveries, len, &document);
	answer_document(call, 200, &document);
}

static void answer_one(struct call *call, int status, const struct store_delivery *d)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	delivery_render(d, &document);
	answer_document(call, status, &document);
}

/* Its id is genuine, so it was there. */
static void answer_dropped(struct call *call)
{
	call_problem(call, PROBLEM_GONE, NULL, "the delivery was removed with what it was to deliver");
}

/* Of the id in the path; NULL: it was answered. */
static struct pending *pending_new(struct gateway *g, struct call *call, enum id_kind kind)
{
	struct pending *p;
	struct id id;

	if (!lookup_read_id(g, call, kind, call_segment(call, "id"), &id))
		return NULL;
	p = asking_new(g, call, sizeof *p);
	if (p)
		p->id = id;
	return p;
}

/* ---- of a task ---- */

static void on_task(
	int rc, const struct store_task *task, const struct store_delivery *deliveries, size_t len, void *arg)
{
	struct pending *p = arg;
	struct store_task seen;

	if (rc < 0) {
		lookup_store_failed(p->base.call);
	} else {
		seen = *task;
		seen.id = p->id;
		if (status_presence(&seen, clock_wall_ms(), gateway_lifetime_ms(p->base.g)) == STATUS_GONE)
			lookup_gone(p->base.call);
		else
			answer_list(p->base.call, deliveries, len);
	}
	asking_end(p);
}

void deliveries_of_task(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p = pending_new(g, call, ID_TASK);

	if (p)
		asking_begin(p, store_deliveries_get(g->store, &p->id, on_task, p));
}

/* ---- one ---- */

static void on_delivery(
	int rc, const struct store_task *task, const struct store_delivery *deliveries, size_t len, void *arg)
{
	struct pending *p = arg;

	if (rc < 0)
		lookup_store_failed(p->base.call);
	else if (len == 0)
		answer_dropped(p->base.call);
	else
		answer_one(p->base.call, 200, &deliveries[0]);
	asking_end(p);
}

void deliveries_get(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p = pending_new(g, call, ID_DELIVERY);

	if (p)
		asking_begin(p, store_delivery_get(g->store, &p->id, call_tenant(call), on_delivery, p));
}

/* ---- once more ---- */

static void answer_retried(struct call *call, const struct store_delivery *d)
{
	char location[sizeof DELIVERY_PATH + ID_TEXT_LEN], id[ID_TEXT_LEN + 1];

	id_format(&d->id, id);
	snprintf(location, sizeof location, DELIVERY_PATH "%s", id);
	call_set_header(call, "Location", location);
	answer_one(call, 202, d);
}

static void on_retried(int rc, enum store_retry what, const struct store_delivery *delivery, void *arg)
{
	struct pending *p = arg;

	if (rc < 0) {
		lookup_store_failed(p->base.call);
		asking_end(p);
		return;
	}
	switch (what) {
	case STORE_RETRY_DONE: answer_retried(p->base.call, delivery); break;
	case STORE_RETRY_ABSENT: answer_dropped(p->base.call); break;
	case STORE_RETRY_PENDING:
		call_problem(p->base.call, PROBLEM_CONFLICT, NULL, "the delivery is being tried still");
		break;
	case STORE_RETRY_NO_ENDPOINT:
		call_problem(p->base.call, PROBLEM_CONFLICT, NULL,
			"the endpoint that it is for was removed or is disabled");
		break;
	}
	asking_end(p);
}

void deliveries_retry(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p = tasks_body_is_nothing(call) ? pending_new(g, call, ID_DELIVERY) : NULL;

	if (p)
		asking_begin(p, store_delivery_retry(
					g->store, &p->id, call_tenant(call), clock_wall_ms(), on_retried, p));
}
