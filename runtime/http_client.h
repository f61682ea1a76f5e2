/*
 * HTTP requests without blocking: libcurl's multi interface under the event loop. Connections are kept and reused.
 * Never follows a redirect by itself, never reads a proxy from the environment, speaks only http and https (HTTP/1.1),
 * never decodes a content encoding.
 */
#ifndef RUNTIME_HTTP_CLIENT_H
#define RUNTIME_HTTP_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/buf.h"
#include "runtime/lookups.h"
#include "runtime/loop.h"

struct http_client;
struct http_call;

struct http_client_options {
	const char *user_agent;	 /* copied */
	int64_t connections_max; /* kept alive in all */
	/*
	 * Asked with the address actually connected to, after DNS and on every new connection; false refuses it. NULL
	 * allows all. Must not call the client. A client with a guard opens a fresh connection for every call, unless
	 * the verdict depends on nothing but the address: then a connection that it allowed may serve other calls.
	 */
	bool (*may_connect)(const struct sockaddr *addr, void *arg);
	void *may_connect_arg;
	bool is_verdict_lasting;
	const char *
		proxy; /* URL, copied; NULL: none, whatever the environment says. The guard sees its address only */
	const char *ca_file; /* PEM, copied; NULL: the system's certificates */
};

/* -ENOMEM, -EIO (libcurl could not be set up). */
int http_client_new(struct loop *loop, const struct http_client_options *opt, struct http_client **out);
/* Calls under way end without their callback. Also from inside a callback, which is then the last. */
void http_client_free(struct http_client *c);

#define HTTP_WANT_MAX	   4
#define HTTP_WANT_NAME_MAX 63	       /* bytes of a wanted header's name */
#define HTTP_HEADERS_MAX   (64 * 1024) /* bytes of a response's head; passing it is HTTP_FAILED */
/* Calls that may be looking a name up, fewer of one domain or party (runtime/lookups.h); the next ones wait, inside their timeout. */
#define HTTP_LOOKUPS_MAX LOOKUPS_MAX

struct http_request {
	const char *method; /* HEAD, GET, POST, PUT, PATCH, DELETE or another token in capitals */
	const char *url;    /* http or https; a user and password in it become Basic authentication */
	/*
	 * "Name: value", NULL terminated; copied. Names are tokens, values have no control characters; Content-Length and
	 * Transfer-Encoding are refused, as the client makes them.
	 */
	const char *const *headers;
	struct slice
		body; /* borrowed until the callback; sent with every method but HEAD if it is not empty */
	int64_t timeout_ms;  /* for the whole call; at least 1 */
	size_t response_max; /* bytes of the body; passing it ends the call with HTTP_TOO_LARGE */
	/* Response headers wanted in the outcome, NULL terminated, e.g. "retry-after"; at most HTTP_WANT_MAX; copied. */
	const char *const *want_headers;
	uint32_t
		party; /* a number for whoever it is made for, who has only a share of the look-ups; 0: nobody */
};

enum http_result {
	HTTP_ANSWERED,
	HTTP_TOO_LARGE, /* the body passed response_max; what came before is there */
	HTTP_TIMED_OUT,
	HTTP_REFUSED, /* by may_connect, for every address that the name has */
	HTTP_FAILED,
};
const char *http_result_name(enum http_result result);

struct http_response {
	enum http_result result;
	int status;			     /* ANSWERED and TOO_LARGE; else 0 */
	struct slice content_type;	     /* unset: none */
	struct slice body;		     /* what arrived, up to response_max */
	struct slice headers[HTTP_WANT_MAX]; /* values of want_headers; unset: not there */
	char error[160];  /* for people, unless ANSWERED; never holds the URL's path, query or secrets */
	char address[64]; /* connected to, "127.0.0.1:80" or "[::1]:80"; empty: never connected */
	int64_t total_ms;
};

/* The response is borrowed until the callback returns. */
typedef void http_done_cb(const struct http_response *response, void *arg);

/*
 * 0 and later exactly one callback (never inside the call), or a negative errno and none: -EINVAL (method, URL or a
 * header that cannot be sent), -ENOMEM.
 */
int http_call_start(struct http_client *c, const struct http_request *r, http_done_cb *cb, void *arg,
	struct http_call **out);
/*
 * The value of a Retry-After, seconds or an HTTP date, seen at `now_ms` (since the epoch): how long to wait, at most a
 * day; 0 for a moment that has passed and for what cannot be read. Pure.
 */
uint32_t http_retry_after_ms(struct slice value, int64_t now_ms);

/* Ends it without a callback; inside its own callback it does nothing. */
void http_call_cancel(struct http_call *call);

#endif
