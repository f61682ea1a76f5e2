#include "gateway/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/auth.h"
#include "gateway/call.h"
#include "gateway/cors.h"
#include "gateway/http.h"
#include "gateway/deliver.h"
#include "gateway/router.h"
#include "proto/json.h"
#include "proto/name.h"
#include "runtime/listener.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define KIB 1024LL
#define MIB (1024 * KIB)

static const char *const route_modes[] = {"async", "sync", NULL};

/* ---- checks of one value ---- */

static int refuse(char *why, size_t why_len, const char *text)
{
	snprintf(why, why_len, "%s", text);
	return -EINVAL;
}

static const char *text_of(const void *value)
{
	const char *text = *(char *const *)value;

	return text ? text : "";
}

static int check_listen(const void *value, char *why, size_t why_len)
{
	char host[LISTEN_HOST_MAX];
	unsigned port;

	if (listen_parse(text_of(value), host, &port) < 0)
		return refuse(why, why_len, "must be host:port, as 127.0.0.1:8080 or [::1]:8080, or :port");
	return 0;
}

static int check_auth_mode(const void *value, char *why, size_t why_len)
{
	if (*text_of(value) && strcmp(text_of(value), "none") != 0)
		return refuse(why, why_len, "must be none, or a map with keys");
	return 0;
}

static int check_tenant(const void *value, char *why, size_t why_len)
{
	if (!tenant_is_valid(text_of(value)))
		return refuse(why, why_len,
			"must be 1 to 64 of letters, digits, _ . and -, beginning with a letter or digit");
	return 0;
}

static int check_sha256(const void *value, char *why, size_t why_len)
{
	uint8_t digest[AUTH_DIGEST_LEN];

	if (digest_parse(text_of(value), digest) < 0)
		return refuse(why, why_len, "must be the 64 hexadecimal digits of the key's SHA-256");
	return 0;
}

static int check_origins(const void *value, char *why, size_t why_len)
{
	const struct option_strings *origins = value;

	for (size_t i = 0; i < origins->len; i++)
		if (!origins->items[i] || !cors_origin_is_valid(origins->items[i]))
			return refuse(
				why, why_len, "each must be \"*\" or http(s)://host[:port], without a path");
	return 0;
}

static int check_task(const void *value, char *why, size_t why_len)
{
	if (!name_is_valid(slice_text(text_of(value))))
		return refuse(why, why_len,
			"must be a task name: 1 to 100 of letters, digits, _ . and -, beginning with a letter or digit");
	return 0;
}

static int check_tasks(const void *value, char *why, size_t why_len)
{
	const struct option_strings *tasks = value;

	for (size_t i = 0; i < tasks->len; i++)
		if (!tasks->items[i] || !name_is_valid(slice_text(tasks->items[i])))
			return refuse(why, why_len,
				"each must be a task name: 1 to 100 of letters, digits, _ . and -");
	return 0;
}

int route_path_parse(const char *text, unsigned *methods, const char **pattern, const char **why)
{
	const char *space = strchr(text, ' ');
	enum call_method m = CALL_GET;

	*why = "it must be \"METHOD /path\" or \"/path\"";
	*methods = CALL_ANY_METHOD;
	*pattern = text;
	if (space) {
		while (m <= CALL_OPTIONS && strncmp(http_method_name(m), text, (size_t)(space - text)) != 0)
			m <<= 1;
		if (m > CALL_OPTIONS || strlen(http_method_name(m)) != (size_t)(space - text)) {
			*why = "the methods are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS";
			return -EINVAL;
		}
		*methods = m;
		*pattern = space + 1;
	}
	return router_check_pattern(*pattern, why);
}

static int check_route_path(const void *value, char *why, size_t why_len)
{
	unsigned methods;
	const char *pattern, *reason;
	struct slice first;

	if (route_path_parse(text_of(value), &methods, &pattern, &reason) < 0)
		return refuse(why, why_len, reason);
	first = slice_of(pattern + 1, strcspn(pattern + 1, "/"));
	if (router_is_reserved(first))
		return refuse(why, why_len,
			"this path belongs to the gateway itself: choose one that does not begin with "
			"/v1, /livez, /readyz, /metrics, /problems, /openapi.json or /docs");
	return 0;
}

