#include "gateway/deliveries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/delivery_render.h"
#include "gateway/gateway.h"
#include "gateway/lookup.h"
#include "runtime/clock.h"
#include "service/status.h"

#define DOCUMENT_MAX ((size_t)64 * 1024 * 1024)

struct asking {
	struct gateway *g;
	struct call *call;
	struct id id; /* in the path */
};

/* ---- answers ---- */

static void send_document(struct call *call, int status, struct buf *document)
{
	if (document->error)
		call_problem(call, PROBLEM_INTERNAL, NULL, "the document is too long");
	else
		call_answer_json(call, status, buf_slice(document));
	buf_done(document);
}

static void answer_list(struct call *call, const struct store_delivery *deliveries, size_t len)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	delivery_render_list(deliveries, len, &document);
	send_document(call, 200, &document);
}

static void answer_one(struct call *call, int status, const struct store_delivery *d)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	delivery_render(d, &document);
	send_document(call, status, &document);
}

/* Its id is genuine, so it was there. */
static void answer_dropped(struct call *call)
{
	call_problem(call, PROBLEM_GONE, NULL, "the delivery was removed with what it was to deliver");
}

/* ---- asking the store ---- */

static struct asking *asking_new(struct gateway *g, struct call *call, const struct id *id)
{
	struct asking *a = malloc(sizeof *a);

	if (a)
		*a = (struct asking){g, call, *id};
	else
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
	return a;
}

/* After the store's call: `rc` is what it returned. */
static void asked(struct asking *a, int rc)
{
	if (rc == 0) {
		gateway_job_begin(a->g);
		return;
	}
	lookup_store_failed(a->call);
	free(a);
}

static void answered(struct asking *a)
{
	gateway_job_end(a->g);
	free(a);
}

/* ---- of a task ---- */

static void on_task(
	int rc, const struct store_task *task, const struct store_delivery *deliveries, size_t len, void *arg)
{
	struct asking *a = arg;
	struct store_task seen;

	if (rc < 0) {
		lookup_store_failed(a->call);
	} else {
		seen = *task;
		seen.id = a->id;
		if (status_presence(&seen, clock_wall_ms(), gateway_lifetime_ms(a->g)) == STATUS_GONE)
			lookup_gone(a->call);
		else
			answer_list(a->call, deliveries, len);
	}
	answered(a);
}

void deliveries_of_task(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct asking *a;
	struct id id;

	if (!lookup_read_id(g, call, call_segment(call, "id"), &id))
		return;
	a = asking_new(g, call, &id);
	if (a)
		asked(a, store_deliveries_get(g->store, &a->id, on_task, a));
}

/* ---- one ---- */

static bool read_id(struct gateway *g, struct call *call, struct id *id)
{
	if (!lookup_is_ready(g, call))
		return false;
	if (ids_parse(&g->ids, ID_DELIVERY, call_tenant(call), call_segment(call, "id"), id) == 0)
		return true;
	lookup_not_found(call, "delivery");
	return false;
}

static void on_delivery(
	int rc, const struct store_task *task, const struct store_delivery *deliveries, size_t len, void *arg)
{
	struct asking *a = arg;

	if (rc < 0)
		lookup_store_failed(a->call);
	else if (len == 0)
		answer_dropped(a->call);
	else
		answer_one(a->call, 200, &deliveries[0]);
	answered(a);
}

void deliveries_get(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct asking *a;
	struct id id;

	if (!read_id(g, call, &id))
		return;
	a = asking_new(g, call, &id);
	if (a)
		asked(a, store_delivery_get(g->store, &a->id, call_tenant(call), on_delivery, a));
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
	struct asking *a = arg;

	if (rc < 0) {
		lookup_store_failed(a->call);
		answered(a);
		return;
	}
	switch (what) {
	case STORE_RETRY_DONE: answer_retried(a->call, delivery); break;
	case STORE_RETRY_ABSENT: answer_dropped(a->call); break;
	case STORE_RETRY_PENDING:
		call_problem(a->call, PROBLEM_CONFLICT, NULL, "the delivery is being tried still");
		break;
	case STORE_RETRY_NO_ENDPOINT:
		call_problem(a->call, PROBLEM_CONFLICT, NULL,
			"the endpoint that it is for was removed or is disabled");
		break;
	}
	answered(a);
}

void deliveries_retry(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct asking *a;
	struct id id;

	if (!read_id(g, call, &id))
		return;
	a = asking_new(g, call, &id);
	if (a)
		asked(a, store_delivery_retry(
				 g->store, &a->id, call_tenant(call), clock_wall_ms(), on_retried, a));
}
