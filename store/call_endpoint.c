/*
 * Calls: registered endpoints.
 */
#include <errno.h>

#include "store/op.h"

static void reply_endpoints(struct op *op)
{
	const struct backend_endpoints *found = &op->endpoint.found;

	op->endpoint.cb(op->rc, found->what, found->items, op->rc < 0 ? 0 : found->len, op->arg);
}

/* An op on the endpoint `id` (zero: all) of the tenant; NULL when out of memory. */
static struct op *endpoint_op(const struct op_type *type, const struct id *id, struct slice tenant,
	store_endpoints_cb *cb, void *arg)
{
	struct op *op = op_new(type, arg);

	if (!op)
		return NULL;
	op->endpoint.cb = cb;
	op->endpoint.id = *id;
	op->endpoint.tenant = op_copy(op, tenant);
	return op;
}

/* ---- reading ---- */

static int run_get(struct backend *b, struct op *op)
{
	return b->type->endpoints_get(
		b, &op->arena, &op->endpoint.id, op->endpoint.tenant, &op->endpoint.found);
}

static const struct op_type op_get = {"endpoints_get", false, run_get, reply_endpoints};

int store_endpoint_get(
	struct store *s, const struct id *id, struct slice tenant, store_endpoints_cb *cb, void *arg)
{
	struct op *op = endpoint_op(&op_get, id, tenant, cb, arg);

	return op ? store_submit(s, op) : -ENOMEM;
}

int store_endpoints_list(struct store *s, struct slice tenant, store_endpoints_cb *cb, void *arg)
{
	const struct id all = {0};

	return store_endpoint_get(s, &all, tenant, cb, arg);
}

/* ---- writing ---- */

static int run_add(struct backend *b, struct op *op)
{
	return b->type->endpoint_add(b, &op->arena, &op->endpoint.add, &op->endpoint.found);
}

static const struct op_type op_add = {"endpoint_add", true, run_add, reply_endpoints};

int store_endpoint_add(struct store *s, const struct store_endpoint *e, store_endpoints_cb *cb, void *arg)
{
	struct op *op = endpoint_op(&op_add, &e->id, e->tenant, cb, arg);

	if (!op)
		return -ENOMEM;
	op->endpoint.add = (struct store_endpoint){
		.id = e->id,
		.tenant = op->endpoint.tenant,
		.url = op_copy(op, e->url),
		.description = op_copy(op, e->description),
		.tasks = op_copy(op, e->tasks),
		.outcomes = e->outcomes,
		.secret = op_copy(op, e->secret),
		.created_at_ms = e->created_at_ms,
	};
	return store_submit(s, op);
}

static int run_change(struct backend *b, struct op *op)
{
	return b->type->endpoint_change(b, &op->arena, &op->endpoint.id, op->endpoint.tenant,
		&op->endpoint.change, &op->endpoint.found);
}

static const struct op_type op_change = {"endpoint_change", true, run_change, reply_endpoints};

int store_endpoint_change(struct store *s, const struct id *id, struct slice tenant,
	const struct store_endpoint_change *change, store_endpoints_cb *cb, void *arg)
{
	struct op *op = endpoint_op(&op_change, id, tenant, cb, arg);

	if (!op)
		return -ENOMEM;
	op->endpoint.change = *change;
	op->endpoint.change.url = op_copy(op, change->url);
	op->endpoint.change.description = op_copy(op, change->description);
	op->endpoint.change.tasks = op_copy(op, change->tasks);
	op->endpoint.change.reason = op_copy(op, change->reason);
	return store_submit(s, op);
}

static int run_rotate(struct backend *b, struct op *op)
{
	return b->type->endpoint_rotate(b, &op->arena, &op->endpoint.id, op->endpoint.tenant,
		op->endpoint.secret, op->endpoint.old_until_ms, op->endpoint.now_ms, &op->endpoint.found);
}

static const struct op_type op_rotate = {"endpoint_rotate", true, run_rotate, reply_endpoints};

int store_endpoint_rotate(struct store *s, const struct id *id, struct slice tenant, struct slice secret,
	int64_t old_until_ms, int64_t now_ms, store_endpoints_cb *cb, void *arg)
{
	struct op *op = endpoint_op(&op_rotate, id, tenant, cb, arg);

	if (!op)
		return -ENOMEM;
	op->endpoint.secret = op_copy(op, secret);
	op->endpoint.old_until_ms = old_until_ms;
	op->endpoint.now_ms = now_ms;
	return store_submit(s, op);
}

static int run_remove(struct backend *b, struct op *op)
{
	return b->type->endpoint_remove(b, &op->endpoint.id, op->endpoint.tenant, &op->endpoint.found);
}

static const struct op_type op_remove = {"endpoint_remove", true, run_remove, reply_endpoints};

int store_endpoint_remove(
	struct store *s, const struct id *id, struct slice tenant, store_endpoints_cb *cb, void *arg)
{
	struct op *op = endpoint_op(&op_remove, id, tenant, cb, arg);

	return op ? store_submit(s, op) : -ENOMEM;
}
