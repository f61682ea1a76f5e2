/*
 * The wire contract's topology table, declared through a broker connection.
 */
#ifndef SERVICE_TOPOLOGY_H
#define SERVICE_TOPOLOGY_H

#include "proto/topology.h"
#include "runtime/broker.h"

/* 0 or broker_declare's error. */
int service_declare(struct broker *b, const struct topology_item *items, size_t len);
/* Only sees that the exchanges and queues among them are there, which needs no permission. */
int service_look_for(struct broker *b, const struct topology_item *items, size_t len);
/* Sees that this user may publish to these direct exchanges; the list ends with NULL. */
int service_may_publish(struct broker *b, const char *const *exchanges);

#endif
