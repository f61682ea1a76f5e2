/*
 * Queues of this gateway alone: exclusive, and with a fresh name each time its connection comes up.
 */
#ifndef GATEWAY_OWN_QUEUE_H
#define GATEWAY_OWN_QUEUE_H

#include "proto/topology.h"
#include "service/service.h"

/* topology_gateway or topology_live. */
typedef size_t own_queue_items(
	const char *instance, uint32_t random, struct topology_item out[TOPOLOGY_ITEMS_MAX]);

/* Declares it on the connection that consumes; `queue` is its name as broker_consume and broker_bind want it. 0 or -errno. */
int own_queue_declare(struct service *s, own_queue_items *make, char queue[TOPOLOGY_NAME_MAX]);

#endif
