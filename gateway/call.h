/*
 * One HTTP request and its answer, as the rest of the gateway sees it: the connection guard and its traps
 * stay behind this header. Everything on the loop thread.
 *
 * A call is answered exactly once. It may be answered later; a client that leaves meanwhile is told through
 * call_on_gone, after which answering is allowed and does nothing. A call is freed by its answer (or, when the client has
 * gone, by the answer that does nothing): nobody touches it afterwards.
 */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H

#include "base/buf.h"
#include "gateway/problem.h"
#include "gateway/share.h"
#include "gateway/stream.h"
#include "runtime/loop.h"

struct call;
struct head;

enum call_method {
	CALL_GET = 1,
	CALL_HEAD = 2,
	CALL_POST = 4,
	CALL_PUT = 8,
	CALL_PATCH = 16,
	CALL_DELETE = 32,
	CALL_OPTIONS = 64,
};
#define CALL_ANY_METHOD 127u

/* ---- the request; all slices live until the answer ---- */

enum call_method call_method(const struct call *c);
const char *call_method_name(const struct call *c);
/* Decoded path without the query, valid UTF-8, no NUL: "/v1/tasks". */
struct slice call_path(const struct call *c);
/* The raw query behind '?'; unset: none. */
struct slice call_query(const struct call *c);
struct slice call_body(const struct call *c);
/* The media type as sent; unset: none. */
struct slice call_content_type(const struct call *c);
/* A header by name, any case; unset: not there. */
struct slice call_header(const struct call *c, const char *name);
/* All of it, for what the headers alone do not tell. */
const struct head *call_head(const struct call *c);
/* Decoded query parameters in order. len 0: none. */
struct call_param {
	struct slice name, value;
};
const struct call_param *call_params(const struct call *c, size_t *len);
/* The first query parameter of that name; unset: not there. */
struct slice call_param(const struct call *c, const char *name);
/* True when a parameter is called as one that other APIs take keys in. */
bool call_has_key_in_query(const struct call *c);
#define CALL_KEY_IN_QUERY                                                                                       \
	"A key never stands in a URL, where logs and histories keep it: send \"Authorization: Bearer <key>\"; " \
	"pages get a ticket from POST /v1/tickets, for WebSockets and event streams, and send ?ticket="
/* What a {name} of the endpoint's path matched, decoded; unset: no such name. */
struct slice call_segment(const struct call *c, const char *name);
/* Who calls: the tenant of the key, "default" without keys. */
struct slice call_tenant(const struct call *c);
/* What the tenant has of the limits that all share; NULL: it has no bounds of its own. Lives as long as the server. */
struct share *call_share(const struct call *c);
/* X-Request-Id of this call: the client's own when it is sane, else a new one. */
const char *call_request_id(const struct call *c);

/* ---- the answer ---- */

/* Adds a header to the answer. Values with control characters are dropped. */
void call_set_header(struct call *c, const char *name, const char *value);
/* JSON body; copied. Status 204 and 304 have none; HEAD is answered without one. */
void call_answer_json(struct call *c, int status, struct slice json);
/* Any body and content type; copied. */
void call_answer(struct call *c, int status, struct slice content_type, struct slice body);
/* An RFC 9457 problem document; `detail` is for people, may quote what the client sent. `field`: JSON pointer or NULL. */
void call_problem(struct call *c, enum problem problem, const char *field, const char *detail_format, ...)
	__attribute__((format(printf, 4, 5)));
/* The tenant has its share of that. */
void call_problem_share(struct call *c, enum share_kind kind);
/* As call_problem, with further members ("\"id\":\"…\",\"outcome\":\"unknown\"") spliced in: a JSON object's inside. */
void call_problem_with(
	struct call *c, enum problem problem, const char *field, const char *members, const char *detail);

/*
 * Sends the head of an answer that has no end of its own, with the headers set so far, and hands the connection over; the
 * call is answered and freed. Content-Type is a header like others here, and the framing is the caller's: without any the
 * body ends with the connection. 0, or -EAGAIN, -EDQUOT, -ENOMEM, -EPIPE: the call has been answered with a problem (or its client
 * had left), and there is no stream. Borrows: events, for good.
 */
int call_stream(
	struct call *c, int status, const struct stream_events *events, void *arg, struct stream **out);

/*
 * Calls cb, from the loop, when the client leaves before the answer. One a call; NULL takes it back. For calls that wait
 * long: a client that has only closed its sending side counts as leaving, while one without a cb is still answered.
 */
void call_on_gone(struct call *c, void (*cb)(struct call *c, void *arg), void *arg);
bool call_is_gone(const struct call *c);

/*
 * Charges `submissions` more to the tenant's rate (a batch: its items less the one that ENDPOINT_SUBMIT has charged).
 * False: over the limit, and the call has been answered with 429.
 */
bool call_charge(struct call *c, size_t submissions);
/*
 * The call waits for what may be long in coming, and whoever lets it wait bounds how many do: from here on it is none of
 * the calls in flight.
 */
void call_set_waiting(struct call *c);
/* The body is needed no more: gives its memory back before the answer. call_body is then empty. */
void call_drop_body(struct call *c);

/* ---- endpoints ---- */

typedef void call_handler(struct call *c, void *arg);

struct endpoint {
	unsigned methods; /* of call_method, or'ed; GET brings HEAD */
	const char *path; /* "/v1/tasks/{id}/result"; a trailing slash is optional in requests */
	call_handler *handler;
	unsigned flags;
};
#define ENDPOINT_OPEN	1u  /* no key needed: /livez, /readyz, /problems */
#define ENDPOINT_LOCAL	2u  /* no key needed from this machine, unless by a proxy: /metrics */
#define ENDPOINT_SUBMIT 4u  /* counts as one submission for the tenant's rate limit */
#define ENDPOINT_ALWAYS 8u  /* not subject to the limit of calls in flight */
#define ENDPOINT_BARE	16u /* takes no query parameter: any is refused before the handler */
#define ENDPOINT_LIVE	32u /* takes a ticket (?ticket=) in place of a key */

#endif
