#include "gateway/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/auth.h"
#include "gateway/call_internal.h"
#include "gateway/cors.h"
#include "gateway/fault.h"
#include "gateway/guard.h"
#include "gateway/metrics.h"
#include "gateway/openapi.h"
#include "gateway/problem_pages.h"
#include "gateway/router.h"
#include "runtime/clock.h"
#include "runtime/listener.h"
#include "runtime/log.h"
#include "runtime/rate.h"

enum { DOCUMENT_MAX = 4 << 20 };

struct mount {
	struct endpoint endpoint;
	void *arg;
	struct mount *next;
};

struct server {
	struct server_config config;
	struct call_server hooks;
	struct guard *guard;
	struct router *router;
	struct mount *mounts;
	struct auth *auth;
	struct rate *rates;   /* one a tenant */
	struct share *shares; /* the same; NULL: there is one tenant, or all may have everything */
	size_t share_most[SHARE_KINDS];
	bool is_browser_guarded;
	size_t in_flight;
};

/* ---- our own endpoints ---- */

static void answer_document(struct call *c, int status, const char *content_type, struct buf *body)
{
	if (body->error)
		call_problem(c, PROBLEM_INTERNAL, NULL, "The document could not be made.");
	else
		call_answer(c, status, slice_text(content_type), buf_slice(body));
	buf_done(body);
}

static void livez(struct call *c, void *arg)
{
	struct server *s = arg;
	struct buf body;
	int status;

	buf_init(&body, DOCUMENT_MAX);
	status = health_livez(s->config.health, &body);
	answer_document(c, status, "application/json", &body);
}

static void readyz(struct call *c, void *arg)
{
	struct server *s = arg;
	struct buf body;
	int status;

	buf_init(&body, DOCUMENT_MAX);
	status = health_readyz(s->config.health, &body);
	answer_document(c, status, "application/json", &body);
}

