/*
 * HTTP requests without blocking: libcurl's multi interface under the event loop. Connections are kept and reused.
 * Never follows a redirect by itself, never reads a proxy from the environment, speaks only http and https.
 */
#ifndef RUNTIME_HTTP_CLIENT_H
#define RUNTIME_HTTP_CLIENT_H

#include <netinet/in.h>

#include "base/buf.h"
#include "runtime/loop.h"

struct http_client;
struct http_call;

struct http_client_options {
	const char *user_agent;
	int64_t connections_max; /* kept alive in all */
	/*
	 * Asked with the address actually connected to, after DNS and on every new connection; false refuses it. NULL
	 * allows all. A client with a guard opens a fresh connection for every call.
	 */
	bool (*may_connect)(const struct sockaddr *addr, void *arg);
	void *may_connect_arg;
};

int http_client_new(struct loop *loop, const struct http_client_options *opt, struct http_client **out);
/* Calls under way end without their callback. */
void http_client_free(struct http_client *c);

struct http_request {
	const char *method;
	const char *url;
	const char *const *headers; /* "Name: value", NULL terminated; copied */
	struct slice body;	    /* borrowed until the callback */
	int64_t timeout_ms;	    /* for the whole call */
	size_t response_max;	    /* bytes of the body; passing it ends the call with HTTP_TOO_LARGE */
	/* Response headers wanted in the outcome, NULL terminated, e.g. "retry-after"; at most 4. */
	const char *const *want_headers;
};

enum http_result { HTTP_ANSWERED, HTTP_TOO_LARGE, HTTP_TIMED_OUT, HTTP_REFUSED, HTTP_FAILED };

struct http_response {
	enum http_result result;
	int status;		   /* ANSWERED and TOO_LARGE */
	struct slice content_type; /* unset: none */
	struct slice body;	   /* what arrived, up to response_max */
	struct slice headers[4];   /* values of want_headers; unset: not there */
	char error[160];	   /* for people, unless ANSWERED; never holds the URL's query or secrets */
	char address[64];	   /* connected to; empty: never connected */
	int64_t total_ms;
};

/* The response is borrowed until the callback returns. */
typedef void http_done_cb(const struct http_response *response, void *arg);

/* 0 and later exactly one callback (never inside the call), or a negative errno and none. */
int http_call_start(struct http_client *c, const struct http_request *r, http_done_cb *cb, void *arg,
	struct http_call **out);
/* Ends it without a callback. */
void http_call_cancel(struct http_call *call);

#endif
