/*
 * DELETE /v1/tasks/{id}: what is scheduled is canceled in the store, what is queued or running by the processors. A step of
 * a route's chain that waits for one before it takes that along, which runs for nothing else.
 */
#ifndef GATEWAY_CANCEL_H
#define GATEWAY_CANCEL_H

#include "gateway/gateway.h"

/* 200 with the status document when it is canceled, 202 when the processors were told, 409 when it has ended otherwise. */
void cancel_task(struct gateway *g, struct call *call, struct slice id_text);

#endif
