#include "gateway/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/asking.h"
#include "gateway/dispatch.h"
#include "gateway/gateway.h"
#include "gateway/idempotency.h"
#include "service/json_out.h"
#include "gateway/lookup.h"
#include "gateway/metrics.h"
#include "service/status.h"
#include "gateway/submit.h"
#include "gateway/tasks.h"
#include "runtime/clock.h"

enum { LEASE_MS = 30000, MEMBERS_MAX = 1024 };
#define DOCUMENT_MAX ((size_t)256 * 1024 * 1024)

struct item {
	struct batch *batch;
	struct submission *submission; /* NULL: refused when it was read */
	struct fault fault;
	enum dispatch_outcome outcome;
	const char *no_queue; /* the task, of its steps, that has none; NULL: not the trouble */
};

struct batch {
	struct gateway *g;
	struct call *call;
	struct idempotency *claim; /* NULL: no key */
	struct id id;
	bool is_resumed;
	struct batch_read read;
	struct item *items;
	size_t waiting;	       /* items without an outcome, and one for the loop that starts them */
	struct buf items_text; /* JSON: what became of each */
	struct answer answer;
};

/* ---- the end ---- */

static void batch_free(struct batch *b)
{
	struct gateway *g = b->g;

	batch_read_done(&b->read);
	free(b->items);
	buf_done(&b->items_text);
	answer_done(&b->answer);
	free(b);
	gateway_job_end(g);
}

static void send_answer(void *arg)
{
	struct batch *b = arg;

	answer_send(&b->answer, b->call);
	batch_free(b);
}

static void finish(struct batch *b)
{
	if (b->claim)
		idempotency_end(b->claim, &b->answer, send_answer, b);
	else
		send_answer(b);
}

static void finish_with_problem(struct batch *b, enum problem problem, const char *detail)
{
	b->answer.fate = ANSWER_RELEASE;
	answer_problem(&b->answer, problem, NULL, NULL, detail, b->call);
	finish(b);
}

/* ---- what became of each ---- */

static bool is_accepted(const struct item *item)
{
	return item->submission && item->outcome == DISPATCH_ACCEPTED;
}

/* What a problem of one that was dispatched has besides, as with a single submission. */
static void render_members(const struct item *item, struct buf *out)
{
	if (item->no_queue)
		json_out_text(out, "task", slice_text(item->no_queue));
	if (item->outcome == DISPATCH_UNKNOWN) {
		json_out_text(out, "outcome", slice_text("unknown"));
		json_out_id(out, "id", &item->submission->id);
	}
}

static void render_problem(const struct item *item, const struct call *call, struct buf *out)
{
	const struct fault *f = &item->fault;
	struct buf members;

	json_out_text(out, "status", slice_text("refused"));
	json_out_key(out, "problem");
	if (!item->submission) {
		problem_render(f->problem, f->field[0] ? f->field : NULL, NULL, f->detail,
			call_request_id(call), out);
		return;
	}
	buf_init(&members, MEMBERS_MAX);
	render_members(item, &members);
	problem_render(dispatch_problem(item->outcome), NULL, buf_text(&members),
		dispatch_detail(item->outcome), call_request_id(call), out);
	buf_done(&members);
}

static void render_accepted(const struct item *item, struct buf *out)
{
	const struct submission *s = item->submission;

	json_out_id(out, "id", &s->id);
	json_out_text(out, "task", slice_text(s->task));
	json_out_text(
		out, "status", slice_text(task_state_name(s->run_at_ms ? TASK_SCHEDULED : TASK_QUEUED)));
	if (s->then)
		submit_render_steps("tasks", s, out);
	status_render_links(&s->id, out);
}

static void render_items(const struct batch *b, struct buf *out)
{
	buf_append_byte(out, '[');
	for (size_t i = 0; i < b->read.len; i++) {
		json_out_open(out, NULL, '{');
		if (is_accepted(&b->items[i]))
			render_accepted(&b->items[i], out);
		else
			render_problem(&b->items[i], b->call, out);
		json_out_close(out, '}');
	}
	buf_append_byte(out, ']');
}

static void render_links(const struct id *id, struct buf *out)
{
	char text[ID_TEXT_LEN + 1];

	id_format(id, text);
	json_out_open(out, "links", '{');
	json_out_key(out, "self");
	buf_printf(out, "\"/v1/batches/%s\"", text);
	json_out_close(out, '}');
}

