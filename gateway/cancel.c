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
	struct id id;
	int code; /* of the answer with the status document */
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

static void answer_away(struct cancel *c)
{
	call_problem(c->call, PROBLEM_BROKER_UNAVAILABLE, NULL, "the processors could not be told");
	free(c);
}

static void on_told(enum broker_outcome outcome, void *arg)
{
	struct cancel *c = arg;

	gateway_job_end(c->g);
	if (outcome == BROKER_CONFIRMED)
		answer_with_status(c, 202);
	else
		answer_away(c);
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
		lookup_store_failed(c->call);
		free(c);
		return;
	}
	switch (what) {
	case STORE_CANCEL_DONE: answer_with_status(c, 200); break;
	case STORE_CANCEL_NOT_HERE: tell_processors(c); break;
	case STORE_CANCEL_TOO_LATE:
		answer_too_late(c->call, "it finished meanwhile");
		free(c);
		break;
	}
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
		c->id = task->id;
		if (store_task_cancel(c->g->store, &c->id, clock_wall_ms(), on_canceled, c) == 0) {
			gateway_job_begin(c->g);
			return;
		}
		lookup_store_failed(c->call);
		free(c);
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
