#include "gateway/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/keyvalq_struct.h>

#include "gateway/http.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	READ_MAX = 16 * 1024,	  /* bytes of a connection that wait unread in our memory */
	PROGRESS_MIN = 64 * 1024, /* bytes that a reader must take in one write_timeout */
	LINGER_MS = 3000,	  /* for what the client still sends after our last word */
	PROBLEM_BYTES_MAX = 4096,
};

/* ---- states ---- */

bool conn_charge(struct conn *c, size_t held)
{
	if (held > c->charge && !guard_take_bytes(c->guard, held - c->charge))
		return false;
	if (held < c->charge)
		guard_give_bytes(c->guard, c->charge - held);
	c->charge = held;
	return true;
}

static void drop_head(struct conn *c)
{
	if (c->head)
		head_done(c->head);
	free(c->head);
	c->head = NULL;
}

static int64_t state_limit_ms(const struct conn *c)
{
	const struct gateway_limits *l = &c->guard->limits;

	switch (c->state) {
	case CONN_IDLE: return l->idle_timeout_ms;
	case CONN_HEAD: return l->head_timeout_ms;
	case CONN_BODY: return l->body_timeout_ms;
	case CONN_SENDING:
	case CONN_REFUSING: return l->write_timeout_ms;
	case CONN_LINGERING: return LINGER_MS;
	case CONN_BUSY:
	case CONN_STREAM: /* armed by what is written */
	case CONN_CLOSED: return 0;
	}
	return 0;
}

static void arm(struct conn *c)
{
	int64_t ms = state_limit_ms(c);

	if (ms > 0)
		timer_arm(&c->timer, ms);
	else
		event_del(&c->timer);
}

void conn_enter(struct conn *c, enum conn_state state)
{
	if (c->state == CONN_IDLE && state != CONN_IDLE)
		TAILQ_REMOVE(&c->guard->idle, c, idle);
	if (c->state != CONN_IDLE && state == CONN_IDLE) {
		TAILQ_INSERT_TAIL(&c->guard->idle, c, idle);
		c->idle_since_ms = clock_mono_ms();
	}
	c->state = state;
	arm(c);
}

/* evhttp knows no other way to be told to let go; it frees the connection and calls on_close. */
void conn_close(struct conn *c)
{
	if (c->state != CONN_CLOSED)
		bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
}

void conn_linger(struct conn *c)
{
	if (c->has_eof) {
		conn_close(c);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	conn_enter(c, CONN_LINGERING);
}

/* ---- the guard's own answers ---- */

static void append_refusal(struct conn *c, enum problem problem, const char *why, struct buf *out)
{
	char id[REQUEST_ID_LEN + 1], date[HTTP_DATE_LEN + 1];
	struct buf body;

	buf_init(&body, PROBLEM_BYTES_MAX);
	request_id_make(id);
	http_date(date);
	problem_render(problem, NULL, NULL, why, id, &body);
	buf_printf(out,
		"HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\nDate: %s\r\n%s"
		"Connection: close\r\n\r\n",
		problem_status(problem), http_reason(problem_status(problem)), body.len, id, date,
		problem_status(problem) == 503 ? "Retry-After: 1\r\n" : "");
	if (!c->is_head_request)
		buf_append_slice(out, buf_slice(&body));
	buf_done(&body);
	log_debug("request_turned_away", LOG_TEXT("problem", problem_type(problem)), LOG_TEXT("why", why),
		LOG_TEXT("request_id", id));
}

void conn_refuse(struct conn *c, enum problem problem, const char *why)
{
	struct buf out;

	buf_init(&out, (size_t)2 * PROBLEM_BYTES_MAX);
	append_refusal(c, problem, why, &out);
	metrics_add(c->guard->metrics, GATEWAY_REFUSALS, 1, problem_type(problem) + strlen("/problems/"));
	c->unsent = SIZE_MAX;
	conn_enter(c, CONN_REFUSING);
	if (out.error || bufferevent_write(c->underlying, out.data, out.len) < 0)
		event_active(&c->pump, EV_TIMEOUT, 0);
	buf_done(&out);
}

/* ---- what goes out ---- */

/*
 * evhttp takes "moved" for "sent", and closes the socket of a connection's last answer right then. Saying NEED_MORE keeps
 * its write callback back until the socket has taken everything (on_output), when the guard triggers it.
 */
static enum bufferevent_filter_result filter_out(struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit,
	enum bufferevent_flush_mode mode, void *arg)
{
	evbuffer_add_buffer(dst, src);
	return BEV_NEED_MORE;
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_STREAM)
		conn_stream_output(c, info->n_deleted);
	if (info->n_deleted > 0 && evbuffer_get_length(output) == 0 && c->state != CONN_CLOSED)
		event_active(&c->pump, EV_TIMEOUT, 0);
}

