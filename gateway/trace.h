/*
 * W3C trace context: passed on as it came when it is well formed, else left out. Pure.
 */
#ifndef GATEWAY_TRACE_H
#define GATEWAY_TRACE_H

#include "runtime/broker.h"

#define TRACE_STATE_MAX 512

struct trace {
	struct slice parent; /* unset: none */
	struct slice state;  /* unset: none; never without a parent */
};

/* Version 00 by its exact shape; a later version by the same beginning. */
bool trace_parent_is_valid(struct slice text);
/* Borrows both. */
struct trace trace_of(struct slice parent, struct slice state);
/* As headers of a message; returns how many. Borrows. */
#define TRACE_HEADERS 2
size_t trace_headers(const struct trace *t, struct broker_header out[TRACE_HEADERS]);

#endif
