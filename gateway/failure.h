/*
 * What an outcome that is no success means to a client over HTTP. Pure.
 */
#ifndef GATEWAY_FAILURE_H
#define GATEWAY_FAILURE_H

#include "gateway/problem.h"
#include "proto/reply.h"
#include "store/store.h"

/* PROBLEM_TASK_FAILED (422), PROBLEM_HANDLER_BROKEN (502) or PROBLEM_HANDLER_TIMEOUT (504) for a task that failed. */
enum problem failure_problem(struct slice type, bool retryable);
/* The same for a terminal state that is not succeeded: canceled is 409, dead 502. */
enum problem failure_of_state(enum task_state state, const struct store_error *error);
/* True when that is an upstream's own 4xx, which a synchronous caller gets as it is. */
bool failure_passes_through(struct slice type, int32_t status);

#endif