static void on_complete(struct evhttp_request *req, void *arg)
{
	struct conn *c = arg;

	guard_give_bytes(c->guard, c->answer_charge);
	c->answer_charge = 0;
	drop_head(c);
	conn_enter(c, CONN_IDLE);
	event_active(&c->pump, EV_TIMEOUT, 0);
}

static size_t unsent(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->underlying));
}

static void add_connection_field(struct conn *c, struct evhttp_request *req)
{
	if (c->is_last)
		evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
	else if (c->expects_keep_alive)
		evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "keep-alive");
}

void conn_answer(struct conn *c, struct evhttp_request *req, int status, struct evbuffer *body, size_t charge)
{
	assert(c->state == CONN_BUSY);
	c->on_gone = NULL;
	c->is_last |= c->guard->on_drained != NULL;
	c->answer_charge = charge;
	c->body_len = 0;
	add_connection_field(c, req);
	evhttp_request_set_on_complete_cb(req, on_complete, c);
	evhttp_send_reply(req, status, http_reason(status), body);
	/* A filter does not look at what stood in its output before writing was enabled. */
	bufferevent_flush(c->bev, EV_WRITE, BEV_NORMAL);
	c->unsent = unsent(c);
	conn_enter(c, CONN_SENDING);
}

static void sent(struct conn *c)
{
	if (c->state == CONN_REFUSING || (c->state == CONN_SENDING && c->is_last))
		conn_linger(c);
	else if (c->state == CONN_SENDING)
		bufferevent_trigger(c->bev, EV_WRITE, 0);
}

static void on_slow(struct conn *c)
{
	size_t left = unsent(c);

	if (c->unsent - left < PROGRESS_MIN) {
		metrics_add(c->guard->metrics, GATEWAY_REFUSALS, 1, "slow-reader");
		conn_close(c);
		return;
	}
	c->unsent = left;
	arm(c);
}

/* ---- a connection's life ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_IDLE:
	case CONN_LINGERING: conn_close(c); return;
	case CONN_HEAD: conn_refuse(c, PROBLEM_TIMEOUT, "The head of the request took too long."); return;
	case CONN_BODY: conn_refuse(c, PROBLEM_TIMEOUT, "The body of the request took too long."); return;
	case CONN_SENDING:
	case CONN_REFUSING: on_slow(c); return;
	case CONN_STREAM: conn_stream_slow(c); return;
	case CONN_BUSY:
	case CONN_CLOSED: return;
	}
}

/* evhttp lets go, for whatever reason; the memory goes later (conn_free), the descriptor's number may be used again now. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
	struct conn *c = arg;
	void (*on_gone)(void *) = c->on_gone;

	conn_enter(c, CONN_CLOSED);
	event_del(&c->pump);
	guard_forget(c);
	c->on_gone = NULL;
	if (on_gone)
		on_gone(c->on_gone_arg);
}

static bool is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

	if (!sa)
		return false;
	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return sa->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127));
}

/*
 * evhttp asks for the filter before it says which socket and connection it is for; both are known in the first round
 * after, before the socket can have been read.
 */
static void adopt(struct conn *c)
{
	void *evcon;
	int one = 1;

	bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
	c->fd = bufferevent_getfd(c->underlying);
	if (!evcon || c->fd < 0)
		return;
	c->evcon = evcon;
	evhttp_connection_set_closecb(evcon, on_close, c);
	c->is_local = is_loopback(evhttp_connection_get_addr(evcon));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (guard_remember(c) < 0)
		conn_close(c);
}

static bool has_input(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_input(c->underlying)) > 0;
}

