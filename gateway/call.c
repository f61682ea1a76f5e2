/* Before libevent's headers, which undefine what they find missing. */
#include <sys/queue.h>

#include "gateway/call_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/buffer.h>

#include "base/utf8.h"
#include "gateway/header.h"
#include "runtime/clock.h"

enum {
	DETAIL_MAX = 2048,
	PROBLEM_MAX = 64 * 1024,
	HEAD_MAX = 64 * 1024,	    /* of an answer; what clients put into it was bounded before */
	CHARGED_ANSWER = 64 * 1024, /* bytes from which on an answer counts in the budget */
};

static void free_call(struct call *c)
{
	guard_give_bytes(c->guard, c->charge);
	head_done(c->head);
	free(c->head);
	if (c->body)
		evbuffer_free(c->body);
	buf_done(&c->fields);
	buf_done(&c->params_text);
	free(c->params);
	free(c);
}

static void on_gone(void *arg)
{
	struct call *c = arg;

	c->conn = NULL;
	if (c->on_gone)
		c->on_gone(c, c->on_gone_arg);
}

static void name_request(struct call *c)
{
	struct slice given = head_field(c->head, "x-request-id");

	if (request_id_is_sane(given)) {
		memcpy(c->request_id, given.data, given.len);
		c->request_id[given.len] = '\0';
	} else {
		request_id_make(c->request_id);
	}
}

static void split_target(struct call *c)
{
	struct slice target = head_target(c->head);
	const uint8_t *mark = memchr(target.data, '?', target.len);
	size_t len = mark ? (size_t)(mark - target.data) : target.len;

	c->target_path = slice_of(target.data, len);
	if (mark)
		c->target_query = slice_of(mark + 1, target.len - len - 1);
}

int call_new(const struct call_server *server, struct conn *conn, struct call **out)
{
	struct call *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->server = server;
	c->guard = conn_guard(conn);
	c->problem = -1;
	c->conn = conn;
	c->head = conn_take_head(conn);
	c->body = conn_take_body(conn);
	c->charge = conn_take_charge(conn);
	c->started_us = clock_mono_us();
	name_request(c);
	split_target(c);
	buf_init(&c->fields, HEAD_MAX);
	buf_init(&c->params_text, (size_t)c->target_query.len);
	conn_on_gone(conn, on_gone, c);
	*out = c;
	return 0;
}

/* ---- the query ---- */

static struct slice cut(struct slice *rest, char c)
{
	const uint8_t *at = rest->len > 0 ? memchr(rest->data, c, rest->len) : NULL;
	struct slice first = slice_of(rest->data, at ? (size_t)(at - rest->data) : rest->len);

	*rest = at ? slice_of(at + 1, rest->len - first.len - 1) : slice_of(rest->data + rest->len, 0);
	return first;
}

static bool is_text(struct slice s)
{
	return utf8_is_valid(s) && (s.len == 0 || !memchr(s.data, 0, s.len));
}

static int decode(struct call *c, struct slice raw, struct slice *out)
{
	size_t start = c->params_text.len;
	int rc = router_decode(raw, true, &c->params_text);

	if (rc < 0)
		return rc;
	*out = slice_of(c->params_text.data + start, c->params_text.len - start);
	return is_text(*out) ? 0 : -EBADMSG;
}

static int add_param(struct call *c, struct slice pair)
{
	struct slice rest = pair;
	struct slice name = cut(&rest, '=');
	struct call_param *p = &c->params[c->params_len];
	int rc;

	if (pair.len == 0)
		return 0;
	if (c->params_len == CALL_PARAMS_MAX)
		return -EMSGSIZE;
	rc = decode(c, name, &p->name);
	if (rc == 0)
		rc = decode(c, rest, &p->value);
	c->params_len += rc == 0;
	return rc;
}

static int parse_query(struct call *c)
{
	struct slice rest = c->target_query;
	size_t most = 1;
	int rc = 0;

	if (rest.len == 0)
		return 0;
	for (size_t i = 0; i < rest.len && most < CALL_PARAMS_MAX; i++)
		most += rest.data[i] == '&';
	c->params = calloc(most, sizeof *c->params);
	/* At once, as slices point into it. */
	if (!c->params || buf_append(&c->params_text, rest.data, rest.len) < 0)
		return -ENOMEM;
	buf_reset(&c->params_text);
	while (rc == 0 && rest.len > 0)
		rc = add_param(c, cut(&rest, '&'));
	return rc;
}

