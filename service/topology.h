/*
 * The wire contract's topology table, declared through a broker connection.
 */
#ifndef SERVICE_TOPOLOGY_H
#define SERVICE_TOPOLOGY_H

#include "proto/topology.h"
#include "runtime/broker.h"

/* 0 or broker_declare's error. */
int service_declare(struct broker *b, const struct topology_item *items, size_t len);

#endif
