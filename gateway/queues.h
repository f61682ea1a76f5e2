/*
 * GET /v1/queues: what waits and who works, for each task name that this gateway has heard of.
 */
#ifndef GATEWAY_QUEUES_H
#define GATEWAY_QUEUES_H

#include "gateway/call.h"

/* The endpoint; `arg` is the gateway. */
void queues_get(struct call *call, void *arg);

#endif