/* ---- checks of a whole route ---- */

static bool is_given(const char *text)
{
	return text && *text;
}

static int check_id_name(
	const struct route_options *r, const char *option, const char *name, char *why, size_t why_len)
{
	unsigned methods;
	const char *pattern, *reason;

	if (!is_given(name) || route_path_parse(r->path, &methods, &pattern, &reason) < 0)
		return 0;
	if (!router_has_name(pattern, name)) {
		snprintf(why, why_len, "%s must name a {part} of the path", option);
		return -EINVAL;
	}
	if (methods != CALL_GET && methods != CALL_ANY_METHOD && methods != CALL_HEAD) {
		snprintf(why, why_len, "%s is read with GET", option);
		return -EINVAL;
	}
	return 0;
}

static int check_chain(const struct route_options *r, char *why, size_t why_len)
{
	const struct route_step *steps = r->tasks.items;

	if (!steps || r->tasks.len == 0)
		return 0;
	if (r->mode == ROUTE_SYNC)
		return refuse(why, why_len, "a chain of tasks cannot be sync: use mode async, or one task");
	if (r->tasks.len > 16)
		return refuse(why, why_len, "a chain has at most 16 tasks");
	if (is_given(steps[r->tasks.len - 1].when))
		return refuse(
			why, why_len, "the last task of a chain cannot have when: its id is the answer's");
	return 0;
}

static int check_deliver(const void *value, char *why, size_t why_len)
{
	struct slice json = slice_text(*(char *const *)value);
	struct json_error error;
	struct fault fault;
	struct buf list;
	int rc;

	if (json_check(json, &error) < 0)
		return refuse(why, why_len, error.reason);
	buf_init(&list, DELIVER_TEXT_MAX);
	rc = deliver_read(json, "", &list, &fault);
	if (rc == -EINVAL)
		snprintf(why, why_len, "%s: %s", fault.field, fault.detail);
	buf_done(&list);
	return rc;
}

static int check_route(const void *value, char *why, size_t why_len)
{
	const struct route_options *r = value;
	bool reads = is_given(r->status_of) || is_given(r->result_of) || is_given(r->live_of);
	/* An empty list has been given, too: a chain that was not filled in is none to be passed over. */
	int purposes = is_given(r->task) + (r->tasks.items != NULL) + is_given(r->status_of) +
		       is_given(r->result_of) + is_given(r->live_of);

	if (r->tasks.items && r->tasks.len == 0)
		return refuse(why, why_len, "tasks has no task");
	if (purposes != 1)
		return refuse(why, why_len,
			"must have exactly one of task, tasks, status_of, result_of and live_of");
	if (reads && (r->mode == ROUTE_SYNC || r->reply.status || r->reply.body || r->deliver))
		return refuse(why, why_len, "mode, reply and deliver are for routes with a task");
	if (r->mode == ROUTE_SYNC && r->deliver)
		return refuse(
			why, why_len, "deliver is for mode async: a sync route answers with the result");
	if (r->mode == ROUTE_SYNC && (r->reply.status || r->reply.body))
		return refuse(why, why_len, "reply is for mode async: a sync route answers with the result");
	if (r->timeout_ms && r->mode != ROUTE_SYNC)
		return refuse(why, why_len, "timeout is for mode sync");
	if (check_id_name(r, "status_of", r->status_of, why, why_len) < 0 ||
		check_id_name(r, "result_of", r->result_of, why, why_len) < 0 ||
		check_id_name(r, "live_of", r->live_of, why, why_len) < 0)
		return -EINVAL;
	return check_chain(r, why, why_len);
}

/* ---- tables ---- */