static size_t accepted_ids(const struct batch *b, struct id *out)
{
	size_t len = 0;

	for (size_t i = 0; i < b->read.len; i++) {
		const struct submission *s = b->items[i].submission;

		if (s && b->items[i].outcome == DISPATCH_ACCEPTED)
			out[len++] = s->id;
	}
	return len;
}

static void make_answer(struct batch *b)
{
	struct answer *a = &b->answer;
	char id[ID_TEXT_LEN + 1];

	id_format(&b->id, id);
	a->status = 202;
	a->fate = ANSWER_KEEP;
	a->retry_after_s = 1;
	snprintf(a->location, sizeof a->location, "/v1/batches/%s", id);
	snprintf(a->content_type, sizeof a->content_type, "application/json");
	json_out_open(&a->body, NULL, '{');
	json_out_id(&a->body, "id", &b->id);
	json_out_raw(&a->body, "items", buf_slice(&b->items_text));
	if (b->read.then)
		json_out_id(&a->body, "then", &b->read.then->id);
	if (b->read.then && b->read.then->then)
		submit_render_steps("then_tasks", b->read.then, &a->body);
	render_links(&b->id, &a->body);
	json_out_close(&a->body, '}');
}

/* ---- sealing ---- */

/* The items are accepted, but without the list of them there is no batch: nothing would ever come after it. */
static void make_unsealed(struct batch *b)
{
	struct buf members;

	buf_init(&members, DOCUMENT_MAX);
	json_out_text(&members, "outcome", slice_text("unknown"));
	json_out_id(&members, "id", &b->id);
	json_out_raw(&members, "items", buf_slice(&b->items_text));
	b->answer.fate = ANSWER_UNKNOWN;
	answer_problem(&b->answer, PROBLEM_STORE_UNAVAILABLE, NULL, buf_text(&members),
		"the items are on their way, but the store did not take the list of them: send the batch again under "
		"the same Idempotency-Key",
		b->call);
	buf_done(&members);
}

static void on_sealed(int rc, void *arg)
{
	struct batch *b = arg;

	if (rc < 0) {
		log_warn("batch_not_sealed", LOG_ERRNO(rc));
		make_unsealed(b);
	}
	finish(b);
}

static void seal(struct batch *b, const struct id *accepted, size_t len)
{
	int rc = store_batch_seal(
		b->g->store, &b->id, accepted, len, buf_slice(&b->items_text), clock_wall_ms(), on_sealed, b);

	if (rc < 0)
		on_sealed(rc, b);
}

static const struct item *first_refused(const struct batch *b)
{
	size_t i = 0;

	while (is_accepted(&b->items[i]))
		i++;
	return &b->items[i];
}

static void on_undone(int rc, void *arg)
{
	finish(arg);
}

static int undo_then(struct batch *b)
{
	struct id ids[SUBMISSION_STEPS_MAX];
	size_t len = 0;

	for (const struct submission *s = b->read.then; s; s = s->then)
		ids[len++] = s->id;
	return store_later_undo(b->g->store, ids, len, on_undone, b);
}

/*
 * No item was accepted: the problem of the first is the problem of the batch, and what waited for it goes again, unless
 * an earlier try stored it.
 */
static void refuse_all(struct batch *b)
{
	const struct item *item = first_refused(b);
	struct buf members;
	int rc = -ENOENT;

	buf_init(&members, DOCUMENT_MAX);
	if (item->submission)
		render_members(item, &members);
	json_out_raw(&members, "items", buf_slice(&b->items_text));
	b->answer.fate = ANSWER_RELEASE;
	if (item->submission)
		answer_problem(&b->answer, dispatch_problem(item->outcome), NULL, buf_text(&members),
			dispatch_detail(item->outcome), b->call);
	else
		answer_problem(&b->answer, item->fault.problem, item->fault.field, buf_text(&members),
			item->fault.detail, b->call);
	buf_done(&members);
	for (size_t i = 0; i < b->read.len; i++)
		if (b->items[i].submission && b->items[i].outcome == DISPATCH_UNKNOWN)
			b->answer.fate = ANSWER_UNKNOWN;
	if (b->read.then && !b->is_resumed)
		rc = undo_then(b);
	if (rc < 0)
		finish(b);
}

static void all_ended(struct batch *b)
{
	struct id *accepted = calloc(b->read.len + 1, sizeof *accepted);
	size_t len;

	render_items(b, &b->items_text);
	if (!accepted || b->items_text.error) {
		finish_with_problem(b, PROBLEM_INTERNAL, "out of memory");
	} else if ((len = accepted_ids(b, accepted)) == 0) {
		refuse_all(b);
	} else {
		make_answer(b);
		seal(b, accepted, len);
	}
	free(accepted);
}

