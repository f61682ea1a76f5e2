/*
 * Calls: reading tasks, what becomes of them, tasks that are to run later, canceling.
 */
#include <assert.h>
#include <errno.h>

#include "store/op.h"

/* ---- reading ---- */

static int run_tasks_get(struct backend *b, struct op *op)
{
	return b->type->tasks_get(
		b, &op->arena, op->tasks.ids, op->tasks.len, op->tasks.with, op->tasks.tasks);
}

static void reply_tasks(struct op *op)
{
	op->tasks.cb(op->rc, op->tasks.tasks, op->rc < 0 ? 0 : op->tasks.len, op->arg);
}

static const struct op_type op_tasks_get = {"tasks_get", false, run_tasks_get, reply_tasks};

int store_tasks_get(
	struct store *s, const struct id *ids, size_t len, unsigned with, store_tasks_cb *cb, void *arg)
{
	struct op *op = op_new(&op_tasks_get, arg);

	assert(len <= STORE_READ_MAX);
	if (!op)
		return -ENOMEM;
	op->tasks.cb = cb;
	op->tasks.ids = op_copy_ids(op, ids, len);
	op->tasks.len = len;
	op->tasks.with = with;
	op->tasks.tasks = arena_alloc(&op->arena, len, sizeof *op->tasks.tasks);
	return store_submit(s, op);
}

static int run_tasks_list(struct backend *b, struct op *op)
{
	return b->type->tasks_list(b, &op->arena, &op->tasks.query, op->tasks.tasks, &op->tasks.len);
}

static const struct op_type op_tasks_list = {"tasks_list", false, run_tasks_list, reply_tasks};

int store_tasks_list(struct store *s, const struct store_list_query *q, store_tasks_cb *cb, void *arg)
{
	struct op *op = op_new(&op_tasks_list, arg);

	assert(q->limit <= STORE_READ_MAX);
	if (!op)
		return -ENOMEM;
	op->tasks.cb = cb;
	op->tasks.query = *q;
	op->tasks.query.tenant = op_copy(op, q->tenant);
	op->tasks.query.task = op_copy(op, q->task);
	op->tasks.tasks = arena_alloc(&op->arena, q->limit, sizeof *op->tasks.tasks);
	return store_submit(s, op);
}

static int run_tasks_count(struct backend *b, struct op *op)
{
	return b->type->tasks_count(b, &op->arena, op->counts.tenant, &op->counts.counts, &op->counts.len);
}

static void reply_counts(struct op *op)
{
	op->counts.cb(op->rc, op->counts.counts, op->rc < 0 ? 0 : op->counts.len, op->arg);
}

static const struct op_type op_tasks_count = {"tasks_count", false, run_tasks_count, reply_counts};

int store_tasks_count(struct store *s, struct slice tenant, store_counts_cb *cb, void *arg)
{
	struct op *op = op_new(&op_tasks_count, arg);

	if (!op)
		return -ENOMEM;
	op->counts.cb = cb;
	op->counts.tenant = op_copy(op, tenant);
	return store_submit(s, op);
}

/* ---- tasks that run later ---- */

static void reply_done(struct op *op)
{
	op->done.cb(op->rc, op->arg);
}

static int run_later_insert(struct backend *b, struct op *op)
{
	return b->type->later_insert(
		b, &op->arena, op->done.later.tasks, op->done.later.len, &op->done.later.is_gone);
}

static void reply_later_insert(struct op *op)
{
	op->done.cb(op->rc == 0 && op->done.later.is_gone ? -ENOENT : op->rc, op->arg);
}

static const struct op_type op_later_insert = {"later_insert", true, run_later_insert, reply_later_insert};

int store_later_insert(
	struct store *s, const struct store_later *tasks, size_t len, store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_later_insert, arg);
	struct store_later *copy;

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	copy = op_copy_array(op, tasks, len, sizeof *tasks);
	for (size_t i = 0; copy && i < len; i++) {
		copy[i].tenant = op_copy(op, tasks[i].tenant);
		copy[i].task = op_copy(op, tasks[i].task);
		copy[i].request = op_copy(op, tasks[i].request);
		copy[i].metadata = op_copy(op, tasks[i].metadata);
	}
	op->done.later.tasks = copy;
	op->done.later.len = len;
	return store_submit(s, op);
}

static int run_later_undo(struct backend *b, struct op *op)
{
	return b->type->later_undo(b, op->done.undo.ids, op->done.undo.len);
}

static const struct op_type op_later_undo = {"later_undo", true, run_later_undo, reply_done};

int store_later_undo(struct store *s, const struct id *ids, size_t len, store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_later_undo, arg);

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	op->done.undo.ids = op_copy_ids(op, ids, len);
	op->done.undo.len = len;
	return store_submit(s, op);
}

/* ---- what becomes of tasks ---- */

static int run_apply(struct backend *b, struct op *op)
{
	return b->type->apply(b, &op->arena, op->apply.events, op->apply.len, op->apply.applied);
}

static void reply_apply(struct op *op)
{
	op->apply.cb(op->rc, op->apply.applied, op->rc < 0 ? 0 : op->apply.len, op->arg);
}

static const struct op_type op_apply = {"apply", true, run_apply, reply_apply};

static void copy_error(struct op *op, const struct store_error *from, struct store_error *to)
{
	to->type = op_copy(op, from->type);
	to->message = op_copy(op, from->message);
	to->data = op_copy(op, from->data);
}

static void copy_event(struct op *op, const struct store_event *from, struct store_event *to)
{
	to->tenant = op_copy(op, from->tenant);
	to->task = op_copy(op, from->task);
	to->metadata = op_copy(op, from->metadata);
	to->deliver = op_copy(op, from->deliver);
	to->result = op_copy(op, from->result);
	to->content_type = op_copy(op, from->content_type);
	to->progress = op_copy(op, from->progress);
	to->worker = op_copy(op, from->worker);
	to->request = op_copy(op, from->request);
	copy_error(op, &from->error, &to->error);
}

int store_apply(struct store *s, const struct store_event *events, size_t len, store_apply_cb *cb, void *arg)
{
	struct op *op = op_new(&op_apply, arg);
	struct store_event *copy;

	assert(len <= STORE_EVENTS_MAX);
	if (!op)
		return -ENOMEM;
	op->apply.cb = cb;
	copy = op_copy_array(op, events, len, sizeof *events);
	for (size_t i = 0; copy && i < len; i++)
		copy_event(op, &events[i], &copy[i]);
	op->apply.events = copy;
	op->apply.len = len;
	op->apply.applied = arena_alloc(&op->arena, len, sizeof *op->apply.applied);
	return store_submit(s, op);
}

static int run_cancel(struct backend *b, struct op *op)
{
	return b->type->task_cancel(b, &op->arena, &op->cancel.id, op->cancel.now_ms, &op->cancel.what);
}

static void reply_cancel(struct op *op)
{
	op->cancel.cb(op->rc, op->cancel.what, op->arg);
}

static const struct op_type op_cancel = {"task_cancel", true, run_cancel, reply_cancel};

int store_task_cancel(struct store *s, const struct id *id, int64_t now_ms, store_cancel_cb *cb, void *arg)
{
	struct op *op = op_new(&op_cancel, arg);

	if (!op)
		return -ENOMEM;
	op->cancel.cb = cb;
	op->cancel.id = *id;
	op->cancel.now_ms = now_ms;
	return store_submit(s, op);
}
