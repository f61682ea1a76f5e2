#include "gateway/metrics.h"

#define AT(metric) [(metric)-SERVICE_METRICS]

const struct metric_definition gateway_metrics[GATEWAY_METRICS] = {
	AT(GATEWAY_REQUESTS) = {"postback_gateway_requests_total", METRIC_COUNTER,
		{"endpoint", "method", "status"},
		"Calls by endpoint (none: no such path), method and status (gone: the client left before the answer)."},
	AT(GATEWAY_REQUEST_SECONDS) = {"postback_gateway_request_seconds", METRIC_HISTOGRAM, {"endpoint"},
		"From the whole request to its answer."},
	AT(GATEWAY_CONNECTIONS) = {"postback_gateway_connections", METRIC_GAUGE, {NULL},
		"Open client connections."},
	AT(GATEWAY_IN_FLIGHT) = {"postback_gateway_in_flight", METRIC_GAUGE, {NULL},
		"Calls that wait for their answer, but for the waiters."},
	AT(GATEWAY_BODIES_BYTES) = {"postback_gateway_bodies_bytes", METRIC_GAUGE, {NULL},
		"Bytes of requests and answers held, of gateway.limits.bodies."},
	AT(GATEWAY_REFUSALS) = {"postback_gateway_refusals_total", METRIC_COUNTER, {"reason"},
		"Requests refused before an endpoint saw them, and connections cut."},
	AT(GATEWAY_SUBMISSIONS) = {"postback_gateway_submissions_total", METRIC_COUNTER, {"mode", "outcome"},
		"Tasks submitted, by mode and what became of the submission."},
	AT(GATEWAY_SYNC_SECONDS) = {"postback_gateway_sync_seconds", METRIC_HISTOGRAM, {"outcome"},
		"From a sync call to its result."},
	AT(GATEWAY_WAITERS) = {"postback_gateway_waiters", METRIC_GAUGE, {NULL},
		"Calls that wait for a task to change or end."},
	AT(GATEWAY_WEBSOCKETS) = {"postback_gateway_websockets", METRIC_GAUGE, {NULL}, "Open WebSockets."},
};
