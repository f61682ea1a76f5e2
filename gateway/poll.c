#include "gateway/poll.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/head.h"
#include "gateway/lookup.h"
#include "gateway/prefer.h"
#include "service/status.h"
#include "gateway/waiter.h"

#define DOCUMENT_MAX ((size_t)256 * 1024 * 1024)

struct poll {
	struct gateway *g;
	struct call *call;
	struct slice id_text;
	const struct poll_view *view;
	int64_t wait_ms; /* 0: has waited, or never wanted to */
	struct waiter *waiter;
};

/* ---- the status document ---- */

void poll_answer_status(struct call *call, int code, const struct store_task *task)
{
	char etag[ETAG_LEN];
	struct buf document;

	etag_format(task->rev, etag);
	call_set_header(call, "ETag", etag);
	call_set_header(call, "Cache-Control", "private, no-cache");
	if (!task_state_is_terminal(task->state))
		call_set_header(call, "Retry-After", "1");
	buf_init(&document, DOCUMENT_MAX);
	if (code != 304)
		status_render(task, &document);
	if (document.error)
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
	else
		call_answer_json(call, code, buf_slice(&document));
	buf_done(&document);
}

static bool is_known(const struct call *call, uint64_t rev)
{
	struct slice known;

	for (size_t at = 0; head_next_field(call_head(call), "If-None-Match", &at, &known);)
		if (etag_matches(known, rev))
			return true;
	return false;
}

static void answer_status(struct call *call, const struct store_task *task)
{
	poll_answer_status(call, is_known(call, task->rev) ? 304 : 200, task);
}

const struct poll_view poll_status = {.with = STORE_WITH_JSON, .answer = answer_status};

/* ---- waiting ---- */

/* A client that names another version than this one has something to read already. */
static bool is_worth_waiting(const struct poll *p, const struct store_task *task)
{
	if (p->wait_ms == 0 || task_state_is_terminal(task->state))
		return false;
	return p->view->until_end || !slice_is_set(call_header(p->call, "If-None-Match")) ||
	       is_known(p->call, task->rev);
}

static void on_read(const struct store_task *task, void *arg);

static void on_waited(bool has_come, void *arg)
{
	struct poll *p = arg;

	p->wait_ms = 0;
	call_on_gone(p->call, NULL, NULL);
	lookup_task(p->g, p->call, p->id_text, p->view->with, on_read, p);
}

static void on_gone(struct call *call, void *arg)
{
	struct poll *p = arg;

	waiter_remove(p->waiter);
	call_problem(call, PROBLEM_BUSY, NULL, "the client has gone");
	free(p);
}

static int start_waiting(struct poll *p, const struct store_task *task)
{
	struct wait_for what = {
		.id = task->id,
		.until_end = p->view->until_end,
		.rev = task->rev,
		.timeout_ms = p->wait_ms,
		.share = call_share(p->call),
	};

	int rc = call_is_gone(p->call) ? -EPIPE : waiter_add(p->g->waiters, &what, on_waited, p, &p->waiter);

	if (rc < 0)
		return rc;
	call_set_waiting(p->call);
	call_on_gone(p->call, on_gone, p);
	return 0;
}

static void on_read(const struct store_task *task, void *arg)
{
	struct poll *p = arg;

	int rc = task && is_worth_waiting(p, task) ? start_waiting(p, task) : -ENODATA;

	if (rc == 0)
		return;
	if (rc == -EDQUOT)
		call_problem_share(p->call, SHARE_WAITERS);
	else if (rc == -EAGAIN)
		call_problem(p->call, PROBLEM_BUSY, NULL, "As many calls wait for a task as may.");
	else if (task)
		p->view->answer(p->call, task);
	free(p);
}

static int read_query(const struct call *call, int64_t *wait_ms, struct fault *fault)
{
	const struct call_param *params;
	size_t len;
	int seconds = 0;

	params = call_params(call, &len);
	for (size_t i = 0; i < len; i++) {
		if (!slice_is_text(params[i].name, "wait"))
			return fault_set_unknown(fault, params[i].name);
		if (wait_parse(params[i].value, &seconds) < 0)
			return fault_set(
				fault, PROBLEM_INVALID_FIELD, "wait", "Not a whole number of seconds.");
	}
	*wait_ms = (int64_t)seconds * 1000;
	return 0;
}

void poll_start(struct gateway *g, struct call *call, struct slice id_text, const struct poll_view *view)
{
	struct fault fault;
	struct poll *p;
	int64_t wait_ms = 0;

	if (read_query(call, &wait_ms, &fault) < 0) {
		fault_send(&fault, call);
		return;
	}
	p = malloc(sizeof *p);
	if (!p) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*p = (struct poll){.g = g, .call = call, .id_text = id_text, .view = view, .wait_ms = wait_ms};
	lookup_task(g, call, id_text, view->with, on_read, p);
}