/* ---- the items ---- */

static void one_less(struct batch *b)
{
	if (--b->waiting == 0)
		all_ended(b);
}

static void on_dispatched(enum dispatch_outcome outcome, const char *task, void *arg)
{
	struct item *item = arg;

	item->outcome = outcome;
	item->no_queue = task;
	metrics_add(item->batch->g->service->metrics, GATEWAY_SUBMISSIONS, 1, "batch",
		dispatch_outcome_name(outcome));
	one_less(item->batch);
}

static void dispatch_items(struct batch *b)
{
	b->waiting = 1;
	for (size_t i = 0; i < b->read.len; i++) {
		struct dispatch_request r = {
			.tenant = call_tenant(b->call),
			.first = b->items[i].submission,
			.batch = b->id,
			.is_resumed = b->is_resumed,
			.trace = submit_trace(b->call),
		};

		if (!r.first)
			continue;
		b->waiting++;
		dispatch_start(b->g, &r, on_dispatched, &b->items[i]);
	}
	one_less(b);
}

/* ---- what comes before them ---- */

/* Nothing was accepted: what is to follow the items cannot. */
static void refuse_then(struct batch *b, enum dispatch_outcome outcome, const char *task)
{
	struct buf members;

	buf_init(&members, MEMBERS_MAX);
	if (task)
		json_out_text(&members, "task", slice_text(task));
	b->answer.fate = ANSWER_RELEASE;
	answer_problem(&b->answer, dispatch_problem(outcome), "/then", buf_text(&members),
		dispatch_detail(outcome), b->call);
	buf_done(&members);
	finish(b);
}

static void on_then_dispatched(enum dispatch_outcome outcome, const char *task, void *arg)
{
	struct batch *b = arg;

	if (outcome == DISPATCH_ACCEPTED)
		dispatch_items(b);
	else
		refuse_then(b, outcome, task);
}

static void dispatch_then(struct batch *b)
{
	struct dispatch_request r = {
		.tenant = call_tenant(b->call),
		.first = b->read.then,
		.trace = submit_trace(b->call),
		.is_resumed = b->is_resumed,
	};

	b->read.then->waits_for = b->id;
	b->read.then->waits_for_batch = true;
	dispatch_start(b->g, &r, on_then_dispatched, b);
}

static void on_inserted(int rc, void *arg)
{
	struct batch *b = arg;

	if (rc < 0)
		finish_with_problem(b, PROBLEM_STORE_UNAVAILABLE, "the store does not answer just now");
	else if (b->read.then)
		dispatch_then(b);
	else
		dispatch_items(b);
}

static void insert(struct batch *b)
{
	if (store_batch_insert(b->g->store, &b->id, call_tenant(b->call), (int64_t)id_time_ms(&b->id),
		    on_inserted, b) < 0)
		finish_with_problem(b, PROBLEM_STORE_UNAVAILABLE, "the store does not answer just now");
}

/* ---- ids ---- */

static size_t count_ids(const struct batch *b)
{
	size_t len = submission_steps(b->read.then);

	for (size_t i = 0; i < b->read.len; i++)
		len += submission_steps(b->read.items[i].submission);
	return len;
}

static const struct id *give_ids(struct submission *s, const struct id *ids)
{
	for (; s; s = s->then)
		s->id = *ids++;
	return ids;
}

/* All are minted in one row, so that a later try under the same key finds them again from the batch's own id. */
static int set_ids(struct batch *b, const struct id *earlier)
{
	struct slice tenant = call_tenant(b->call);
	int64_t now_ms = clock_wall_ms();
	size_t len = count_ids(b);
	struct id *ids = calloc(len + 1, sizeof *ids);
	const struct id *next = ids;

	if (!ids)
		return -ENOMEM;
	if (earlier) {
		b->id = *earlier;
		ids_follow(&b->g->ids, earlier, ID_BATCH, tenant, ids, len);
	} else {
		ids_mint(&b->g->ids, ID_BATCH, tenant, now_ms, &b->id, 1);
		ids_mint(&b->g->ids, ID_TASK, tenant, now_ms, ids, len);
	}
	for (size_t i = 0; i < b->read.len; i++)
		next = give_ids(b->read.items[i].submission, next);
	give_ids(b->read.then, next);
	free(ids);
	return 0;
}

