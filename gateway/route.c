#include "gateway/route.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/deliver.h"
#include "gateway/events.h"
#include "gateway/join.h"
#include "gateway/known.h"
#include "gateway/poll.h"
#include "gateway/result.h"
#include "gateway/run.h"
#include "gateway/submit.h"
#include "gateway/ws.h"
#include "proto/json.h"

enum { NAMES_MAX = 16, NAME_LEN_MAX = 64 };
#define PAYLOAD_MAX ((size_t)256 * 1024 * 1024)

struct route {
	struct gateway *g;
	const struct route_options *options;
	const char *path;
	char names[NAMES_MAX][NAME_LEN_MAX]; /* of the path's parameters */
	size_t names_len;
};

struct routes {
	size_t len;
	struct route items[];
};

/* ---- paths ---- */

static int read_names(struct route *r)
{
	const char *at = r->path;

	while ((at = strchr(at, '{'))) {
		size_t len = strcspn(++at, "}");

		if (r->names_len == NAMES_MAX || len == 0 || len >= NAME_LEN_MAX)
			return -EINVAL;
		memcpy(r->names[r->names_len++], at, len);
	}
	return 0;
}

/* ---- parameters of a call ---- */

struct params {
	size_t len;
	struct call_param items[];
};

static struct params *params_of(const struct route *r, const struct call *call)
{
	struct call_param path[NAMES_MAX];
	const struct call_param *query;
	struct params *p;
	size_t len;

	query = call_params(call, &len);
	p = malloc(sizeof *p + (r->names_len + len) * sizeof p->items[0]);
	if (!p)
		return NULL;
	for (size_t i = 0; i < r->names_len; i++)
		path[i] = (struct call_param){slice_text(r->names[i]), call_segment(call, r->names[i])};
	p->len = join_params(path, r->names_len, query, len, p->items);
	return p;
}

/* ---- what is submitted ---- */

/* What all steps of a chain have in common. */
struct content {
	struct slice content_type;
	struct slice payload;
	struct slice metadata;
	struct buf joined_payload, joined_metadata; /* behind the slices, where parameters joined */
};

static bool is_object(const struct content *c)
{
	return media_type_is_json(c->content_type) && json_type_of(c->payload) == JSON_OBJECT;
}

static int join(struct content *c, const struct params *p, struct fault *fault)
{
	int rc;

	if (p->len == 0)
		return 0;
	if (is_object(c)) {
		rc = join_object(c->payload, p->items, p->len, &c->joined_payload);
		c->payload = buf_slice(&c->joined_payload);
		return rc;
	}
	rc = join_metadata(p->items, p->len, &c->joined_metadata);
	c->metadata = buf_slice(&c->joined_metadata);
	if (rc == -EMSGSIZE)
		return fault_set(fault, PROBLEM_INVALID_FIELD, NULL, "the parameters are larger than 16 KiB");
	return rc;
}

/* An empty body stands for an empty object, whatever its type is said to be. */
static int content_read(
	struct content *c, const struct call *call, const struct params *p, struct fault *fault)
{
	struct submission checked = {0};
	struct slice body = call_body(call);
	bool is_empty = body.len == 0;
	int rc =
		run_set_payload(&checked, is_empty ? slice_text("application/json") : call_content_type(call),
			is_empty ? slice_text("{}") : body, fault);

	if (rc < 0)
		return rc;
	c->content_type = checked.content_type;
	c->payload = checked.payload;
	return join(c, p, fault);
}

static int add_step(struct submission ***tail, const char *task)
{
	struct submission *s = submission_new();

	if (!s)
		return -ENOMEM;
	snprintf(s->task, sizeof s->task, "%s", task);
	**tail = s;
	*tail = &s->then;
	return 0;
}

static bool applies(const struct route_step *step, const struct params *p)
{
	return !step->when || !*step->when || join_find(p->items, p->len, slice_text(step->when));
}

static int make_steps(const struct route *r, const struct params *p, struct submission **out)
{
	const struct route_step *steps = r->options->tasks.items;
	struct submission **tail = out;
	int rc = 0;

	if (r->options->task && *r->options->task)
		return add_step(&tail, r->options->task);
	for (size_t i = 0; i < r->options->tasks.len && rc == 0; i++)
		if (applies(&steps[i], p))
			rc = add_step(&tail, steps[i].task);
	return rc;
}

/* The first step keeps the joined bytes for all. */
static void give_content(struct submission *first, struct content *c)
{
	first->owned = c->joined_payload;
	first->owned_metadata = c->joined_metadata;
	for (struct submission *s = first; s; s = s->then) {
		s->content_type = c->content_type;
		s->payload = c->payload;
		s->metadata = c->metadata;
	}
}

/* To be told of the last task is to be told of the whole: it is canceled when one before it fails. */
static int give_deliver(const struct route *r, struct submission *first, struct fault *fault)
{
	struct submission *last = first;

	if (!r->options->deliver)
		return 0;
	while (last->then)
		last = last->then;
	buf_init(&last->deliver, DELIVER_TEXT_MAX);
	return deliver_read(slice_text(r->options->deliver), "deliver", &last->deliver, fault);
}

