#include "gateway/cancel.h"

#include <stdlib.h>

#include "gateway/control_out.h"
#include "gateway/lookup.h"
#include "gateway/poll.h"
#include "runtime/clock.h"

enum { TARGETS_MAX = 3 };

struct cancel {
	struct gateway *g;
	struct call *call;
	struct slice id_text;
	struct id named; /* by the call */
	struct id rest;	 /* of a chain: the first step that waits; zero: none */
	struct id targets[TARGETS_MAX];
	size_t targets_len, at;
};

/* ---- the end ---- */

static void answer_store_failed(struct cancel *c)
{
	lookup_store_failed(c->call);
	free(c);
}

static void answer_away(struct cancel *c)
{
	call_problem(c->call, PROBLEM_BROKER_UNAVAILABLE, NULL, "the processors could not be told");
	free(c);
}

/* What is canceled already is no conflict, so that a DELETE may be repeated. */
static void answer_state(struct call *call, const struct store_task *task)
{
	if (task->state == TASK_CANCELED)
		poll_answer_status(call, 200, task);
	else if (task_state_is_terminal(task->state))
		call_problem(call, PROBLEM_CONFLICT, NULL, "the task has ended already: %s",
			task_state_name(task->state));
	else
		poll_answer_status(call, 202, task);
}

static void on_last_read(const struct store_task *task, void *arg)
{
	struct cancel *c = arg;

	if (task)
		answer_state(c->call, task);
	free(c);
}

/* ---- one after the other ---- */

static void cancel_next(struct cancel *c);

static void on_told(enum broker_outcome outcome, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (outcome == BROKER_CONFIRMED)
		cancel_next(c);
	else
		answer_away(c);
}

static void tell_processors(struct cancel *c, const struct id *id)
{
	if (control_cancel(c->g, id, on_told, c) < 0)
		answer_away(c);
	else
		gateway_job_begin(c->g);
}

static void on_canceled(int rc, enum store_cancel what, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (rc < 0)
		answer_store_failed(c);
	else if (what == STORE_CANCEL_NOT_HERE)
		tell_processors(c, &c->targets[c->at - 1]);
	else
		cancel_next(c);
}

static void cancel_next(struct cancel *c)
{
	if (c->at == c->targets_len) {
		lookup_task(c->g, c->call, c->id_text, STORE_WITH_JSON, on_last_read, c);
		return;
	}
	if (store_task_cancel(c->g->store, &c->targets[c->at++], clock_wall_ms(), on_canceled, c) == 0)
		gateway_job_begin(c->g);
	else
		answer_store_failed(c);
}

/* ---- which ---- */

/* Of a route: what follows by `then` wants what came before, which was asked for itself. */
static bool waits_in_chain(const struct store_task *task)
{
	return task->presence == STORE_PRESENT && task->state == TASK_SCHEDULED && task->due_at_ms == 0 &&
	       task->waits == STORE_WAITS_TASK && !task->wants_previous;
}

static void add(struct cancel *c, const struct id *id)
{
	for (size_t i = 0; i < c->targets_len; i++)
		if (id_is_equal(&c->targets[i], id))
			return;
	c->targets[c->targets_len++] = *id;
}

static void find_first(struct cancel *c, const struct store_task *task);

static void on_before(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (rc < 0)
		answer_store_failed(c);
	else
		find_first(c, &tasks[0]);
}

/*
 * Up the chain to the step that runs, or will. That comes first: as long as it could not be canceled the rest waits, and the
 * call can be repeated. All that waits for a step ends with it.
 */
static void find_first(struct cancel *c, const struct store_task *task)
{
	if (!waits_in_chain(task)) {
		add(c, &task->id);
		add(c, &c->named);
		if (!id_is_zero(&c->rest))
			add(c, &c->rest);
		cancel_next(c);
		return;
	}
	c->rest = task->id;
	if (store_tasks_get(c->g->store, &task->waits_for, 1, 0, on_before, c) == 0)
		gateway_job_begin(c->g);
	else
		answer_store_failed(c);
}

static void on_read(const struct store_task *task, void *arg)
{
	struct cancel *c = arg;

	if (!task || task_state_is_terminal(task->state)) {
		on_last_read(task, c);
		return;
	}
	c->named = task->id;
	find_first(c, task);
}

void cancel_task(struct gateway *g, struct call *call, struct slice id_text)
{
	struct cancel *c = calloc(1, sizeof *c);

	if (!c) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	c->g = g;
	c->call = call;
	c->id_text = id_text;
	lookup_task(g, call, id_text, STORE_WITH_JSON, on_read, c);
}