static void on_claimed(struct idempotency *claim, const struct id *id, bool is_resumed, void *arg)
{
	struct batch *b = arg;

	if (!claim) {
		batch_free(b);
		return;
	}
	b->claim = claim;
	b->is_resumed = is_resumed;
	if (is_resumed && set_ids(b, id) < 0)
		finish_with_problem(b, PROBLEM_INTERNAL, "out of memory");
	else
		insert(b);
}

/* ---- the endpoint ---- */

static int prepare_items(struct batch *b)
{
	b->items = calloc(b->read.len, sizeof *b->items);
	if (!b->items)
		return -ENOMEM;
	for (size_t i = 0; i < b->read.len; i++) {
		b->items[i].batch = b;
		b->items[i].submission = b->read.items[i].submission;
		b->items[i].fault = b->read.items[i].fault;
	}
	return 0;
}

static struct batch *batch_new(struct gateway *g, struct call *call, struct batch_read *read)
{
	struct batch *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->g = g;
	b->call = call;
	b->read = *read;
	answer_init(&b->answer);
	buf_init(&b->items_text, DOCUMENT_MAX);
	if (prepare_items(b) < 0) {
		free(b);
		return NULL;
	}
	gateway_job_begin(g);
	return b;
}

static void submit(struct gateway *g, struct call *call, struct batch_read *read)
{
	struct batch *b = batch_new(g, call, read);

	if (!b) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		batch_read_done(read);
		return;
	}
	if (set_ids(b, NULL) < 0)
		finish_with_problem(b, PROBLEM_INTERNAL, "out of memory");
	else if (idempotency_is_wanted(call))
		idempotency_claim(g, call, &b->id, LEASE_MS, on_claimed, b);
	else
		insert(b);
}

void batch_post(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct submission_rules rules = submit_rules(g);
	struct batch_read read;
	struct fault fault;
	int rc;

	if (!tasks_body_is_json(call) || !lookup_is_ready(g, call))
		return;
	rc = batch_read(call_body(call), (size_t)g->options->limits.batch, &rules, &read, &fault);
	if (rc < 0)
		fault_answer(rc, &fault, call);
	else if (!call_charge(call, read.len - 1))
		batch_read_done(&read);
	else
		submit(g, call, &read);
}

/* ---- reading ---- */

struct reading {
	struct asking base;
	struct id id;
};

static void render_batch(
	const struct store_batch *batch, const uint32_t by_state[TASK_STATES], struct buf *out)
{
	uint32_t done = 0;

	json_out_open(out, NULL, '{');
	json_out_id(out, "id", &batch->id);
	json_out_time(out, "created_at", batch->created_at_ms);
	json_out_number(out, "total", batch->total);
	for (size_t i = 0; i < TASK_STATES; i++)
		if (task_state_is_terminal((enum task_state)i))
			done += by_state[i];
	json_out_number(out, "done", done);
	json_out_open(out, "counts", '{');
	for (size_t i = 0; i < TASK_STATES; i++)
		json_out_number(out, task_state_name((enum task_state)i), by_state[i]);
	json_out_close(out, '}');
	json_out_raw(out, "items", batch->document);
	render_links(&batch->id, out);
	json_out_close(out, '}');
}

static void answer_absent(const struct reading *r)
{
	int64_t age_ms = clock_wall_ms() - (int64_t)id_time_ms(&r->id);

	if (age_ms > gateway_lifetime_ms(r->base.g))
		call_problem(r->base.call, PROBLEM_GONE, NULL, "the lifetime of this batch has passed");
	else
		lookup_not_found(r->base.call, "batch");
}

static void on_batch(int rc, const struct store_batch *batch, const uint32_t by_state[TASK_STATES], void *arg)
{
	struct reading *r = arg;
	struct buf document;

	if (rc < 0) {
		lookup_store_failed(r->base.call);
	} else if (!batch->found) {
		answer_absent(r);
	} else {
		buf_init(&document, DOCUMENT_MAX);
		render_batch(batch, by_state, &document);
		answer_document(r->base.call, 200, &document);
	}
	asking_end(r);
}

static void start_reading(struct gateway *g, struct call *call, const struct id *id)
{
	struct reading *r = asking_new(g, call, sizeof *r);

	if (!r)
		return;
	r->id = *id;
	asking_begin(r, store_batch_get(g->store, id, on_batch, r));
}

void batch_get(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct id id;

	if (lookup_read_id(g, call, ID_BATCH, call_segment(call, "id"), &id))
		start_reading(g, call, &id);
}