static int make_submission(const struct route *r, const struct call *call, const struct params *p,
	struct submission **out, struct fault *fault)
{
	struct submission *first = NULL;
	struct content content = {0};
	int rc;

	buf_init(&content.joined_payload, PAYLOAD_MAX);
	buf_init(&content.joined_metadata, SUBMISSION_METADATA_MAX);
	rc = content_read(&content, call, p, fault);
	if (rc == 0)
		rc = make_steps(r, p, &first);
	if (rc == 0 && !first)
		rc = fault_set(fault, PROBLEM_INVALID_FIELD, NULL,
			"none of the tasks of this route is wanted: a parameter is missing");
	if (rc == 0 && first)
		rc = give_deliver(r, first, fault);
	if (rc == 0 && first) {
		give_content(first, &content);
		*out = first;
		return 0;
	}
	submission_free(first);
	buf_done(&content.joined_payload);
	buf_done(&content.joined_metadata);
	return rc;
}

/* ---- the reply ---- */

static void reply(const struct submission *named, struct call *call, struct answer *a, const void *arg)
{
	const struct route *r = arg;
	struct params *p = params_of(r, call);
	char text[ID_TEXT_LEN + 1];

	id_format(&named->id, text);
	if (p)
		join_template(slice_text(r->options->reply.body), slice_text(text), slice_text(named->task),
			p->items, p->len, &a->body);
	else
		a->body.error = -ENOMEM;
	free(p);
}

static void submit(const struct route *r, struct call *call, struct submission *first)
{
	struct submit_options options = {
		.mode = r->options->mode == ROUTE_SYNC ? SUBMIT_SYNC : SUBMIT_ASYNC,
		.names_last = true,
		.wait_ms = r->options->timeout_ms,
		.status = (int)r->options->reply.status,
		.reply = r->options->reply.body ? reply : NULL,
		.reply_arg = r,
	};

	submit_start(r->g, call, first, &options);
}

static void on_submission(struct call *call, void *arg)
{
	const struct route *r = arg;
	struct params *p = params_of(r, call);
	struct submission *first = NULL;
	struct fault fault;
	int rc = p ? make_submission(r, call, p, &first, &fault) : -ENOMEM;

	free(p);
	if (rc == 0)
		submit(r, call, first);
	else
		fault_answer(rc, &fault, call);
}

/* ---- status and result ---- */

static void on_status(struct call *call, void *arg)
{
	const struct route *r = arg;

	poll_start(r->g, call, call_segment(call, r->options->status_of), &poll_status);
}

static void on_result(struct call *call, void *arg)
{
	const struct route *r = arg;

	poll_start(r->g, call, call_segment(call, r->options->result_of), &result_view);
}

static void on_live(struct call *call, void *arg)
{
	const struct route *r = arg;

	struct slice id = call_segment(call, r->options->live_of);

	if (ws_is_wanted(call))
		ws_task(r->g, call, id);
	else
		events_of_task(r->g, call, id);
}

/* ---- mounting ---- */

static bool is_given(const char *text)
{
	return text && *text;
}

static void remember_tasks(const struct route *r)
{
	const struct route_step *steps = r->options->tasks.items;

	if (is_given(r->options->task))
		known_saw(r->g->known, r->options->task, 0);
	for (size_t i = 0; i < r->options->tasks.len; i++)
		known_saw(r->g->known, steps[i].task, 0);
}

static int mount(struct route *r)
{
	struct endpoint e = {.handler = on_submission, .flags = ENDPOINT_SUBMIT};
	const char *why;
	int rc = route_path_parse(r->options->path, &e.methods, &e.path, &why);

	if (rc < 0)
		return rc;
	if (r->options->tasks.len > SUBMISSION_STEPS_MAX)
		return -E2BIG;
	r->path = e.path;
	if (is_given(r->options->status_of))
		e = (struct endpoint){e.methods, e.path, on_status, 0};
	else if (is_given(r->options->result_of))
		e = (struct endpoint){e.methods, e.path, on_result, 0};
	else if (is_given(r->options->live_of))
		e = (struct endpoint){e.methods, e.path, on_live, ENDPOINT_LIVE};
	rc = read_names(r);
	if (rc == 0)
		rc = server_add(r->g->server, &e, r);
	remember_tasks(r);
	return rc;
}

int routes_new(struct gateway *g, struct routes **out)
{
	const struct route_options *options = g->options->routes.items;
	size_t len = g->options->routes.len;
	struct routes *r = calloc(1, sizeof *r + len * sizeof r->items[0]);

	if (!r)
		return -ENOMEM;
	*out = r;
	for (size_t i = 0; i < len; i++) {
		int rc;

		r->items[i] = (struct route){.g = g, .options = &options[i]};
		rc = mount(&r->items[i]);
		if (rc < 0) {
			log_error("route_refused", LOG_TEXT("path", options[i].path), LOG_ERRNO(rc));
			return rc;
		}
		r->len++;
	}
	return 0;
}

void routes_free(struct routes *r)
{
	free(r);
}
