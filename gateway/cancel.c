#include "gateway/cancel.h"

#include <stdlib.h>

#include "gateway/control_out.h"
#include "gateway/lookup.h"
#include "gateway/poll.h"
#include "runtime/clock.h"

struct cancel {
	struct gateway *g;
	struct call *call;
	struct slice id_text;
	struct id id; /* whom the store or the processors are asked to cancel */
	struct id
		rest; /* of a chain, when id is the step that runs or will: the first one after it; zero: none */
	int code;     /* of the answer with the status document */
};

static void answer_too_late(struct call *call, const char *status)
{
	call_problem(call, PROBLEM_CONFLICT, NULL, "the task has ended already: %s", status);
}

static void on_last_read(const struct store_task *task, void *arg)
{
	struct cancel *c = arg;

	if (task)
		poll_answer_status(c->call, c->code, task);
	free(c);
}

static void answer_with_status(struct cancel *c, int code)
{
	c->code = code;
	lookup_task(c->g, c->call, c->id_text, STORE_WITH_JSON, on_last_read, c);
}

static void answer_store_failed(struct cancel *c)
{
	lookup_store_failed(c->call);
	free(c);
}

static void on_read_too_late(const struct store_task *task, void *arg)
{
	struct cancel *c = arg;

	if (task && task->state == TASK_CANCELED)
		poll_answer_status(c->call, 200, task);
	else if (task)
		answer_too_late(c->call, task_state_name(task->state));
	free(c);
}

static void answer_away(struct cancel *c)
{
	call_problem(c->call, PROBLEM_BROKER_UNAVAILABLE, NULL, "the processors could not be told");
	free(c);
}

static void cancel_stored(struct cancel *c);

static void cancel_rest(struct cancel *c)
{
	c->id = c->rest;
	c->rest = (struct id){0};
	cancel_stored(c);
}

static void on_told(enum broker_outcome outcome, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (outcome != BROKER_CONFIRMED)
		answer_away(c);
	else if (id_is_zero(&c->rest))
		answer_with_status(c, 202);
	else
		cancel_rest(c);
}

static void tell_processors(struct cancel *c)
{
	if (control_cancel(c->g, &c->id, on_told, c) < 0)
		answer_away(c);
	else
		gateway_job_begin(c->g);
}

static void on_canceled(int rc, enum store_cancel what, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (rc < 0) {
		answer_store_failed(c);
		return;
	}
	switch (what) {
	case STORE_CANCEL_DONE: answer_with_status(c, 200); break;
	case STORE_CANCEL_NOT_HERE: tell_processors(c); break;
	case STORE_CANCEL_TOO_LATE:
		if (id_is_zero(&c->rest))
			lookup_task(c->g, c->call, c->id_text, STORE_WITH_JSON, on_read_too_late, c);
		else
			cancel_rest(c);
		break;
	}
}

static void cancel_stored(struct cancel *c)
{
	if (store_task_cancel(c->g->store, &c->id, clock_wall_ms(), on_canceled, c) == 0)
		gateway_job_begin(c->g);
	else
		answer_store_failed(c);
}

/* ---- the chain before it ---- */

/* Of a route: what follows by `then` wants what came before, which was asked for itself. */
static bool waits_in_chain(const struct store_task *task)
{
	return task->presence == STORE_PRESENT && task->state == TASK_SCHEDULED && task->due_at_ms == 0 &&
	       task->waits == STORE_WAITS_TASK && !task->wants_previous;
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

/* All that waits is canceled with the one that it waits for, so it begins with the one that does not. */
static void find_first(struct cancel *c, const struct store_task *task)
{
	if (!waits_in_chain(task)) {
		c->id = task->id;
		cancel_stored(c);
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

	if (!task) {
		free(c);
	} else if (task->state == TASK_CANCELED) {
		/* So that a DELETE may be repeated. */
		c->code = 200;
		on_last_read(task, c);
	} else if (task_state_is_terminal(task->state)) {
		answer_too_late(c->call, task_state_name(task->state));
		free(c);
	} else {
		find_first(c, task);
	}
}

void cancel_task(struct gateway *g, struct call *call, struct slice id_text)
{
	struct cancel *c = malloc(sizeof *c);

	if (!c) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*c = (struct cancel){.g = g, .call = call, .id_text = id_text};
	lookup_task(g, call, id_text, STORE_WITH_JSON, on_read, c);
}
