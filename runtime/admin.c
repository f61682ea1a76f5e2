#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "runtime/clock.h"
#include "runtime/health.h"
#include "runtime/listener.h"
#include "runtime/log.h"
#include "runtime/quote.h"

enum {
	SWEEP_MS = 200,
	IDLE_SWEEP_MS = 1000,
	READ_TIMEOUT_S = 3,
	HEAD_MAX = 8 * 1024,
	REQUEST_BODY_MAX = 4 * 1024,
	ANSWER_MAX = 8 * 1024 * 1024,
};

struct connection {
	struct bufferevent *socket; /* a reference of our own; NULL: a free slot */
	int64_t deadline_ms;	    /* clock_mono_ms */
};

struct admin {
	struct loop *loop;
	struct health *health;
	struct evhttp *http;
	struct listener *listener;
	struct event *sweep;
	struct connection connections[ADMIN_CONNECTIONS_MAX];
	bool is_busy; /* the last sweep found connections, or one has come since */
};

struct page {
	const char *path;
	const char *content_type;
	int (*write)(struct health *h, struct buf *body);
};
static const struct page pages[] = {
	{"/livez", "application/json", health_livez},
	{"/readyz", "application/json", health_readyz},
	{"/metrics", METRICS_CONTENT_TYPE, health_metrics},
};

/* ---- answers ---- */

static const char *reason_of(int status)
{
	switch (status) {
	case 200: return "OK";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 503: return "Service Unavailable";
	default: return "Internal Server Error";
	}
}

static void answer(struct evhttp_request *req, int status, const char *content_type, struct buf *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evhttp_request_get_output_buffer(req);
	char length[24];

	if (body->error)
		buf_reset(body);
	snprintf(length, sizeof length, "%zu", body->len);
	evhttp_add_header(headers, "Content-Type", content_type);
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Connection", "close");
	/* evhttp would send a body after a HEAD, too. */
	if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
		evbuffer_add(out, body->data, body->len);
	evhttp_send_reply(req, status, reason_of(status), NULL);
}

static void refuse(struct evhttp_request *req, int status, const char *detail)
{
	struct buf body;

	buf_init(&body, ANSWER_MAX);
	buf_printf(&body,
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", reason_of(status),
		status);
	quote_json(&body, slice_text(detail));
	buf_append_text(&body, "}\n");
	answer(req, status, "application/problem+json", &body);
	buf_done(&body);
}

static const struct page *find_page(const char *path)
{
	for (size_t i = 0; path && i < sizeof pages / sizeof pages[0]; i++)
		if (strcmp(path, pages[i].path) == 0)
			return &pages[i];
	return NULL;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct admin *a = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const struct page *page = find_page(uri ? evhttp_uri_get_path(uri) : NULL);
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	struct buf body;
	int status;

	if (!page) {
		refuse(req, 404, "here are /livez, /readyz and /metrics");
		return;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		refuse(req, 405, "only GET and HEAD are answered");
		return;
	}
	buf_init(&body, ANSWER_MAX);
	status = page->write(a->health, &body);
	answer(req, status, page->content_type, &body);
	buf_done(&body);
}

/* ---- connections ---- */

/*
 * evhttp's timeout starts again with every byte, so a caller could hold a connection for hours; and evhttp tells nobody
 * of a connection's end. So we hold a reference to each socket and look at them now and then: one whose callbacks are
 * gone was let go by evhttp, one past its time is shut down, which evhttp takes for the caller's leaving.
 */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;
	int64_t now = clock_mono_ms();
	size_t open = 0;

	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		struct connection *c = &a->connections[i];
		bufferevent_event_cb in_use;

		if (!c->socket)
			continue;
		bufferevent_getcb(c->socket, NULL, NULL, &in_use, NULL);
		if (!in_use) {
			bufferevent_decref(c->socket);
			c->socket = NULL;
			continue;
		}
		open++;
		if (now >= c->deadline_ms)
			shutdown(bufferevent_getfd(c->socket), SHUT_RDWR);
	}
	listener_set_full(a->listener, open == ADMIN_CONNECTIONS_MAX);
	a->is_busy = open > 0;
	timer_arm(a->sweep, a->is_busy ? SWEEP_MS : IDLE_SWEEP_MS);
}

/* Called by evhttp for every connection accepted; NULL makes it take a socket of its own, which is not watched. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct admin *a = arg;
	struct bufferevent *socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	size_t slot = 0;

	if (!socket)
		return NULL;
	while (slot < ADMIN_CONNECTIONS_MAX && a->connections[slot].socket)
		slot++;
	if (slot == ADMIN_CONNECTIONS_MAX)
		return socket;
	bufferevent_incref(socket);
	a->connections[slot] = (struct connection){socket, clock_mono_ms() + ADMIN_CALL_MS};
	/* The last free slot is the last of all. */
	if (slot + 1 == ADMIN_CONNECTIONS_MAX)
		listener_set_full(a->listener, true);
	if (!a->is_busy)
		timer_arm(a->sweep, SWEEP_MS);
	a->is_busy = true;
	return socket;
}

/* ---- the whole ---- */

static int open_http(struct admin *a)
{
	a->http = evhttp_new(loop_base(a->loop));
	if (!a->http)
		return -ENOMEM;
	evhttp_set_timeout(a->http, READ_TIMEOUT_S);
	evhttp_set_max_headers_size(a->http, HEAD_MAX);
	evhttp_set_max_body_size(a->http, REQUEST_BODY_MAX);
	/* All that evhttp knows, so that the refusal is ours and not its HTML. */
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						    EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
						    EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(a->http, on_request, a);
	evhttp_set_bevcb(a->http, on_connection, a);
	timer_arm(a->sweep, IDLE_SWEEP_MS);
	return listener_serve(a->listener, a->http);
}

int admin_new(struct loop *loop, const char *listen, struct health *h, struct admin **out)
{
	struct admin *a = calloc(1, sizeof *a);
	int rc = -ENOMEM;

	if (!a)
		goto out;
	a->loop = loop;
	a->health = h;
	rc = 0;
	if (*listen == '\0')
		goto done;
	a->sweep = loop_timer(loop, on_sweep, a);
	rc = a->sweep ? listener_new(loop_base(loop), listen, NULL, NULL, &a->listener) : -ENOMEM;
	if (rc < 0) {
		log_error("listen_failed", LOG_TEXT("address", listen), LOG_ERRNO(rc));
		goto out;
	}
	rc = open_http(a);
	if (rc < 0)
		goto out;
	log_info("admin_listening", LOG_TEXT("address", admin_address(a)));
done:
	*out = a;
	a = NULL;
out:
	admin_free(a);
	return rc;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	if (a->listener)
		listener_stop(a->listener);
	if (a->http)
		evhttp_free(a->http);
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
		if (a->connections[i].socket)
			bufferevent_decref(a->connections[i].socket);
	listener_free(a->listener);
	if (a->sweep)
		event_free(a->sweep);
	free(a);
}

const char *admin_address(const struct admin *a)
{
	return a->listener ? listener_address(a->listener) : "";
}
