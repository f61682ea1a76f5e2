/*
 * POST /v1/tasks/{id}/retry: a failed or dead task once more, same payload and options, under a new id. One that never came
 * to run gets the `previous` that it was to get, from the task or batch that it waited for.
 */
#ifndef GATEWAY_RETRY_H
#define GATEWAY_RETRY_H

#include "gateway/call.h"
#include "gateway/submission.h"
#include "store/store.h"

/*
 * The submission that a kept request came from, less its deadline (which has passed) and its batch. Pure. 0; -ENODATA
 * when its request was not kept; -EBADMSG; -ENOMEM. Owns: the caller frees *out, which borrows nothing.
 */
int retry_read(const struct store_task *task, struct submission **out);

/* The endpoint; `arg` is the gateway. */
void retry_task(struct call *call, void *arg);

#endif
