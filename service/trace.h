/*
 * A trace context as headers of a message. Pure.
 */
#ifndef SERVICE_TRACE_H
#define SERVICE_TRACE_H

#include "proto/trace.h"
#include "runtime/broker.h"

#define TRACE_HEADERS 2

/* Returns how many. Borrows. */
size_t trace_headers(const struct trace *t, struct broker_header out[TRACE_HEADERS]);

#endif
