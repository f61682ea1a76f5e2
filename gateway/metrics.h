/*
 * The gateway's metrics: one table, one name each.
 */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "runtime/metrics.h"
#include "service/service.h"

enum gateway_metric {
	GATEWAY_REQUESTS = SERVICE_METRICS, /* endpoint, method, status */
	GATEWAY_REQUEST_SECONDS,	    /* endpoint */
	GATEWAY_CONNECTIONS,		    /* gauge */
	GATEWAY_IN_FLIGHT,		    /* gauge: calls not answered yet */
	GATEWAY_BODIES_BYTES,		    /* gauge */
	GATEWAY_REFUSALS,		    /* reason */
	GATEWAY_SUBMISSIONS,		    /* mode, outcome */
	GATEWAY_SYNC_SECONDS,		    /* outcome */
	GATEWAY_WAITERS,		    /* gauge: calls that wait for a task to change or end */
	GATEWAY_WEBSOCKETS,		    /* gauge */
	GATEWAY_EVENT_STREAMS,		    /* gauge */
	GATEWAY_FOLLOWERS,		    /* gauge */
	GATEWAY_LIVE_UP,		    /* gauge */
	GATEWAY_LIVE_SHARDS,		    /* gauge */
	GATEWAY_LIVE_EVENTS,
	GATEWAY_LIVE_GAPS,
	GATEWAY_LIVE_READS,
	GATEWAY_METRICS_END,
};
#define GATEWAY_METRICS (GATEWAY_METRICS_END - SERVICE_METRICS)

extern const struct metric_definition gateway_metrics[GATEWAY_METRICS];

#endif
