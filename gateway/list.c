#include "gateway/list.h"

#include <ctype.h>
#include <errno.h>

#include "gateway/answer.h"
#include "gateway/asking.h"
#include "service/json_out.h"
#include "gateway/lookup.h"
#include "service/status.h"
#include "proto/name.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 200 };
#define DOCUMENT_MAX ((size_t)64 * 1024 * 1024)

/* ---- the query ---- */

static int set_status(struct store_list_query *q, struct slice value, struct fault *fault)
{
	q->has_state = true;
	if (task_state_parse(value, &q->state) < 0)
		return fault_set(fault, PROBLEM_INVALID_FIELD, "status",
			"not one of scheduled, queued, running, succeeded, failed, canceled and dead");
	return 0;
}

static int set_task(struct store_list_query *q, struct slice value, struct fault *fault)
{
	q->task = value;
	return name_is_valid(value) ? 0 : fault_set(fault, PROBLEM_INVALID_FIELD, "task", "not a task name");
}

static int set_limit(struct store_list_query *q, struct slice value, struct fault *fault)
{
	size_t limit = 0;
	bool is_number = value.len > 0 && value.len <= 4;

	for (size_t i = 0; is_number && i < value.len; i++) {
		is_number = isdigit(value.data[i]);
		limit = limit * 10 + (size_t)(value.data[i] - '0');
	}
	if (!is_number || limit < 1 || limit > LIMIT_MAX)
		return fault_set(
			fault, PROBLEM_INVALID_FIELD, "limit", "not a whole number of 1 to %d", LIMIT_MAX);
	q->limit = limit;
	return 0;
}

static int set_cursor(struct store_list_query *q, struct slice value, struct fault *fault)
{
	return id_parse(value, &q->before) == 0
		       ? 0
		       : fault_set(fault, PROBLEM_INVALID_FIELD, "cursor", "not the `next` of a page before");
}

static const struct {
	const char *name;
	int (*set)(struct store_list_query *q, struct slice value, struct fault *fault);
} parameters[] = {
	{"status", set_status},
	{"task", set_task},
	{"limit", set_limit},
	{"cursor", set_cursor},
};

static int set_parameter(struct store_list_query *q, const struct call_param *p, struct fault *fault)
{
	for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
		if (slice_is_text(p->name, parameters[i].name))
			return parameters[i].set(q, p->value, fault);
	return fault_set_unknown(fault, p->name);
}

int list_read_query(
	const struct call_param *params, size_t len, struct store_list_query *q, struct fault *fault)
{
	int rc = 0;

	*q = (struct store_list_query){.limit = LIMIT_DEFAULT};
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = set_parameter(q, &params[i], fault);
	return rc;
}

/* ---- the answer ---- */

struct listing {
	struct asking base;
	size_t limit;
};

/* One more was asked for than is shown, which tells whether there are more. */
static void render(const struct store_task *tasks, size_t len, size_t limit, struct buf *out)
{
	size_t shown = len > limit ? limit : len;

	json_out_open(out, NULL, '{');
	json_out_open(out, "tasks", '[');
	for (size_t i = 0; i < shown; i++)
		status_render(&tasks[i], out);
	json_out_close(out, ']');
	if (len > limit)
		json_out_id(out, "next", &tasks[shown - 1].id);
	else
		json_out_raw(out, "next", (struct slice){0});
	json_out_close(out, '}');
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct listing *l = arg;
	struct buf document;

	if (rc < 0) {
		lookup_store_failed(l->base.call);
	} else {
		buf_init(&document, DOCUMENT_MAX);
		render(tasks, len, l->limit, &document);
		answer_document(l->base.call, 200, &document);
	}
	asking_end(l);
}

static void start(struct gateway *g, struct call *call, struct store_list_query *q)
{
	struct listing *l = asking_new(g, call, sizeof *l);

	if (!l)
		return;
	l->limit = q->limit;
	q->tenant = call_tenant(call);
	q->limit++;
	asking_begin(l, store_tasks_list(g->store, q, on_tasks, l));
}

void list_tasks(struct call *call, void *arg)
{
	const struct call_param *params;
	struct store_list_query q;
	struct fault fault;
	size_t len;

	params = call_params(call, &len);
	if (list_read_query(params, len, &q, &fault) < 0)
		fault_send(&fault, call);
	else
		start(arg, call, &q);
}
