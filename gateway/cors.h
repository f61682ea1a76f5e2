/*
 * What a browser's Origin and Host mean for a request: the guard of a gateway without keys, and CORS. Pure.
 */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "base/slice.h"
#include "gateway/options.h"

/* True for "scheme://host[:port]" of the configured origins, or when "*" is one of them. */
bool cors_allows(const struct gateway_cors *options, struct slice origin);
bool cors_is_on(const struct gateway_cors *options);
/* True when `text` may stand in the list of origins: "*" or "http(s)://host[:port]". */
bool cors_origin_is_valid(const char *text);

/* True for "localhost", 127.0.0.0/8 and [::1], with or without a port. */
bool host_is_loopback(struct slice host);
/* True for an http(s) origin on this host: the value of a Host field, with its port unless it is the usual one. */
bool origin_is_host(struct slice origin, struct slice host);
/* True for an http(s) origin on such a host. */
bool origin_is_loopback(struct slice origin);

#define CORS_ALLOWED_HEADERS                                                                                 \
	"Authorization, Content-Type, Idempotency-Key, Prefer, If-None-Match, Last-Event-ID, X-Request-Id, " \
	"traceparent, tracestate"
#define CORS_EXPOSED_HEADERS \
	"Location, Retry-After, ETag, X-Request-Id, Preference-Applied, Idempotency-Replayed"

#endif
