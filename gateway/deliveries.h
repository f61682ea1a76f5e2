/*
 * What became of outcomes that were to be pushed, and pushing them once more: GET /v1/tasks/{id}/deliveries,
 * GET /v1/deliveries/{id}, POST /v1/deliveries/{id}/retry.
 */
#ifndef GATEWAY_DELIVERIES_H
#define GATEWAY_DELIVERIES_H

#include "gateway/call.h"

call_handler deliveries_of_task;
call_handler deliveries_get;
call_handler deliveries_retry;

#endif
