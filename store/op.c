#include "store/op.h"

#include <stdlib.h>

struct op *op_new(const struct op_type *type, void *arg)
{
	struct op *op = calloc(1, sizeof *op);

	if (op) {
		op->type = type;
		op->arg = arg;
	}
	return op;
}

void op_free(struct op *op)
{
	if (!op)
		return;
	arena_done(&op->arena);
	free(op);
}

void *op_copy_array(struct op *op, const void *items, size_t count, size_t size)
{
	void *copy = arena_alloc(&op->arena, count, size);

	if (copy && count > 0)
		memcpy(copy, items, count * size);
	return copy;
}

struct id *op_copy_ids(struct op *op, const struct id *ids, size_t len)
{
	return op_copy_array(op, ids, len, sizeof *ids);
}
