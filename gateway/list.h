/*
 * GET /v1/tasks: what the store has seen of a tenant's tasks, newest first.
 */
#ifndef GATEWAY_LIST_H
#define GATEWAY_LIST_H

#include "gateway/call.h"
#include "gateway/fault.h"
#include "store/store.h"

/* Reads ?status=&task=&limit=&cursor= into `q` (less the tenant). Pure. 0 or -EINVAL with *fault set. */
int list_read_query(
	const struct call_param *params, size_t len, struct store_list_query *q, struct fault *fault);

/* The endpoint; `arg` is the gateway. */
void list_tasks(struct call *call, void *arg);

#endif
