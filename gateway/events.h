/*
 * Tasks as streams of server-sent events: GET /v1/tasks/{id}/events and GET /v1/events.
 */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include "gateway/gateway.h"

/*
 * The task that `id_text` names: what it is now (unless Last-Event-ID says that this is known), then every change, to its
 * end. Or the call is answered with why there is none.
 */
void events_of_task(struct gateway *g, struct call *call, struct slice id_text);
/* Every change of the tenant's tasks; ?task= only those of one name. */
void events_of_tenant(struct call *call, void *arg);

#endif
