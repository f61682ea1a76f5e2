/*
 * The gateway's HTTP side with endpoints that only tests want: says what it received, keeps calls open, answers with
 * much. Reads a gateway's configuration; knows no broker and no store.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/metrics.h"
#include "gateway/server.h"
#include "gateway/ws_socket.h"
#include "proto/json.h"
#include "runtime/config.h"
#include "runtime/log.h"

enum { HELD_MAX = 256, DOCUMENT_MAX = 1 << 20, DRAIN_MS = 10000, MUCH_LEN = 1 << 20 };

struct probe {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	struct server *server;
	struct gateway_root options;
	struct ws_context sockets;
	struct call *held[HELD_MAX];
	size_t held_len;
	size_t gone;
};

static void append(struct buf *out, const char *name, struct slice value)
{
	buf_printf(out, "\"%s\":", name);
	if (slice_is_set(value))
		json_append_string(out, value);
	else
		buf_append_text(out, "null");
	buf_append_byte(out, ',');
}

/* What the call is, as JSON. */
static void say(struct call *c, void *arg)
{
	struct buf out;
	size_t len;
	const struct call_param *params = call_params(c, &len);

	buf_init(&out, DOCUMENT_MAX);
	buf_append_byte(&out, '{');
	append(&out, "method", slice_text(call_method_name(c)));
	append(&out, "path", call_path(c));
	append(&out, "query", call_query(c));
	append(&out, "name", call_segment(c, "name"));
	append(&out, "content_type", call_content_type(c));
	append(&out, "tenant", call_tenant(c));
	append(&out, "x_test", call_header(c, "X-Test"));
	buf_append_text(&out, "\"params\":[");
	for (size_t i = 0; i < len; i++) {
		buf_append_text(&out, i ? ",[" : "[");
		json_append_string(&out, params[i].name);
		buf_append_byte(&out, ',');
		json_append_string(&out, params[i].value);
		buf_append_byte(&out, ']');
	}
	buf_printf(&out, "],\"body_len\":%zu}", call_body(c).len);
	call_answer_json(c, 200, buf_slice(&out));
	buf_done(&out);
}

static void echo(struct call *c, void *arg)
{
	call_answer(c, 200, call_content_type(c), call_body(c));
}

static void on_gone(struct call *c, void *arg)
{
	struct probe *p = arg;

	for (size_t i = 0; i < p->held_len; i++)
		if (p->held[i] == c)
			p->held[i] = p->held[--p->held_len];
	p->gone++;
	call_problem(c, PROBLEM_INTERNAL, NULL, "Nobody reads this.");
}

static void hold(struct call *c, void *arg)
{
	struct probe *p = arg;

	if (p->held_len == HELD_MAX) {
		call_problem(c, PROBLEM_BUSY, NULL, "The probe holds no more.");
		return;
	}
	if (slice_is_set(call_param(c, "drop")))
		call_drop_body(c);
	p->held[p->held_len++] = c;
	call_on_gone(c, on_gone, p);
}

static void release(struct call *c, void *arg)
{
	struct probe *p = arg;
	size_t len = p->held_len;

	p->held_len = 0;
	for (size_t i = 0; i < len; i++)
		call_answer_json(p->held[i], 200, slice_text("\"held\""));
	call_answer_json(c, 200, slice_text("true"));
}

static void count(struct call *c, void *arg)
{
	struct probe *p = arg;
	struct buf out;

	buf_init(&out, DOCUMENT_MAX);
	buf_printf(&out, "{\"held\":%zu,\"gone\":%zu}", p->held_len, p->gone);
	call_answer_json(c, 200, buf_slice(&out));
	buf_done(&out);
}

static void much(struct call *c, void *arg)
{
	struct slice text = call_param(c, "size");
	char digits[24] = "";
	size_t len;
	void *data;

	if (text.len < sizeof digits)
		memcpy(digits, text.data, text.len);
	len = strtoul(digits, NULL, 10);
	data = calloc(1, len + 1);
	call_answer(c, 200, slice_text("application/octet-stream"), slice_of(data, len));
	free(data);
}

static void nothing(struct call *c, void *arg)
{
	call_answer(c, 204, (struct slice){0}, (struct slice){0});
}

static void batch(struct call *c, void *arg)
{
	if (call_charge(c, 9))
		nothing(c, arg);
}

/* ---- WebSockets ---- */

struct echo {
	struct ws_socket *socket;
};

/* What is said comes back, and some words do more. */
static void on_text(struct slice text, void *arg)
{
	struct echo *e = arg;

	if (slice_is_text(text, "close"))
		ws_socket_close(e->socket, WEBSOCKET_NORMAL, "as told");
	else if (slice_is_text(text, "rest"))
		ws_socket_rest(e->socket, true);
	else if (slice_is_text(text, "much")) {
		char *much_text = malloc(MUCH_LEN);

		memset(much_text, 'x', MUCH_LEN);
		ws_socket_send(e->socket, slice_of(much_text, MUCH_LEN));
		free(much_text);
	} else {
		ws_socket_send(e->socket, text);
	}
}