int call_parse(struct call *c, const char **why)
{
	int rc = router_path_parse(c->target_path, &c->path);

	if (rc < 0) {
		*why = rc == -EMSGSIZE
			       ? "The path is too long."
			       : "The path has an empty segment, a broken escape, a control character, or is "
				 "not UTF-8.";
		return rc;
	}
	rc = parse_query(c);
	if (rc == -EMSGSIZE)
		*why = "The query has too many parameters.";
	else if (rc < 0)
		*why = "The query has a broken escape, a NUL, or is not UTF-8.";
	return rc;
}

/* ---- the request ---- */

enum call_method call_method(const struct call *c)
{
	return c->head->method;
}

const char *call_method_name(const struct call *c)
{
	return http_method_name(c->head->method);
}

struct slice call_path(const struct call *c)
{
	return slice_of(c->path.text, c->path.text_len);
}

struct slice call_query(const struct call *c)
{
	return c->target_query;
}

struct slice call_body(const struct call *c)
{
	size_t len = c->body ? evbuffer_get_length(c->body) : 0;

	return slice_of(len > 0 ? evbuffer_pullup(c->body, -1) : NULL, len);
}

void call_drop_body(struct call *c)
{
	if (c->body)
		evbuffer_free(c->body);
	c->body = NULL;
	/* The head stays until the answer. */
	if (c->charge > c->head->text.len) {
		guard_give_bytes(c->guard, c->charge - c->head->text.len);
		c->charge = c->head->text.len;
	}
}

struct slice call_content_type(const struct call *c)
{
	return head_field(c->head, "content-type");
}

const struct head *call_head(const struct call *c)
{
	return c->head;
}

struct slice call_header(const struct call *c, const char *name)
{
	return head_field(c->head, name);
}

const struct call_param *call_params(const struct call *c, size_t *len)
{
	*len = c->params_len;
	return c->params;
}

struct slice call_param(const struct call *c, const char *name)
{
	for (size_t i = 0; i < c->params_len; i++)
		if (slice_is_text(c->params[i].name, name))
			return c->params[i].value;
	return (struct slice){0};
}

bool call_has_key_in_query(const struct call *c)
{
	static const char *const names[] = {
		"key", "api_key", "apikey", "token", "access_token", "authorization"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_is_set(call_param(c, names[i])))
			return true;
	return false;
}

struct slice call_segment(const struct call *c, const char *name)
{
	return c->endpoint ? router_segment(c->endpoint->path, &c->path, name) : (struct slice){0};
}

struct slice call_tenant(const struct call *c)
{
	return slice_text(c->tenant);
}

struct share *call_share(const struct call *c)
{
	return c->share;
}

const char *call_request_id(const struct call *c)
{
	return c->request_id;
}

void call_on_gone(struct call *c, void (*cb)(struct call *c, void *arg), void *arg)
{
	c->on_gone = cb;
	c->on_gone_arg = arg;
	if (c->conn)
		conn_watch(c->conn, cb != NULL);
}

bool call_is_gone(const struct call *c)
{
	return c->conn == NULL;
}

void call_set_waiting(struct call *c)
{
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	c->server->on_waiting(c, c->server->arg);
}

bool call_charge(struct call *c, size_t submissions)
{
	int64_t wait_ms;
	char seconds[24];

	if (submissions == 0 || c->server->take_rate(c, submissions, &wait_ms, c->server->arg))
		return true;
	snprintf(seconds, sizeof seconds, "%lld", (long long)((wait_ms + 999) / 1000));
	call_set_header(c, "Retry-After", seconds);
	call_problem(c, PROBLEM_RATE_LIMITED, NULL,
		"The tenant's rate of submissions is used up; come again in %s s.", seconds);
	return false;
}

/* ---- the answer ---- */

void call_set_header(struct call *c, const char *name, const char *value)
{
	header_set(&c->fields, name, value);
}

static void set_default(struct call *c, const char *name, const char *value)
{
	if (!header_is_set(&c->fields, name))
		header_set(&c->fields, name, value);
}

static bool has_body(int status)
{
	return status != 204 && status != 304;
}

static void set_common_fields(struct call *c)
{
	set_default(c, "Date", guard_date(c->guard));
	set_default(c, "X-Request-Id", c->request_id);
	set_default(c, "Cache-Control", "no-store");
	set_default(c, "X-Content-Type-Options", "nosniff");
}

static void set_fields(struct call *c, int status, struct slice content_type, size_t len)
{
	char text[24];
	char type[256];

	set_common_fields(c);
	if (!has_body(status))
		return;
	if (content_type.len > 0 && content_type.len < sizeof type) {
		memcpy(type, content_type.data, content_type.len);
		type[content_type.len] = '\0';
		call_set_header(c, "Content-Type", type);
	}
	/* By ourselves, as an answer to HEAD tells the length of what it does not bring. */
	snprintf(text, sizeof text, "%zu", len);
	call_set_header(c, "Content-Length", text);
}