static bool is_over(const struct conn *c)
{
	switch (c->state) {
	case CONN_IDLE: return c->guard->on_drained || (c->has_eof && !has_input(c));
	case CONN_HEAD:
	case CONN_BODY: return c->has_eof;
	case CONN_BUSY: return c->has_eof && c->is_watched;
	case CONN_LINGERING: return c->lingered > CONN_LINGER_BYTES;
	case CONN_SENDING:
	case CONN_STREAM:
	case CONN_REFUSING:
	case CONN_CLOSED: return false;
	}
	return false;
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (!c->evcon)
		adopt(c);
	if (!c->evcon || c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_IDLE && !c->guard->on_drained && has_input(c))
		bufferevent_trigger(c->underlying, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
	if (c->state == CONN_STREAM)
		conn_stream_pump(c);
	else if (is_over(c))
		conn_close(c);
	else if (unsent(c) == 0)
		sent(c);
}

/* ---- between the socket and the filter ---- */

static void on_socket_read(struct bufferevent *underlying, void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_STREAM)
		conn_stream_input(c);
	else
		c->filter.read(underlying, c->filter.arg);
}

static void on_socket_write(struct bufferevent *underlying, void *arg)
{
	struct conn *c = arg;

	c->filter.write(underlying, c->filter.arg);
}

/* A client may end its stream and still read: evhttp would take that for the end of everything. */
static void on_socket_event(struct bufferevent *underlying, short what, void *arg)
{
	struct conn *c = arg;
	bool is_eof = (what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING);
	bool is_answered = c->state == CONN_SENDING || c->state == CONN_REFUSING ||
			   (c->state == CONN_BUSY && !c->is_watched);

	c->has_eof |= is_eof;
	if (is_eof && c->state == CONN_STREAM)
		event_active(&c->pump, EV_TIMEOUT, 0);
	else if (!is_eof || !is_answered)
		c->filter.event(underlying, what, c->filter.arg);
}

/* ---- making and freeing ---- */

static void conn_free(void *arg)
{
	struct conn *c = arg;

	if (c->state != CONN_CLOSED)
		conn_enter(c, CONN_CLOSED);
	evbuffer_remove_cb(bufferevent_get_output(c->underlying), on_output, c);
	event_del(&c->pump);
	drop_head(c);
	conn_charge(c, 0);
	guard_give_bytes(c->guard, c->answer_charge);
	guard_remove(c);
	free(c);
}

static int open_buffers(struct conn *c)
{
	c->underlying = bufferevent_socket_new(c->guard->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c->underlying)
		return -ENOMEM;
	bufferevent_setwatermark(c->underlying, EV_READ, 0, READ_MAX);
	c->bev = bufferevent_filter_new(
		c->underlying, conn_filter_in, filter_out, BEV_OPT_CLOSE_ON_FREE, conn_free, c);
	if (!c->bev) {
		bufferevent_free(c->underlying);
		return -ENOMEM;
	}
	bufferevent_getcb(c->underlying, &c->filter.read, &c->filter.write, &c->filter.event, &c->filter.arg);
	bufferevent_setcb(c->underlying, on_socket_read, on_socket_write, on_socket_event, c);
	evbuffer_add_cb(bufferevent_get_output(c->underlying), on_output, c);
	return 0;
}

int conn_new(struct guard *g, struct conn **out)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->guard = g;
	c->fd = -1;
	event_assign(&c->timer, g->base, -1, 0, on_timer, c);
	event_assign(&c->pump, g->base, -1, 0, on_pump, c);
	if (open_buffers(c) < 0) {
		free(c);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&g->idle, c, idle);
	c->idle_since_ms = clock_mono_ms();
	arm(c);
	/* For adopt. */
	event_active(&c->pump, EV_TIMEOUT, 0);
	*out = c;
	return 0;
}

/* ---- of a connection whose request was handed out ---- */

struct guard *conn_guard(const struct conn *c)
{
	return c->guard;
}

bool conn_is_local(const struct conn *c)
{
	return c->is_local;
}

bool conn_is_without_body(const struct conn *c)
{
	return c->is_without_body;
}

struct head *conn_take_head(struct conn *c)
{
	struct head *h = c->head;

	assert(h);
	c->head = NULL;
	return h;
}

size_t conn_take_charge(struct conn *c)
{
	size_t len = c->charge;

	c->charge = 0;
	c->body_len = 0;
	return len;
}

void conn_watch(struct conn *c, bool is_long)
{
	c->is_watched = is_long;
	if (is_long && c->has_eof)
		event_active(&c->pump, EV_TIMEOUT, 0);
}

void conn_on_gone(struct conn *c, void (*cb)(void *arg), void *arg)
{
	c->on_gone = cb;
	c->on_gone_arg = arg;
}
