/*
 * Calls: the keys of ids, the version, dead letters, sweeping. Each is a copy of its arguments, what its thread does
 * with them, and the callback.
 */
#include <errno.h>

#include "store/op.h"

static int run_keys(struct backend *b, struct op *op)
{
	return b->type->keys_get(b, op->keys.keys, &op->keys.len);
}

static int run_keys_add(struct backend *b, struct op *op)
{
	int rc = b->type->keys_add(b, &op->keys.add, op->keys.now_ms);

	return rc < 0 ? rc : run_keys(b, op);
}

static void reply_keys(struct op *op)
{
	op->keys.cb(op->rc, op->keys.keys, op->rc < 0 ? 0 : op->keys.len, op->arg);
}

static const struct op_type op_keys = {"keys", false, run_keys, reply_keys};
static const struct op_type op_keys_add = {"keys_add", true, run_keys_add, reply_keys};

int store_keys(struct store *s, store_keys_cb *cb, void *arg)
{
	struct op *op = op_new(&op_keys, arg);

	if (!op)
		return -ENOMEM;
	op->keys.cb = cb;
	return store_submit(s, op);
}

int store_keys_add(struct store *s, const struct id_key *key, int64_t now_ms, store_keys_cb *cb, void *arg)
{
	struct op *op = op_new(&op_keys_add, arg);

	if (!op)
		return -ENOMEM;
	op->keys.cb = cb;
	op->keys.add = *key;
	op->keys.now_ms = now_ms;
	return store_submit(s, op);
}

static int run_version(struct backend *b, struct op *op)
{
	return b->type->version(b, &op->version.version);
}

static void reply_version(struct op *op)
{
	op->version.cb(op->rc, op->version.version, op->arg);
}

static const struct op_type op_version = {"version", false, run_version, reply_version};

int store_version(struct store *s, store_version_cb *cb, void *arg)
{
	struct op *op = op_new(&op_version, arg);

	if (!op)
		return -ENOMEM;
	op->version.cb = cb;
	return store_submit(s, op);
}

static int run_dead_letter(struct backend *b, struct op *op)
{
	return b->type->dead_letter_add(b, &op->done.dead_letter);
}

static void reply_done(struct op *op)
{
	op->done.cb(op->rc, op->arg);
}

static const struct op_type op_dead_letter = {"dead_letter_add", true, run_dead_letter, reply_done};

int store_dead_letter_add(struct store *s, const struct store_dead_letter *d, store_done_cb *cb, void *arg)
{
	struct op *op = op_new(&op_dead_letter, arg);

	if (!op)
		return -ENOMEM;
	op->done.cb = cb;
	op->done.dead_letter = (struct store_dead_letter){
		.at_ms = d->at_ms,
		.queue = op_copy(op, d->queue),
		.reason = op_copy(op, d->reason),
		.body = op_copy(op, d->body),
	};
	return store_submit(s, op);
}

static int run_sweep(struct backend *b, struct op *op)
{
	return b->type->sweep(b, &op->arena, op->sweep.now_ms, op->sweep.limit, &op->sweep.swept);
}

static void reply_sweep(struct op *op)
{
	op->sweep.cb(op->rc, &op->sweep.swept, op->arg);
}

static const struct op_type op_sweep = {"sweep", true, run_sweep, reply_sweep};

int store_sweep(struct store *s, int64_t now_ms, size_t limit, store_sweep_cb *cb, void *arg)
{
	struct op *op = op_new(&op_sweep, arg);

	if (!op)
		return -ENOMEM;
	op->sweep.cb = cb;
	op->sweep.now_ms = now_ms;
	op->sweep.limit = limit;
	return store_submit(s, op);
}
