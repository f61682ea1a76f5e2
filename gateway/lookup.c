#include "gateway/lookup.h"

#include <stdlib.h>

#include "service/status.h"
#include "runtime/clock.h"

struct lookup {
	struct gateway *g;
	struct call *call;
	lookup_cb *cb;
	void *arg;
};

bool lookup_is_ready(const struct gateway *g, struct call *call)
{
	if (ids_are_ready(&g->ids))
		return true;
	lookup_store_failed(call);
	return false;
}

void lookup_store_failed(struct call *call)
{
	call_problem(call, PROBLEM_STORE_UNAVAILABLE, NULL, "the store does not answer just now");
}

void lookup_not_found(struct call *call, const char *what)
{
	call_problem(call, PROBLEM_NOT_FOUND, NULL, "there is no such %s", what);
}

void lookup_gone(struct call *call)
{
	call_problem(call, PROBLEM_GONE, NULL, "the lifetime of this task has passed");
}

static const char *kind_name(enum id_kind kind)
{
	switch (kind) {
	case ID_TASK: return "task";
	case ID_BATCH: return "batch";
	case ID_DELIVERY: return "delivery";
	case ID_ENDPOINT: return "endpoint";
	case ID_SCHEDULE: break;
	}
	return "schedule";
}

bool lookup_read_id(
	struct gateway *g, struct call *call, enum id_kind kind, struct slice id_text, struct id *out)
{
	if (!lookup_is_ready(g, call))
		return false;
	if (ids_parse(&g->ids, kind, call_tenant(call), id_text, out) == 0)
		return true;
	lookup_not_found(call, kind_name(kind));
	return false;
}

static void hand_over(struct lookup *l, const struct store_task *task)
{
	struct store_task queued;

	switch (status_presence(task, clock_wall_ms(), gateway_lifetime_ms(l->g))) {
	case STATUS_KNOWN: l->cb(task, l->arg); break;
	case STATUS_QUEUED:
		queued = status_queued(&task->id);
		l->cb(&queued, l->arg);
		break;
	case STATUS_GONE:
		lookup_gone(l->call);
		l->cb(NULL, l->arg);
		break;
	}
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct lookup *l = arg;

	if (rc < 0) {
		lookup_store_failed(l->call);
		l->cb(NULL, l->arg);
	} else {
		hand_over(l, &tasks[0]);
	}
	gateway_job_end(l->g);
	free(l);
}

static bool start(struct lookup *l, const struct id *id, unsigned with)
{
	struct lookup *kept = malloc(sizeof *kept);

	if (!kept)
		return false;
	*kept = *l;
	if (store_tasks_get(l->g->store, id, 1, with, on_tasks, kept) == 0) {
		gateway_job_begin(l->g);
		return true;
	}
	free(kept);
	return false;
}

void lookup_task(
	struct gateway *g, struct call *call, struct slice id_text, unsigned with, lookup_cb *cb, void *arg)
{
	struct lookup l = {g, call, cb, arg};
	struct id id;

	if (!lookup_read_id(g, call, ID_TASK, id_text, &id)) {
		cb(NULL, arg);
	} else if (!start(&l, &id, with)) {
		lookup_store_failed(call);
		cb(NULL, arg);
	}
}