static void metrics(struct call *c, void *arg)
{
	struct server *s = arg;
	struct buf body;

	buf_init(&body, DOCUMENT_MAX);
	metrics_render(s->config.metrics, &body);
	answer_document(c, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static const struct endpoint own_endpoints[] = {
	{CALL_GET, "/livez", livez, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
	{CALL_GET, "/readyz", readyz, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
	{CALL_GET, "/metrics", metrics, ENDPOINT_LOCAL | ENDPOINT_ALWAYS},
	{CALL_GET, "/problems", problem_pages_list, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
	{CALL_GET, "/problems/{name}", problem_pages_get, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
	{CALL_GET, "/openapi.json", openapi_get, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
	{CALL_GET, "/docs", openapi_get_page, ENDPOINT_OPEN | ENDPOINT_ALWAYS},
};

/* ---- the checks before a handler; each returns false when it has answered ---- */

static bool check_target(struct server *s, struct call *c)
{
	const char *why = NULL;
	int rc;

	if (call_method(c) == CALL_OPTIONS && slice_is_text(c->target_path, "*")) {
		call_set_header(c, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
		call_answer(c, 204, (struct slice){0}, (struct slice){0});
		return false;
	}
	rc = call_parse(c, &why);
	if (rc < 0)
		call_problem(c, rc == -ENOMEM ? PROBLEM_BUSY : PROBLEM_BAD_REQUEST, NULL, "%s", why);
	return rc == 0;
}

/*
 * Without keys the loopback address is the only lock, and a browser on this machine stands inside: what another site
 * makes it send must not pass, nor what a name rebound to this address brings. NULL: nothing to complain of.
 */
static const char *browser_complaint(const struct server *s, const struct head *h)
{
	struct slice host = head_field(h, "host");
	struct slice origin = head_field(h, "origin");

	if (!s->is_browser_guarded)
		return NULL;
	if (slice_is_set(host) && !host_is_loopback(host))
		return "A gateway without keys answers only requests to a loopback name in the Host field.";
	if (slice_is_set(origin) && !origin_is_loopback(origin) &&
		!cors_allows(&s->config.options->cors, origin))
		return "A gateway without keys answers no pages of other sites; gateway.cors.origins can name them.";
	return NULL;
}

static bool check_browser(struct server *s, struct call *c)
{
	const char *why = browser_complaint(s, c->head);

	if (why)
		call_problem(c, PROBLEM_FORBIDDEN_ORIGIN, NULL, "%s", why);
	return !why;
}

static void set_text_header(struct call *c, const char *name, struct slice value)
{
	char text[512];

	if (value.len >= sizeof text)
		return;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	call_set_header(c, name, text);
}

static void answer_preflight(struct server *s, struct call *c)
{
	char seconds[24];

	snprintf(seconds, sizeof seconds, "%lld", (long long)(s->config.options->cors.max_age_ms / 1000));
	call_set_header(c, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
	call_set_header(c, "Access-Control-Allow-Headers", CORS_ALLOWED_HEADERS);
	call_set_header(c, "Access-Control-Max-Age", seconds);
	call_answer(c, 204, (struct slice){0}, (struct slice){0});
}

static bool check_cors(struct server *s, struct call *c)
{
	struct slice origin = call_header(c, "origin");
	bool is_preflight = call_method(c) == CALL_OPTIONS && slice_is_set(origin) &&
			    slice_is_set(call_header(c, "access-control-request-method"));

	if (!cors_is_on(&s->config.options->cors))
		return true;
	call_set_header(c, "Vary", "Origin");
	if (!slice_is_set(origin) || !cors_allows(&s->config.options->cors, origin))
		return true;
	set_text_header(c, "Access-Control-Allow-Origin", origin);
	if (!is_preflight) {
		call_set_header(c, "Access-Control-Expose-Headers", CORS_EXPOSED_HEADERS);
		return true;
	}
	answer_preflight(s, c);
	return false;
}

static void answer_no_method(struct call *c, unsigned allowed)
{
	char list[HTTP_METHODS_LEN];

	http_method_list(allowed | CALL_OPTIONS, list);
	call_set_header(c, "Allow", list);
	if (call_method(c) == CALL_OPTIONS)
		call_answer(c, 204, (struct slice){0}, (struct slice){0});
	else
		call_problem(c, PROBLEM_METHOD_NOT_ALLOWED, NULL, "This resource takes %s.", list);
}

/* A proxy on this machine connects from a loopback address too, and whom it speaks for is anybody. */
static bool is_from_here(const struct conn *conn, const struct head *h)
{
	static const char *const proxied[] = {"forwarded", "via", "x-forwarded-for", "x-real-ip"};
	struct slice host = head_field(h, "host");

	for (size_t i = 0; i < sizeof proxied / sizeof *proxied; i++)
		if (slice_is_set(head_field(h, proxied[i])))
			return false;
	return conn_is_local(conn) && (!slice_is_set(host) || host_is_loopback(host));
}

/* The tenant's index, or -EACCES. */
static int tenant_of(
	const struct server *s, const struct conn *conn, const struct head *h, const struct mount *mount)
{
	unsigned flags = mount ? mount->endpoint.flags : 0;
	int tenant = auth_check(s->auth, head_field(h, "authorization"));

	if (tenant < 0 && ((flags & ENDPOINT_OPEN) || ((flags & ENDPOINT_LOCAL) && is_from_here(conn, h))))
		return 0;
	return tenant;
}

static bool is_for_task(const struct ticket *t, const struct router_path *path)
{
	struct id id;

	if (id_is_zero(&t->task))
		return true;
	for (size_t i = 0; i < path->len; i++)
		if (id_parse(path->segments[i], &id) == 0 && id_is_equal(&id, &t->task))
			return true;
	return false;
}

/* A page can send no header with a WebSocket or an EventSource: there, and only there, a ticket will do. */
static int tenant_of_ticket(const struct server *s, const struct call *c, const struct mount *mount)
{
	struct slice text = call_param(c, "ticket");
	struct ticket t;

	if (!mount || !(mount->endpoint.flags & ENDPOINT_LIVE) || !slice_is_set(text) ||
		!s->config.read_ticket || s->config.read_ticket(text, &t, s->config.arg) < 0)
		return -EACCES;
	return is_for_task(&t, &c->path) ? auth_find(s->auth, t.tenant) : -EACCES;
}

static const char *key_complaint(const struct call *c, const struct mount *mount)
{
	if (call_has_key_in_query(c))
		return CALL_KEY_IN_QUERY;
	if (!mount || !(mount->endpoint.flags & ENDPOINT_LIVE))
		return "Send a key of this gateway: \"Authorization: Bearer <key>\".";
	if (slice_is_set(call_param(c, "ticket")))
		return "The ticket is none of this gateway, its time is over, or it is for another task: "
		       "POST /v1/tickets gives a new one.";
	return "Send a key of this gateway: \"Authorization: Bearer <key>\", or ?ticket= from POST /v1/tickets.";
}

/* The key comes first: who has none learns nothing of what there is. */
static bool check_endpoint(struct server *s, struct call *c)
{
	struct router_match m;
	const struct mount *mount;
	int tenant;

	router_find(s->router, call_method(c), &c->path, &m);
	mount = m.target;
	tenant = tenant_of(s, c->conn, c->head, mount);
	if (tenant < 0)
		tenant = tenant_of_ticket(s, c, mount);
	if (tenant < 0) {
		call_problem(c, PROBLEM_UNAUTHORIZED, NULL, "%s", key_complaint(c, mount));
		return false;
	}
	c->tenant_index = (size_t)tenant;
	c->tenant = auth_tenant_name(s->auth, c->tenant_index);
	c->share = s->shares ? &s->shares[tenant] : NULL;
	if (mount)
		c->endpoint = &mount->endpoint;
	else if (m.allowed)
		answer_no_method(c, m.allowed);
	else
		call_problem(c, PROBLEM_NOT_FOUND, NULL, "There is nothing under this path.");
	return mount != NULL;
}

/* The same verdict as of the checks up to here, before a large body is read for nothing. */
static bool wants_body(struct conn *conn, const struct head *h, void *arg)
{
	const struct server *s = arg;
	struct slice target = head_target(h);
	const uint8_t *mark = memchr(target.data, '?', target.len);
	struct router_path path;
	struct router_match m;

	if (router_path_parse(
		    slice_of(target.data, mark ? (size_t)(mark - target.data) : target.len), &path) < 0)
		return false;
	router_find(s->router, h->method, &path, &m);
	return !browser_complaint(s, h) && m.target && tenant_of(s, conn, h, m.target) >= 0;
}

static bool check_query(struct server *s, struct call *c)
{
	const struct call_param *params;
	size_t len;

	params = call_params(c, &len);
	if (!(c->endpoint->flags & ENDPOINT_BARE) || len == 0)
		return true;
	call_problem(c, PROBLEM_INVALID_FIELD, fault_quote(params[0].name).text,
		"unknown query parameter: %s", fault_quote(params[0].name).text);
	return false;
}

static bool check_rate(struct server *s, struct call *c)
{
	return !(c->endpoint->flags & ENDPOINT_SUBMIT) || call_charge(c, 1);
}

static bool check_load(struct server *s, struct call *c)
{
	if (c->endpoint->flags & ENDPOINT_ALWAYS)
		return true;
	if (s->in_flight > (size_t)s->config.options->limits.in_flight) {
		call_problem(c, PROBLEM_BUSY, NULL, "As many calls wait for their answer as may.");
		return false;
	}
	if (!share_take(c->share, SHARE_IN_FLIGHT)) {
		call_problem_share(c, SHARE_IN_FLIGHT);
		return false;
	}
	c->has_share = true;
	return true;
}

/* Later it could not be told from no body. */
static bool check_body(struct server *s, struct call *c)
{
	if (!c->body || evbuffer_pullup(c->body, -1) || evbuffer_get_length(c->body) == 0)
		return true;
	call_problem(c, PROBLEM_BUSY, NULL, "There is no memory for the body.");
	return false;
}

static bool (*const checks[])(struct server *s, struct call *c) = {
	check_target,
	check_browser,
	check_cors,
	check_endpoint,
	check_query,
	check_load,
	check_rate,
	check_body,
};

/* ---- calls ---- */

static void count_refusal(struct server *s, const struct call *c)
{
	static const enum problem refusals[] = {
		PROBLEM_UNAUTHORIZED, PROBLEM_FORBIDDEN_ORIGIN, PROBLEM_RATE_LIMITED, PROBLEM_TENANT_LIMIT};

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (c->problem == (int)refusals[i])
			metrics_add(s->config.metrics, GATEWAY_REFUSALS, 1,
				problem_type(refusals[i]) + strlen(PROBLEM_PATH));
}

static void leave_flight(struct server *s, struct call *c)
{
	s->in_flight--;
	if (c->has_share)
		share_give(c->share, SHARE_IN_FLIGHT);
	c->has_share = false;
}

static void on_answered(struct call *c, int status, void *arg)
{
	struct server *s = arg;
	const char *endpoint = c->endpoint ? c->endpoint->path : "none";
	char text[16];

	if (!c->is_waiting)
		leave_flight(s, c);
	snprintf(text, sizeof text, "%d", status);
	count_refusal(s, c);
	metrics_add(s->config.metrics, GATEWAY_REQUESTS, 1, endpoint, call_method_name(c),
		status ? text : "gone");
	metrics_observe(s->config.metrics, GATEWAY_REQUEST_SECONDS,
		(double)(clock_mono_us() - c->started_us) / 1e6, endpoint);
	log_debug("request", LOG_TEXT("method", call_method_name(c)), LOG_SLICE("path", call_path(c)),
		LOG_INT("status", status), LOG_TEXT("tenant", c->tenant),
		LOG_TEXT("request_id", c->request_id));
}

static void on_waiting(struct call *c, void *arg)
{
	leave_flight(arg, c);
}

static bool take_rate(struct call *c, size_t count, int64_t *wait_ms, void *arg)
{
	struct server *s = arg;
	double rate = s->config.options->limits.rate;

	return rate <= 0 ||
	       rate_take(&s->rates[c->tenant_index], rate, (double)count, clock_mono_ms(), wait_ms);
}

static void answer_without_memory(struct conn *conn)
{
	static const char head[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

	conn_answer(conn, slice_text(head), (struct slice){0}, 0);
}

static void on_request(struct conn *conn, void *arg)
{
	struct server *s = arg;
	const struct mount *mount;
	struct call *c;

	if (call_new(&s->hooks, conn, &c) < 0) {
		answer_without_memory(conn);
		return;
	}
	s->in_flight++;
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
		if (!checks[i](s, c))
			return;
	if (conn_is_without_body(conn)) {
		call_problem(c, PROBLEM_BUSY, NULL, "The body was not read; send the request again.");
		return;
	}
	mount = (const struct mount *)((const char *)c->endpoint - offsetof(struct mount, endpoint));
	mount->endpoint.handler(c, mount->arg);
}

/* ---- the server ---- */

static void collect(void *arg)
{
	struct server *s = arg;

	metrics_set(s->config.metrics, GATEWAY_IN_FLIGHT, (double)s->in_flight);
}

static int new_guard(struct server *s)
{
	const struct guard_config config = {
		.loop = s->config.loop,
		.metrics = s->config.metrics,
		.limits = &s->config.options->limits,
		.on_request = on_request,
		.wants_body = wants_body,
		.arg = s,
	};

	return guard_new(&config, &s->guard);
}

static int new_shares(struct server *s)
{
	const struct gateway_limits *l = &s->config.options->limits;
	size_t tenants = auth_tenants(s->auth);

	if (tenants < 2 || l->tenant_share == 100)
		return 0;
	s->shares = calloc(tenants, sizeof *s->shares);
	if (!s->shares)
		return -ENOMEM;
	for (size_t i = 0; i < tenants; i++)
		s->shares[i].most = s->share_most;
	s->share_most[SHARE_IN_FLIGHT] = share_of((size_t)l->in_flight, l->tenant_share);
	s->share_most[SHARE_WAITERS] = share_of((size_t)l->waiters, l->tenant_share);
	s->share_most[SHARE_FOLLOWERS] = share_of((size_t)l->followers, l->tenant_share);
	return 0;
}

static bool listens_on_loopback(const struct gateway_options *o)
{
	char host[LISTEN_HOST_MAX];
	unsigned port;

	return listen_parse(o->listen, host, &port) == 0 && listen_is_loopback(host);
}

static int add_own_endpoints(struct server *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof own_endpoints / sizeof *own_endpoints; i++)
		rc = server_add(s, &own_endpoints[i], s);
	return rc;
}

int server_new(const struct server_config *config, struct server **out)
{
	struct server *s = calloc(1, sizeof *s);
	int rc = -ENOMEM;

	if (!s)
		goto out;
	s->config = *config;
	s->hooks = (struct call_server){on_answered, take_rate, on_waiting, s};
	rc = auth_new(&config->options->auth, &s->auth);
	if (rc < 0)
		goto out;
	s->is_browser_guarded = !auth_has_keys(s->auth) && listens_on_loopback(config->options);
	s->rates = calloc(auth_tenants(s->auth), sizeof *s->rates);
	rc = s->rates ? new_shares(s) : -ENOMEM;
	if (rc == 0)
		rc = router_new(&s->router);
	if (rc == 0)
		rc = add_own_endpoints(s);
	if (rc == 0)
		rc = new_guard(s);
	if (rc < 0)
		goto out;
	metrics_on_collect(config->metrics, collect, s);
	*out = s;
	s = NULL;
out:
	server_free(s);
	return rc;
}

int server_add(struct server *s, const struct endpoint *e, void *arg)
{
	struct mount *m = malloc(sizeof *m);
	int rc;

	if (!m)
		return -ENOMEM;
	*m = (struct mount){*e, arg, s->mounts};
	rc = router_add(s->router, e->methods, e->path, m);
	if (rc < 0)
		free(m);
	else
		s->mounts = m;
	return rc;
}

int server_start(struct server *s)
{
	const struct gateway_options *o = s->config.options;
	int rc = guard_listen(s->guard, o->listen);

	s->share_most[SHARE_STREAMS] = share_of(guard_streams_max(s->guard), o->limits.tenant_share);
	if (rc < 0)
		log_error("listen_failed", LOG_TEXT("address", o->listen), LOG_ERRNO(rc));
	else
		log_info("listening", LOG_TEXT("address", guard_address(s->guard)));
	return rc;
}

void server_stop(struct server *s, server_drained_cb *on_drained, void *arg)
{
	guard_stop(s->guard, on_drained, arg);
}

static void free_mounts(struct mount *m)
{
	while (m) {
		struct mount *next = m->next;

		free(m);
		m = next;
	}
}

void server_free(struct server *s)
{
	if (!s)
		return;
	guard_free(s->guard);
	router_free(s->router);
	free_mounts(s->mounts);
	auth_free(s->auth);
	free(s->rates);
	free(s->shares);
	free(s);
}
