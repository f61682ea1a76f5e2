/*
 * Configured routes: paths of an API that exists already, each leading to a task, to a chain of tasks, or to the status
 * or result of one.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include "gateway/gateway.h"

/* Mounts every route of the options on the server. 0; the errors of server_add, logged; -ENOMEM. */
int routes_new(struct gateway *g, struct routes **out);
void routes_free(struct routes *r);

#endif
