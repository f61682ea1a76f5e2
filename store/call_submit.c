/*
 * Calls around a submission: batches and idempotency keys.
 */
#include <errno.h>

#include "store/op.h"

static void reply_done(struct op *op)
{
	op->done.cb(op->rc, op->arg);
}

/* ---- batches ---- */

static int run_batch_insert(struct backend *b, struct op *op)
{
	return b->type->batch_insert(b, &op->done.batch.id, op->done.batch.tenant, op->done.batch.now_ms);
}

static const struct op_type op_batch_insert = {"batch_insert", true, run_batch_insert, reply_done};

int store_batch_insert(struct store *s, const struct id *id, struct slice tenant, int64_t now_ms,
	store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_batch_insert, arg);

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	op->done.batch.id = *id;
	op->done.batch.tenant = op_copy(op, tenant);
	op->done.batch.now_ms = now_ms;
	return store_submit(s, op);
}

static int run_batch_seal(struct backend *b, struct op *op)
{
	return b->type->batch_seal(b, &op->arena, &op->done.seal.id, op->done.seal.accepted,
		op->done.seal.len, op->done.seal.document, op->done.seal.now_ms);
}

static const struct op_type op_batch_seal = {"batch_seal", true, run_batch_seal, reply_done};

int store_batch_seal(struct store *s, const struct id *id, const struct id *accepted, size_t len,
	struct slice document, int64_t now_ms, store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_batch_seal, arg);

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	op->done.seal.id = *id;
	op->done.seal.accepted = op_copy_ids(op, accepted, len);
	op->done.seal.len = len;
	op->done.seal.document = op_copy(op, document);
	op->done.seal.now_ms = now_ms;
	return store_submit(s, op);
}

static int run_batch_get(struct backend *b, struct op *op)
{
	return b->type->batch_get(b, &op->arena, &op->batch_get.id, &op->batch_get.found);
}

static void reply_batch_get(struct op *op)
{
	op->batch_get.cb(op->rc, &op->batch_get.found.batch, op->batch_get.found.by_state, op->arg);
}

static const struct op_type op_batch_get = {"batch_get", false, run_batch_get, reply_batch_get};

int store_batch_get(struct store *s, const struct id *id, store_batch_cb *cb, void *arg)
{
	struct op *op = op_new(&op_batch_get, arg);

	if (!op)
		return -ENOMEM;
	op->batch_get.cb = cb;
	op->batch_get.id = *id;
	return store_submit(s, op);
}

/* ---- idempotency ---- */

static int run_claim(struct backend *b, struct op *op)
{
	return b->type->claim(b, &op->arena, &op->claim.claim, &op->claim.claimed);
}

static void reply_claim(struct op *op)
{
	const struct backend_claimed *c = &op->claim.claimed;

	op->claim.cb(op->rc, c->state, &c->id, c->answer, op->arg);
}

static const struct op_type op_claim = {"claim", true, run_claim, reply_claim};

int store_claim(struct store *s, const struct store_claim *c, store_claim_cb *cb, void *arg)
{
	struct op *op = op_new(&op_claim, arg);

	if (!op)
		return -ENOMEM;
	op->claim.cb = cb;
	op->claim.claim = *c;
	op->claim.claim.tenant = op_copy(op, c->tenant);
	op->claim.claim.key = op_copy(op, c->key);
	return store_submit(s, op);
}

static int run_claim_end(struct backend *b, struct op *op)
{
	return b->type->claim_end(b, op->done.claim_end.tenant, op->done.claim_end.key,
		op->done.claim_end.how, op->done.claim_end.answer);
}

static const struct op_type op_claim_end = {"claim_end", true, run_claim_end, reply_done};

int store_claim_end(struct store *s, struct slice tenant, struct slice key, enum store_claim_end how,
	struct slice answer, store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_claim_end, arg);

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	op->done.claim_end.tenant = op_copy(op, tenant);
	op->done.claim_end.key = op_copy(op, key);
	op->done.claim_end.how = how;
	op->done.claim_end.answer = op_copy(op, answer);
	return store_submit(s, op);
}
