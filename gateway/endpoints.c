#include "gateway/endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/asking.h"
#include "gateway/endpoint_body.h"
#include "gateway/endpoint_render.h"
#include "gateway/idempotency.h"
#include "gateway/lookup.h"
#include "gateway/tasks.h"
#include "runtime/clock.h"
#include "runtime/signing_key.h"

#define DOCUMENT_MAX ((size_t)4 * 1024 * 1024)

enum { CLAIM_LEASE_MS = 10000, DETAIL_MAX = 160 };

typedef void answer_fn(struct call *call, const struct store_endpoint *endpoints, size_t len);

struct pending {
	struct asking base;
	answer_fn *answer;
};

/* ---- answers ---- */

static void answer_with(struct call *call, int status, const struct store_endpoint *e, bool with_secret)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	endpoint_render(e, with_secret, clock_wall_ms(), &document);
	answer_document(call, status, &document);
}

static void answer_one(struct call *call, const struct store_endpoint *endpoints, size_t len)
{
	answer_with(call, 200, &endpoints[0], false);
}

static void answer_rotated(struct call *call, const struct store_endpoint *endpoints, size_t len)
{
	answer_with(call, 200, &endpoints[0], true);
}

static void answer_removed(struct call *call, const struct store_endpoint *endpoints, size_t len)
{
	call_answer(call, 204, (struct slice){0}, (struct slice){0});
}

static void answer_list(struct call *call, const struct store_endpoint *endpoints, size_t len)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	endpoint_render_list(endpoints, len, clock_wall_ms(), &document);
	answer_document(call, 200, &document);
}

/* Of what there would be too many. */
static void explain_conflict(enum store_endpoint_outcome what, char detail[DETAIL_MAX])
{
	if (what == STORE_ENDPOINT_TOO_MANY_SECRETS)
		snprintf(detail, DETAIL_MAX,
			"%d secrets before the present one are valid still, and no more may be: wait until one is not, "
			"or ask for a shorter overlap",
			STORE_ENDPOINT_OLD_SECRETS_MAX);
	else
		snprintf(detail, DETAIL_MAX, "there are %d endpoints already, and no more may be",
			STORE_ENDPOINTS_MAX);
}

static void answer_outcome(const struct pending *p, enum store_endpoint_outcome what,
	const struct store_endpoint *endpoints, size_t len)
{
	char detail[DETAIL_MAX];

	switch (what) {
	case STORE_ENDPOINT_DONE: p->answer(p->base.call, endpoints, len); break;
	case STORE_ENDPOINT_ABSENT: lookup_not_found(p->base.call, "endpoint"); break;
	case STORE_ENDPOINT_TOO_MANY:
	case STORE_ENDPOINT_TOO_MANY_SECRETS:
		explain_conflict(what, detail);
		call_problem(p->base.call, PROBLEM_CONFLICT, NULL, "%s", detail);
		break;
	}
}

static void on_answer(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	struct pending *p = arg;

	if (rc < 0)
		lookup_store_failed(p->base.call);
	else
		answer_outcome(p, what, endpoints, len);
	asking_end(p);
}

/* ---- asking the store ---- */

static struct pending *pending_new(struct gateway *g, struct call *call, answer_fn *answer)
{
	struct pending *p = asking_new(g, call, sizeof *p);

	if (p)
		p->answer = answer;
	return p;
}

/*
 * The id in the path; whose it is the store knows. It outlives the keys by which ids are known without a row. False: it is
 * none, and the call has been answered.
 */
static bool read_id(struct call *call, struct id *id)
{
	if (id_parse(call_segment(call, "id"), id) == 0)
		return true;
	lookup_not_found(call, "endpoint");
	return false;
}

/* False: the call has been answered. A body that was read is to be done with. */
static bool read_body(struct call *call, enum endpoint_body_kind kind, struct endpoint_body *body)
{
	struct slice json = call_body(call);
	struct fault fault;
	int rc;

	if (!tasks_body_is_json(call))
		return false;
	/* A rotation says all by its path. */
	if (json.len == 0 && kind == ENDPOINT_BODY_ROTATE)
		json = slice_text("{}");
	rc = endpoint_body_read(json, kind, body, &fault);
	if (rc == 0)
		return true;
	endpoint_body_done(body);
	fault_answer(rc, &fault, call);
	return false;
}

/* The client's own secret, or a new one in `made`. */
static struct slice secret_of(const struct endpoint_body *body, char made[SIGNING_SECRET_TEXT_MAX + 1])
{
	if (body->has_secret)
		return buf_slice(&body->secret);
	signing_secret_make(made);
	return slice_text(made);
}

/* ---- a new one ---- */

struct registration {
	struct gateway *g;
	struct call *call;
	struct endpoint_body body;
	char made[SIGNING_SECRET_TEXT_MAX + 1];
	struct slice secret; /* of one of them */
	struct id id;
	struct idempotency *claim; /* NULL: the call has no key */
	struct answer answer;
};

static void registration_free(struct registration *r)
{
	explicit_bzero(r->made, sizeof r->made);
	endpoint_body_done(&r->body);
	answer_done(&r->answer);
	gateway_job_end(r->g);
	free(r);
}

static void send_registered(void *arg)
{
	struct registration *r = arg;

	answer_send(&r->answer, r->call);
	registration_free(r);
}

static void finish(struct registration *r, enum answer_fate fate)
{
	r->answer.fate = fate;
	if (r->claim)
		idempotency_end(r->claim, &r->answer, send_registered, r);
	else
		send_registered(r);
}