static void on_socket_gone(void *arg)
{
	free(arg);
}

static const struct ws_events echoing = {on_text, on_socket_gone};
static const struct ws_events deaf = {NULL, on_socket_gone};

static void open_socket(struct call *c, void *arg)
{
	struct probe *p = arg;
	struct handshake handshake;
	struct fault fault;
	struct echo *e;

	if (handshake_read(call_head(c), &handshake, &fault) < 0) {
		call_problem(c, fault.problem, NULL, "%s", fault.detail);
		return;
	}
	e = calloc(1, sizeof *e);
	if (ws_socket_open(&p->sockets, c, &handshake, slice_is_set(call_param(c, "deaf")) ? &deaf : &echoing,
		    e, &e->socket) < 0)
		free(e);
}

static void count_sockets(struct call *c, void *arg)
{
	struct probe *p = arg;
	char text[24];

	snprintf(text, sizeof text, "%zu", p->sockets.count);
	call_answer_json(c, 200, slice_text(text));
}

static const struct endpoint endpoints[] = {
	{CALL_GET | CALL_POST | CALL_PUT | CALL_PATCH | CALL_DELETE, "/v1/say/{name}", say, 0},
	{CALL_POST | CALL_PUT, "/v1/echo", echo, 0},
	{CALL_GET | CALL_POST, "/v1/hold", hold, 0},
	{CALL_POST, "/v1/release", release, ENDPOINT_ALWAYS},
	{CALL_GET, "/v1/count", count, ENDPOINT_ALWAYS},
	{CALL_GET, "/v1/much", much, 0},
	{CALL_GET, "/v1/nothing", nothing, 0},
	{CALL_GET, "/v1/socket", open_socket, 0},
	{CALL_GET, "/v1/sockets", count_sockets, ENDPOINT_ALWAYS},
	{CALL_POST, "/v1/submit", nothing, ENDPOINT_SUBMIT},
	{CALL_POST, "/v1/batch", batch, ENDPOINT_SUBMIT},
	{CALL_ANY_METHOD, "/{name}", say, 0},
	{CALL_POST, "/users/{name}", say, 0},
	{CALL_POST, "/users/me", echo, 0},
};

static void on_drained(void *arg)
{
	struct probe *p = arg;

	loop_exit(p->loop, 0);
}

static void on_stop(void *arg)
{
	struct probe *p = arg;

	health_stop(p->health);
	server_stop(p->server, on_drained, p);
}

static int new_metrics(struct probe *p)
{
	static struct metric_definition all[GATEWAY_METRICS_END];
	static char names[SERVICE_METRICS][32];

	for (int i = 0; i < SERVICE_METRICS; i++) {
		snprintf(names[i], sizeof names[i], "postback_probe_%d", i);
		all[i] = (struct metric_definition){
			.name = names[i], .type = METRIC_GAUGE, .help = "Of no use."};
	}
	memcpy(all + SERVICE_METRICS, gateway_metrics, sizeof gateway_metrics);
	return metrics_new(all, GATEWAY_METRICS_END, &p->metrics);
}

static int build(struct probe *p)
{
	struct server_config config = {.options = &p->options.gateway};
	int rc = loop_new(&p->loop);

	if (rc == 0)
		rc = new_metrics(p);
	if (rc == 0)
		rc = health_new(p->metrics, &p->health);
	if (rc < 0)
		return rc;
	p->sockets = (struct ws_context){
		.loop = p->loop, .metrics = p->metrics, .options = &p->options.gateway.live};
	config.loop = p->loop;
	config.metrics = p->metrics;
	config.health = p->health;
	rc = server_new(&config, &p->server);
	for (size_t i = 0; rc == 0 && i < sizeof endpoints / sizeof *endpoints; i++)
		rc = server_add(p->server, &endpoints[i], p);
	loop_on_stop(p->loop, on_stop, p, DRAIN_MS);
	return rc == 0 ? server_start(p->server) : rc;
}

static int read_options(struct probe *p, const char *path)
{
	struct buf errors;
	int rc;

	buf_init(&errors, DOCUMENT_MAX);
	rc = config_read(path, NULL, gateway_root_table, &p->options, &errors);
	if (rc == 0 && gateway_options_check(&p->options, path, &errors) > 0)
		rc = -EINVAL;
	if (rc < 0)
		fprintf(stderr, "%s", buf_text(&errors));
	buf_done(&errors);
	return rc;
}

int main(int argc, char **argv)
{
	static struct probe p;
	int code = 2;

	log_init("http-probe", LOG_DEBUG);
	if (argc != 3 || strcmp(argv[1], "--config") != 0)
		return 2;
	if (read_options(&p, argv[2]) < 0)
		goto out;
	code = build(&p) == 0 ? loop_run(p.loop) : 1;
out:
	server_free(p.server);
	health_free(p.health);
	loop_free(p.loop);
	metrics_free(p.metrics);
	config_free(gateway_root_table, &p.options);
	return code;
}
