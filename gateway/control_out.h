/*
 * Tells the processors to cancel a task.
 */
#ifndef GATEWAY_CONTROL_OUT_H
#define GATEWAY_CONTROL_OUT_H

#include "gateway/gateway.h"

/* As broker_publish; `cb` may be NULL when nobody asks. */
int control_cancel(struct gateway *g, const struct id *id, broker_publish_cb *cb, void *arg);

#endif
