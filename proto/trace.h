/*
 * W3C trace context: passed on as it came when it is well formed, else left out. Pure.
 */
#ifndef PROTO_TRACE_H
#define PROTO_TRACE_H

#include <stdbool.h>

#include "base/slice.h"

#define TRACE_TEXT_MAX 512 /* bytes, of either */

struct trace {
	struct slice parent; /* unset: none */
	struct slice state;  /* unset: none; counts for nothing without a parent */
};

/* Version 00 by its exact shape; a later version by the same beginning. */
bool trace_parent_is_valid(struct slice text);
/* 1 to TRACE_TEXT_MAX bytes of printable ASCII. */
bool trace_state_is_valid(struct slice text);
/* Borrows both. */
struct trace trace_of(struct slice parent, struct slice state);

#endif