/* The client has left: nothing goes out. */
static void finish_gone(struct call *c)
{
	c->server->on_answered(c, 0, c->server->arg);
	free_call(c);
}

static int render_head(const struct call *c, int status, struct buf *out)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	buf_append_slice(out, buf_slice(&c->fields));
	return buf_append(out, "\r\n", 2);
}

static void finish(struct call *c, int status, struct slice content_type, struct slice body, size_t charged)
{
	bool is_bare = !has_body(status) || c->head->method == CALL_HEAD;
	const char *connection = conn_connection_field(c->conn);
	struct buf head;

	buf_init(&head, HEAD_MAX);
	set_fields(c, status, content_type, body.len);
	if (connection)
		call_set_header(c, "Connection", connection);
	c->server->on_answered(c, status, c->server->arg);
	if (c->fields.error || render_head(c, status, &head) < 0)
		buf_reset(&head);
	conn_answer(c->conn, buf_slice(&head), is_bare ? (struct slice){0} : body, charged);
	buf_done(&head);
	free_call(c);
}

void call_answer(struct call *c, int status, struct slice content_type, struct slice body)
{
	size_t charged = body.len >= CHARGED_ANSWER && c->head->method != CALL_HEAD ? body.len : 0;

	if (call_is_gone(c)) {
		finish_gone(c);
	} else if (guard_take_bytes(c->guard, charged)) {
		finish(c, status, content_type, body, charged);
	} else {
		call_set_header(c, "Retry-After", "1");
		call_problem(c, PROBLEM_BUSY, NULL,
			"The gateway holds as many bytes of requests and answers as it may.");
	}
}

/* ---- an answer without an end ---- */

static int start_stream(
	struct call *c, int status, const struct stream_events *events, void *arg, struct stream **out)
{
	struct buf head;
	int rc;

	if (call_is_gone(c))
		return -EPIPE;
	if (guard_is_stopping(c->guard))
		return -EAGAIN;
	buf_init(&head, HEAD_MAX);
	set_common_fields(c);
	rc = render_head(c, status, &head);
	if (rc == 0)
		rc = conn_stream(c->conn, buf_slice(&head), c->share, events, arg, out);
	buf_done(&head);
	return rc;
}

/* They were meant for a stream. */
static void forget_stream_fields(struct call *c)
{
	static const char *const names[] = {"Connection", "Upgrade", "Sec-WebSocket-Accept",
		"Sec-WebSocket-Protocol", "Transfer-Encoding"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		header_remove(&c->fields, names[i]);
}

int call_stream(
	struct call *c, int status, const struct stream_events *events, void *arg, struct stream **out)
{
	int rc = start_stream(c, status, events, arg, out);

	if (rc < 0) {
		forget_stream_fields(c);
		if (rc == -EDQUOT)
			call_problem_share(c, SHARE_STREAMS);
		else
			call_problem(c, PROBLEM_BUSY, NULL,
				"As many connections are kept open for what comes as may, or the gateway is ending.");
		return rc;
	}
	c->server->on_answered(c, status, c->server->arg);
	free_call(c);
	return 0;
}

void call_answer_json(struct call *c, int status, struct slice json)
{
	call_answer(c, status, slice_text("application/json"), json);
}

void call_problem_with(
	struct call *c, enum problem problem, const char *field, const char *members, const char *detail)
{
	struct slice document = {0};
	struct buf body;

	c->problem = (int)problem;
	if (problem_status(problem) == 503 || problem_status(problem) == 429)
		set_default(c, "Retry-After", "1");
	if (problem == PROBLEM_UNAUTHORIZED)
		set_default(c, "WWW-Authenticate", "Bearer");
	buf_init(&body, PROBLEM_MAX);
	/* Without memory for the document the status has to do. */
	if (problem_render(problem, field, members, detail, c->request_id, &body) == 0)
		document = buf_slice(&body);
	call_answer(c, problem_status(problem), slice_text("application/problem+json"), document);
	buf_done(&body);
}

void call_problem_share(struct call *c, enum share_kind kind)
{
	call_problem(c, PROBLEM_TENANT_LIMIT, NULL, "%s", share_complaint(kind));
}

void call_problem(struct call *c, enum problem problem, const char *field, const char *detail_format, ...)
{
	char detail[DETAIL_MAX];
	va_list args;

	va_start(args, detail_format);
	vsnprintf(detail, sizeof detail, detail_format, args);
	va_end(args);
	call_problem_with(c, problem, field, NULL, detail);
}
