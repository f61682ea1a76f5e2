#include "gateway/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/live.h"
#include "gateway/lookup.h"
#include "gateway/sse.h"
#include "proto/name.h"
#include "runtime/clock.h"

/* One stream and what it follows. */
struct events {
	struct gateway *g;
	struct sse *sse;
	struct live_follower *follower;
};

/* A client that opens a stream of a task. */
struct opening {
	struct gateway *g;
	struct call *call;
	uint64_t seen;
};

/* ---- what was seen before ---- */

/* The header that browsers send when they connect again; the parameter is for those that cannot set it. */
static struct slice last_event_id(const struct call *call)
{
	struct slice id = call_header(call, "last-event-id");

	return slice_is_set(id) ? id : call_param(call, "last_event_id");
}

/* A rev. What is none of ours means that nothing was seen. */
static uint64_t parse_rev(struct slice text)
{
	uint64_t rev = 0;

	if (text.len > 18)
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return 0;
		rev = rev * 10 + (text.data[i] - '0');
	}
	return rev;
}

static int check_query(const struct call *call, const char *also, struct fault *fault)
{
	const struct call_param *params;
	size_t len;

	if (call_has_key_in_query(call))
		return fault_set(fault, PROBLEM_INVALID_FIELD, NULL, "%s", CALL_KEY_IN_QUERY);
	params = call_params(call, &len);
	for (size_t i = 0; i < len; i++) {
		struct slice name = params[i].name;

		if (!slice_is_text(name, "last_event_id") && !slice_is_text(name, "ticket") &&
			!(also && slice_is_text(name, also)))
			return call_has_key_in_query(call)
				       ? fault_set(fault, PROBLEM_INVALID_FIELD, NULL, CALL_KEY_IN_QUERY)
				       : fault_set_unknown(fault, name);
	}
	return 0;
}

/* ---- a stream ---- */

static void on_gone(void *arg)
{
	struct events *e = arg;

	live_unfollow(e->follower);
	gateway_job_end(e->g);
	free(e);
}

/* HEAD: what the answer to GET would begin with. False: that was all. */
static bool wants_stream(struct call *call)
{
	if (call_method(call) != CALL_HEAD)
		return true;
	call_answer(call, 200, slice_text("text/event-stream"), (struct slice){0});
	return false;
}

static void follow_failed(struct call *call, int rc)
{
	if (rc == -EDQUOT)
		call_problem_share(call, SHARE_FOLLOWERS);
	else if (rc == -EAGAIN)
		call_problem(call, PROBLEM_BUSY, NULL, "As many tasks are followed as may be.");
	else
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
}

/* `rc`: of following, which comes first, as the stream can only be taken back by cutting it. Owns: e. */
static void start(struct gateway *g, struct call *call, struct events *e, int rc)
{
	if (rc < 0) {
		follow_failed(call, rc);
		free(e);
		return;
	}
	e->g = g;
	gateway_job_begin(g);
	if (sse_start(e->g->sse, call, on_gone, e, &e->sse) < 0)
		on_gone(e);
}

/* ---- one task ---- */

static void on_change(const struct live_change *change, void *arg)
{
	struct events *e = arg;
	char id[24];

	snprintf(id, sizeof id, "%" PRIu64, change->rev);
	if (slice_is_set(change->document))
		sse_send(e->sse, id, "status", change->document);
	else
		sse_send(e->sse, NULL, "gone", slice_text("{}"));
	if (change->is_last)
		sse_end(e->sse);
}

static void open_task(struct gateway *g, struct call *call, const struct id *id, uint64_t seen)
{
	struct events *e = calloc(1, sizeof *e);

	int rc = e ? live_follow(g->live, call_share(call), id, seen, on_change, e, &e->follower) : -ENOMEM;

	start(g, call, e, rc);
}

static void on_task(const struct store_task *task, void *arg)
{
	struct opening *o = arg;

	/* To a browser this says: do not connect again. */
	if (task && task_state_is_terminal(task->state) && o->seen && o->seen == task->rev)
		call_answer(o->call, 204, (struct slice){0}, (struct slice){0});
	else if (task && wants_stream(o->call))
		open_task(o->g, o->call, &task->id, o->seen);
	free(o);
}

void events_of_task(struct gateway *g, struct call *call, struct slice id_text)
{
	struct opening *o;
	struct fault fault;

	if (check_query(call, NULL, &fault) < 0) {
		fault_send(&fault, call);
		return;
	}
	o = calloc(1, sizeof *o);
	if (!o) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*o = (struct opening){.g = g, .call = call, .seen = parse_rev(last_event_id(call))};
	lookup_task(g, call, id_text, 0, on_task, o);
}

/* ---- a tenant ---- */

static void send_start(struct events *e)
{
	char text[64], now[CLOCK_TEXT_LEN + 1];

	clock_format(clock_wall_ms(), now);
	snprintf(text, sizeof text, "{\"at\":\"%s\"}", now);
	sse_send(e->sse, NULL, "start", slice_text(text));
}

static void on_tenant_change(const struct live_change *change, void *arg)
{
	struct events *e = arg;
	char id[ID_TEXT_LEN + 24];

	if (!change->task) {
		send_start(e);
		return;
	}
	id_format(&change->task->id, id);
	snprintf(id + ID_TEXT_LEN, sizeof id - ID_TEXT_LEN, "/%" PRIu64, change->rev);
	sse_send(e->sse, id, "status", change->document);
}

static void open_tenant(struct gateway *g, struct call *call, struct slice task)
{
	struct events *e = calloc(1, sizeof *e);
	int rc = e ? live_follow_tenant(g->live, call_share(call), call_tenant(call), task, on_tenant_change,
			     e, &e->follower)
		   : -ENOMEM;

	start(g, call, e, rc);
}

void events_of_tenant(struct call *call, void *arg)
{
	struct slice task = call_param(call, "task");
	struct fault fault;
	int rc = check_query(call, "task", &fault);

	if (rc == 0 && slice_is_set(task) && !name_is_valid(task))
		rc = fault_set(&fault, PROBLEM_INVALID_FIELD, "task", "Not a task name.");
	if (rc < 0)
		fault_send(&fault, call);
	else if (wants_stream(call))
		open_tenant(arg, call, task);
}
