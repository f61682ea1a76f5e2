/*
 * POST /v1/tasks: an envelope.
 */
#ifndef GATEWAY_TASKS_H
#define GATEWAY_TASKS_H

#include "gateway/call.h"

/* The endpoint; `arg` is the gateway. */
void tasks_post(struct call *call, void *arg);
/* False: the call's body is not sent as JSON and it has been answered with 415. */
bool tasks_body_is_json(struct call *call);
/* For calls that say all by their path: no body, or an empty object. False: the call has been answered. */
bool tasks_body_is_nothing(struct call *call);

#endif
