/*
 * Calls: rows that become due.
 */
#include <assert.h>
#include <errno.h>

#include "store/op.h"

static int run_due_claim(struct backend *b, struct op *op)
{
	return b->type->due_claim(
		b, &op->arena, &op->due.query, op->due.due, &op->due.len, &op->due.next_due_ms);
}

static void reply_due_claim(struct op *op)
{
	op->due.cb(op->rc, op->due.due, op->rc < 0 ? 0 : op->due.len,
		op->rc < 0 ? INT64_MAX : op->due.next_due_ms, op->arg);
}

static const struct op_type op_due_claim = {"due_claim", true, run_due_claim, reply_due_claim};

int store_due_claim(struct store *s, uint64_t owner, const char *channels, int64_t now_ms, int64_t lease_ms,
	size_t limit, store_due_cb *cb, void *arg)
{
	struct op *op = op_new(&op_due_claim, arg);

	assert(limit <= STORE_DUE_MAX);
	if (!op)
		return -ENOMEM;
	op->due.cb = cb;
	op->due.query = (struct backend_due_query){
		.owner = owner,
		.now_ms = now_ms,
		.lease_ms = lease_ms,
		.limit = limit,
	};
	if (channels)
		op->due.query.channels = op_copy_array(op, channels, strlen(channels) + 1, 1);
	op->due.due = arena_alloc(&op->arena, limit, sizeof *op->due.due);
	return store_submit(s, op);
}

static int run_due_end(struct backend *b, struct op *op)
{
	return b->type->due_end(b, &op->arena, op->due_end.owner, op->due_end.results, op->due_end.len,
		&op->due_end.disabled);
}

static void reply_due_end(struct op *op)
{
	const struct backend_endpoints *disabled = &op->due_end.disabled;

	op->due_end.cb(op->rc, disabled->items, op->rc < 0 ? 0 : disabled->len, op->arg);
}

static const struct op_type op_due_end = {"due_end", true, run_due_end, reply_due_end};

int store_due_end(struct store *s, uint64_t owner, const struct store_due_result *results, size_t len,
	store_due_end_cb *cb, void *arg)
{
	struct op *op = op_new(&op_due_end, arg);
	struct store_due_result *copy;

	if (!op)
		return -ENOMEM;
	op->due_end.cb = cb;
	copy = op_copy_array(op, results, len, sizeof *results);
	for (size_t i = 0; copy && i < len; i++) {
		copy[i].error = op_copy(op, results[i].error);
		copy[i].response = op_copy(op, results[i].response);
	}
	op->due_end.owner = owner;
	op->due_end.results = copy;
	op->due_end.len = len;
	return store_submit(s, op);
}
