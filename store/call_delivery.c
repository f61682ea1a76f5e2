/*
 * Calls: what became of deliveries, and sending them again.
 */
#include <assert.h>
#include <errno.h>

#include "store/op.h"

/* ---- reading ---- */

static int run_deliveries_get(struct backend *b, struct op *op)
{
	return b->type->deliveries_get(b, &op->arena, &op->deliveries.id, &op->deliveries.found);
}

static int run_delivery_get(struct backend *b, struct op *op)
{
	return b->type->delivery_get(
		b, &op->arena, &op->deliveries.id, op->deliveries.tenant, &op->deliveries.found);
}

static void reply_deliveries(struct op *op)
{
	const struct backend_deliveries *found = &op->deliveries.found;

	op->deliveries.cb(op->rc, &found->task, found->items, op->rc < 0 ? 0 : found->len, op->arg);
}

static const struct op_type op_deliveries_get = {
	"deliveries_get", false, run_deliveries_get, reply_deliveries};
static const struct op_type op_delivery_get = {"delivery_get", false, run_delivery_get, reply_deliveries};

int store_deliveries_get(struct store *s, const struct id *task, store_deliveries_cb *cb, void *arg)
{
	struct op *op = op_new(&op_deliveries_get, arg);

	if (!op)
		return -ENOMEM;
	op->deliveries.cb = cb;
	op->deliveries.id = *task;
	return store_submit(s, op);
}

int store_delivery_get(
	struct store *s, const struct id *id, struct slice tenant, store_deliveries_cb *cb, void *arg)
{
	struct op *op = op_new(&op_delivery_get, arg);

	if (!op)
		return -ENOMEM;
	op->deliveries.cb = cb;
	op->deliveries.id = *id;
	op->deliveries.tenant = op_copy(op, tenant);
	return store_submit(s, op);
}

/* ---- again ---- */

static int run_retry(struct backend *b, struct op *op)
{
	return b->type->delivery_retry(b, &op->arena, &op->retry.id, op->retry.tenant, op->retry.now_ms,
		&op->retry.what, &op->retry.found);
}

static void reply_retry(struct op *op)
{
	const struct backend_deliveries *found = &op->retry.found;

	op->retry.cb(op->rc, op->retry.what, op->rc == 0 && found->len ? found->items : NULL, op->arg);
}

static const struct op_type op_retry = {"delivery_retry", true, run_retry, reply_retry};

int store_delivery_retry(struct store *s, const struct id *id, struct slice tenant, int64_t now_ms,
	store_retry_cb *cb, void *arg)
{
	struct op *op = op_new(&op_retry, arg);

	if (!op)
		return -ENOMEM;
	op->retry.cb = cb;
	op->retry.id = *id;
	op->retry.tenant = op_copy(op, tenant);
	op->retry.now_ms = now_ms;
	return store_submit(s, op);
}

static int run_replay(struct backend *b, struct op *op)
{
	return b->type->deliveries_replay(
		b, &op->arena, &op->replay.replay, &op->replay.count, &op->replay.has_more);
}

static void reply_replay(struct op *op)
{
	op->replay.cb(op->rc, op->replay.count, op->replay.has_more, op->arg);
}

static const struct op_type op_replay = {"deliveries_replay", true, run_replay, reply_replay};

int store_deliveries_replay(struct store *s, const struct store_replay *r, store_replay_cb *cb, void *arg)
{
	struct op *op = op_new(&op_replay, arg);

	assert(r->limit <= STORE_REPLAY_MAX);
	if (!op)
		return -ENOMEM;
	op->replay.cb = cb;
	op->replay.replay = *r;
	op->replay.replay.tenant = op_copy(op, r->tenant);
	op->replay.replay.channel = op_copy(op, r->channel);
	return store_submit(s, op);
}