#define AT(member) .offset = offsetof(struct gateway_key, member)
static const struct option key_table[] = {
	{.name = "tenant",
		.type = OPTION_STRING,
		AT(tenant),
		.required = true,
		.check = check_tenant,
		.help = "Whose key it is; tenants never see each other's tasks. One may have several keys."},
	{.name = "sha256",
		.type = OPTION_STRING,
		AT(sha256),
		.required = true,
		.check = check_sha256,
		.help = "The hexadecimal SHA-256 of the key: printf %s \"$KEY\" | sha256sum."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct gateway_auth, member)
static const struct option auth_table[] = {
	{.name = "mode",
		.type = OPTION_STRING,
		AT(mode),
		.fallback = "",
		.check = check_auth_mode,
		.help = "none: anybody may call, said in so many words; \"auth: none\" for short."},
	{.name = "keys",
		.type = OPTION_LIST,
		AT(keys),
		.fields = key_table,
		.item_size = sizeof(struct gateway_key),
		.line_offset = offsetof(struct gateway_key, line),
		.help = "API keys, sent as \"Authorization: Bearer <key>\"."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct gateway_limits, member)
static const struct option limit_table[] = {
	{.name = "body",
		.type = OPTION_SIZE,
		AT(body),
		.fallback = "8MiB",
		.min = KIB,
		.max = 128 * MIB,
		.help = "Largest body of one request; it must fit amqp.max_message with 64 KiB to spare."},
	{.name = "bodies",
		.type = OPTION_SIZE,
		AT(bodies),
		.fallback = "256MiB",
		.min = 64 * KIB,
		.max = 1024 * 1024 * MIB,
		.help = "Bytes of all requests and large answers held at once; what passes it is answered with 503."},
	{.name = "header",
		.type = OPTION_SIZE,
		AT(header),
		.fallback = "16KiB",
		.min = KIB,
		.max = MIB,
		.help = "Largest head of one request."},
	{.name = "connections",
		.type = OPTION_INT,
		AT(connections),
		.fallback = "10000",
		.min = 1,
		.max = 1000000,
		.help = "Open client connections; at the limit the longest idle one is closed, or a new one waits."},
	{.name = "in_flight",
		.type = OPTION_INT,
		AT(in_flight),
		.fallback = "4096",
		.min = 1,
		.max = 1000000,
		.help = "Calls that wait for the broker, the store or a sync result; more are answered with 503."},
	{.name = "waiters",
		.type = OPTION_INT,
		AT(waiters),
		.fallback = "10000",
		.min = 1,
		.max = 1000000,
		.help = "Calls that wait for a task by ?wait= or Prefer: wait; one more ?wait= is answered with 503."},
	{.name = "followers",
		.type = OPTION_INT,
		AT(followers),
		.fallback = "100000",
		.min = 1,
		.max = 10000000,
		.help = "Tasks followed by live connections (WebSocket, server-sent events), each of them counted."},
	{.name = "publish_timeout",
		.type = OPTION_DURATION,
		AT(publish_timeout_ms),
		.fallback = "2s",
		.min = 10,
		.max = MINUTE,
		.help = "How long a submission waits for the broker's confirm before it is answered with 503."},
	{.name = "sync_timeout",
		.type = OPTION_DURATION,
		AT(sync_timeout_ms),
		.fallback = "30s",
		.min = 10,
		.max = HOUR,
		.help = "How long a sync call waits for its result before it is answered with 504."},
	{.name = "head_timeout",
		.type = OPTION_DURATION,
		AT(head_timeout_ms),
		.fallback = "10s",
		.min = 10,
		.max = HOUR,
		.help = "From the first byte of a request to the end of its head."},
	{.name = "body_timeout",
		.type = OPTION_DURATION,
		AT(body_timeout_ms),
		.fallback = "2m",
		.min = 10,
		.max = HOUR,
		.help = "From the end of the head to the end of the body."},
	{.name = "idle_timeout",
		.type = OPTION_DURATION,
		AT(idle_timeout_ms),
		.fallback = "75s",
		.min = 10,
		.max = HOUR,
		.help = "How long a connection is kept between two requests."},
	{.name = "write_timeout",
		.type = OPTION_DURATION,
		AT(write_timeout_ms),
		.fallback = "30s",
		.min = 10,
		.max = HOUR,
		.help = "A client that takes less than 64 KiB of its answer in that time is cut off."},
	{.name = "rate",
		.type = OPTION_NUMBER,
		AT(rate),
		.fallback = "0",
		.min = 0,
		.max = 1000000,
		.help = "Submissions a second for each tenant, with a second's worth at once; 0: no limit."},
	{.name = "tenant_share",
		.type = OPTION_INT,
		AT(tenant_share),
		.fallback = "50",
		.min = 1,
		.max = 100,
		.help = "Percent of in_flight, waiters, followers and live connections that one tenant may have where there are several; what passes it is answered with 429."},
	{.name = "batch",
		.type = OPTION_INT,
		AT(batch),
		.fallback = "1000",
		.min = 1,
		.max = 100000,
		.help = "Items of one batch."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct gateway_cors, member)
static const struct option cors_table[] = {
	{.name = "origins",
		.type = OPTION_STRINGS,
		AT(origins),
		.check = check_origins,
		.help = "Web origins whose pages may call, as https://app.example.com; \"*\" for all needs keys or auth none."},
	{.name = "max_age",
		.type = OPTION_DURATION,
		AT(max_age_ms),
		.fallback = "10m",
		.min = 0,
		.max = 24LL * HOUR,
		.help = "How long a browser may remember the answer to its preflight."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct gateway_live, member)
static const struct option live_table[] = {
	{.name = "ping",
		.type = OPTION_DURATION,
		AT(ping_ms),
		.fallback = "30s",
		.min = 100,
		.max = HOUR,
		.help = "How often a WebSocket is pinged; a client that says nothing in between is closed with 1008. Event streams get a comment after half as long in silence."},
	{.name = "idle_timeout",
		.type = OPTION_DURATION,
		AT(idle_timeout_ms),
		.fallback = "10m",
		.min = 100,
		.max = 24LL * HOUR,
		.help = "How long a WebSocket that follows no task is kept; then it is closed with 1000."},
	{.name = "message",
		.type = OPTION_SIZE,
		AT(message),
		.fallback = "64KiB",
		.min = KIB,
		.max = MIB,
		.help = "Largest message of a WebSocket client; a larger one closes it with 1009."},
	{.name = "backlog",
		.type = OPTION_SIZE,
		AT(backlog),
		.fallback = "256KiB",
		.min = 4 * KIB,
		.max = 64 * MIB,
		.help = "Bytes that a connected client may leave unread; with more to tell it is closed, WebSockets with 1008, event streams when it has been so for a second."},
	{.name = "subscriptions",
		.type = OPTION_INT,
		AT(subscriptions),
		.fallback = "1000",
		.min = 1,
		.max = 100000,
		.help = "Tasks that one WebSocket may follow at a time."},
	{.name = "ticket_ttl",
		.type = OPTION_DURATION,
		AT(ticket_ttl_ms),
		.fallback = "60s",
		.min = SECOND,
		.max = HOUR,
		.help = "How long a ticket opens connections; those that are open stay."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct route_step, member)
static const struct option step_table[] = {
	{.name = "task",
		.type = OPTION_STRING,
		AT(task),
		.required = true,
		.check = check_task,
		.help = "Task name."},
	{.name = "when",
		.type = OPTION_STRING,
		AT(when),
		.fallback = "",
		.help = "The step is left out when the request has no parameter of this name."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct route_reply, member)
static const struct option reply_table[] = {
	{.name = "status", .type = OPTION_INT, AT(status), .min = 200, .max = 299, .help = "Instead of 202."},
	{.name = "body",
		.type = OPTION_JSON,
		AT(body),
		.help = "The JSON to answer with; {id}, {task} and {name of a parameter} in its strings are filled in."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct route_options, member)
static const struct option route_table[] = {
	{.name = "path",
		.type = OPTION_STRING,
		AT(path),
		.required = true,
		.check = check_route_path,
		.help = "\"POST /orders/{number}\", or without a method for all; a trailing slash is optional."},
	{.name = "task", .type = OPTION_STRING, AT(task), .check = check_task, .help = "The task to run."},
	{.name = "tasks",
		.type = OPTION_LIST,
		AT(tasks),
		.fields = step_table,
		.item_size = sizeof(struct route_step),
		.scalar_field = "task",
		.help = "A chain: each runs when the one before has succeeded, with the same payload."},
	{.name = "mode",
		.type = OPTION_CHOICE,
		AT(mode),
		.fallback = "async",
		.choices = route_modes,
		.help = "async answers with the id at once, sync with the result."},
	{.name = "reply",
		.type = OPTION_SECTION,
		AT(reply),
		.fields = reply_table,
		.help = "Shape of the async answer."},
	{.name = "deliver",
		.type = OPTION_JSON,
		AT(deliver),
		.check = check_deliver,
		.help = "To whom the outcome is pushed, as in an envelope; of a chain the last task's."},
	{.name = "status_of",
		.type = OPTION_STRING,
		AT(status_of),
		.help = "Answers with the status document of the task whose id this {part} of the path holds."},
	{.name = "result_of",
		.type = OPTION_STRING,
		AT(result_of),
		.help = "Answers with the bare result of the task whose id this {part} of the path holds."},
	{.name = "live_of",
		.type = OPTION_STRING,
		AT(live_of),
		.help = "Tells of the task whose id this {part} of the path holds as it changes: a WebSocket where the request asks for one, else server-sent events."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		AT(timeout_ms),
		.fallback = "0",
		.max = HOUR,
		.help = "How long a sync route waits, in place of limits.sync_timeout; 0: that."},
	{0},
};
#undef AT

#define AT(member) .offset = offsetof(struct gateway_options, member)
static const struct option gateway_table[] = {
	{.name = "listen",
		.type = OPTION_STRING,
		AT(listen),
		.fallback = "127.0.0.1:8080",
		.check = check_listen,
		.help = "host:port, or :port for every address; another than loopback needs auth.keys, or auth: none."},
	{.name = "auth",
		.type = OPTION_SECTION,
		AT(auth),
		.fields = auth_table,
		.scalar_field = "mode",
		.help = "Who may call. Without keys everybody is the tenant \"default\"."},
	{.name = "limits",
		.type = OPTION_SECTION,
		AT(limits),
		.fields = limit_table,
		.help = "What clients may use up."},
	{.name = "cors",
		.type = OPTION_SECTION,
		AT(cors),
		.fields = cors_table,
		.help = "Pages of other sites."},
	{.name = "live",
		.type = OPTION_SECTION,
		AT(live),
		.fields = live_table,
		.help = "Clients that stay connected and are told of every change."},
	{.name = "tasks",
		.type = OPTION_STRINGS,
		AT(tasks),
		.check = check_tasks,
		.help = "Tasks whose queues are declared for workers that are not ours."},
	{.name = "routes",
		.type = OPTION_LIST,
		AT(routes),
		.fields = route_table,
		.item_size = sizeof(struct route_options),
		.check = check_route,
		.line_offset = offsetof(struct route_options, line),
		.help = "Paths of your own that stand for tasks."},
	{.name = "id_key_file",
		.type = OPTION_STRING,
		AT(id_key_file),
		.help = "File with the 32 bytes (or their 64 hexadecimal digits) that sign task ids; none: the store keeps them."},
	{0},
};
#undef AT

const struct option gateway_root_table[] = {
	SERVICE_OPTIONS(struct gateway_root),
	{.name = "gateway",
		.type = OPTION_SECTION,
		.offset = offsetof(struct gateway_root, gateway),
		.fields = gateway_table,
		.help = "HTTP: submissions, results, routes."},
	{.name = "processor", .type = OPTION_IGNORED, .help = "See postback-processor --reference."},
	{.name = "notifier", .type = OPTION_IGNORED, .help = "See postback-notifier --reference."},
	{0},
};

/* ---- what tables cannot say ---- */

struct complaints {
	const char *path;
	struct buf *errors;
	int count;
};

static void complain(struct complaints *c, int line, const char *where, const char *why)
{
	if (line > 0)
		buf_printf(c->errors, "%s:%d: %s: %s\n", c->path, line, where, why);
	else
		buf_printf(c->errors, "%s: %s: %s\n", c->path, where, why);
	c->count++;
}

static void check_exposure(struct complaints *c, const struct gateway_options *o)
{
	bool is_none = is_given(o->auth.mode);
	char host[LISTEN_HOST_MAX];
	unsigned port;

	if (is_none && o->auth.keys.len > 0)
		complain(c, 0, "gateway.auth", "none and keys exclude each other");
	if (o->auth.keys.len > 0 || is_none)
		return;
	if (listen_parse(o->listen, host, &port) == 0 && !listen_is_loopback(host))
		complain(c, 0, "gateway.listen",
			"another address than loopback needs gateway.auth.keys, or \"auth: none\" in so many words");
	for (size_t i = 0; i < o->cors.origins.len; i++)
		if (strcmp(o->cors.origins.items[i], "*") == 0)
			complain(c, 0, "gateway.cors.origins",
				"\"*\" needs gateway.auth.keys, or \"auth: none\"");
}

static void check_keys(struct complaints *c, const struct gateway_options *o)
{
	const struct gateway_key *keys = o->auth.keys.items;
	char where[64];

	for (size_t i = 0; i < o->auth.keys.len; i++)
		for (size_t k = 0; k < i; k++) {
			if (strcasecmp(keys[i].sha256, keys[k].sha256) != 0)
				continue;
			snprintf(where, sizeof where, "gateway.auth.keys[%zu].sha256", i);
			complain(c, keys[i].line, where, "the same key stands here twice");
			break;
		}
}

static void check_limits(struct complaints *c, const struct gateway_root *root)
{
	const struct gateway_limits *l = &root->gateway.limits;

	if (l->body > root->shared.amqp.max_message - 64 * KIB)
		complain(c, 0, "gateway.limits.body", "must fit amqp.max_message with 64 KiB to spare");
	if (l->bodies < l->body)
		complain(c, 0, "gateway.limits.bodies", "must be at least gateway.limits.body");
}

static bool is_same_route(const struct route_options *a, const struct route_options *b)
{
	unsigned a_methods, b_methods;
	const char *a_pattern, *b_pattern, *why;

	if (route_path_parse(a->path, &a_methods, &a_pattern, &why) < 0 ||
		route_path_parse(b->path, &b_methods, &b_pattern, &why) < 0)
		return false;
	return (a_methods & b_methods) && router_is_same_shape(a_pattern, b_pattern);
}

static void check_routes(struct complaints *c, const struct gateway_options *o)
{
	const struct route_options *routes = o->routes.items;
	char where[64], why[96];

	for (size_t i = 0; i < o->routes.len; i++)
		for (size_t k = 0; k < i; k++) {
			if (!is_same_route(&routes[i], &routes[k]))
				continue;
			snprintf(where, sizeof where, "gateway.routes[%zu].path", i);
			snprintf(why, sizeof why, "takes the same requests as gateway.routes[%zu] in line %d",
				k, routes[k].line);
			complain(c, routes[i].line, where, why);
			break;
		}
}

int gateway_options_check(const void *options, const char *path, struct buf *errors)
{
	const struct gateway_root *root = options;
	struct complaints c = {.path = path, .errors = errors};

	check_exposure(&c, &root->gateway);
	check_keys(&c, &root->gateway);
	check_limits(&c, root);
	check_routes(&c, &root->gateway);
	return c.count;
}