/* One that perhaps was registered before the store fell silent is found under its id by the next call with this key. */
static void finish_failed(struct registration *r)
{
	answer_problem(&r->answer, PROBLEM_STORE_UNAVAILABLE, NULL, NULL,
		"the store does not answer just now", r->call);
	finish(r, ANSWER_UNKNOWN);
}

static void finish_refused(struct registration *r, enum store_endpoint_outcome what)
{
	char detail[DETAIL_MAX];

	explain_conflict(what, detail);
	answer_problem(&r->answer, PROBLEM_CONFLICT, NULL, NULL, detail, r->call);
	finish(r, ANSWER_RELEASE);
}

static void finish_made(struct registration *r, const struct store_endpoint *e)
{
	struct answer *a = &r->answer;
	char id[ID_TEXT_LEN + 1];

	id_format(&e->id, id);
	a->status = 201;
	snprintf(a->content_type, sizeof a->content_type, "application/json");
	snprintf(a->location, sizeof a->location, ENDPOINT_PATH "%s", id);
	endpoint_render(e, true, clock_wall_ms(), &a->body);
	finish(r, ANSWER_KEEP);
}

static void on_registered(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	struct registration *r = arg;

	if (rc < 0 || (what == STORE_ENDPOINT_DONE && len == 0))
		finish_failed(r);
	else if (what == STORE_ENDPOINT_DONE)
		finish_made(r, &endpoints[0]);
	else
		finish_refused(r, what);
}

static void insert(struct registration *r)
{
	const struct endpoint_body *body = &r->body;
	const struct store_endpoint e = {
		.id = r->id,
		.tenant = call_tenant(r->call),
		.url = buf_slice(&body->url),
		.description = body->description.len ? buf_slice(&body->description) : (struct slice){0},
		.tasks = buf_slice(&body->tasks),
		.outcomes = body->outcomes,
		.secret = r->secret,
		.created_at_ms = clock_wall_ms(),
	};

	if (store_endpoint_add(r->g->store, &e, on_registered, r) < 0)
		finish_failed(r);
}

static void on_claimed(struct idempotency *claim, const struct id *id, bool is_resumed, void *arg)
{
	struct registration *r = arg;

	if (!claim) {
		registration_free(r);
		return;
	}
	r->claim = claim;
	r->id = *id;
	insert(r);
}

void endpoints_post(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct endpoint_body body;
	struct registration *r;

	if (!lookup_is_ready(g, call) || !read_body(call, ENDPOINT_BODY_NEW, &body))
		return;
	r = calloc(1, sizeof *r);
	if (!r) {
		endpoint_body_done(&body);
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*r = (struct registration){.g = g, .call = call, .body = body};
	answer_init(&r->answer);
	gateway_job_begin(g);
	r->secret = secret_of(&r->body, r->made);
	ids_mint(&g->ids, ID_ENDPOINT, call_tenant(call), clock_wall_ms(), &r->id, 1);
	if (idempotency_is_wanted(call))
		idempotency_claim(g, call, &r->id, CLAIM_LEASE_MS, on_claimed, r);
	else
		insert(r);
}

/* ---- those that there are ---- */

void endpoints_list(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p = pending_new(g, call, answer_list);

	if (p)
		asking_begin(p, store_endpoints_list(g->store, call_tenant(call), on_answer, p));
}

void endpoints_get(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p;
	struct id id;

	if (!read_id(call, &id))
		return;
	p = pending_new(g, call, answer_one);
	if (p)
		asking_begin(p, store_endpoint_get(g->store, &id, call_tenant(call), on_answer, p));
}

/* An empty text takes back what there was; what is not set stays. */
static struct slice text_of(bool has, const struct buf *text)
{
	if (!has)
		return (struct slice){0};
	return text->len ? buf_slice(text) : slice_text("");
}

void endpoints_patch(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct store_endpoint_change change;
	struct endpoint_body body;
	struct pending *p;
	struct id id;

	if (!read_id(call, &id) || !read_body(call, ENDPOINT_BODY_CHANGE, &body))
		return;
	change = (struct store_endpoint_change){
		.url = text_of(body.has_url, &body.url),
		.description = text_of(body.has_description, &body.description),
		.tasks = text_of(body.has_tasks, &body.tasks),
		.has_outcomes = body.has_outcomes,
		.outcomes = body.outcomes,
		.has_enabled = body.has_enabled,
		.is_enabled = body.is_enabled,
		.reason = slice_text("by request"),
		.now_ms = clock_wall_ms(),
	};
	p = pending_new(g, call, answer_one);
	if (p)
		asking_begin(
			p, store_endpoint_change(g->store, &id, call_tenant(call), &change, on_answer, p));
	endpoint_body_done(&body);
}

void endpoints_delete(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct pending *p;
	struct id id;

	if (!read_id(call, &id))
		return;
	p = pending_new(g, call, answer_removed);
	if (p)
		asking_begin(p, store_endpoint_remove(g->store, &id, call_tenant(call), on_answer, p));
}

void endpoints_rotate(struct call *call, void *arg)
{
	char made[SIGNING_SECRET_TEXT_MAX + 1] = "";
	int64_t now = clock_wall_ms();
	struct gateway *g = arg;
	struct endpoint_body body;
	struct pending *p;
	struct id id;

	if (!read_id(call, &id) || !read_body(call, ENDPOINT_BODY_ROTATE, &body))
		return;
	p = pending_new(g, call, answer_rotated);
	if (p)
		asking_begin(p, store_endpoint_rotate(g->store, &id, call_tenant(call),
					secret_of(&body, made), now + body.overlap_ms, now, on_answer, p));
	explicit_bzero(made, sizeof made);
	endpoint_body_done(&body);
}
