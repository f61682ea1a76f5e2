#include "gateway/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	READ_MAX = 16 * 1024,	  /* bytes of a connection that wait unread in our memory */
	PROGRESS_MIN = 64 * 1024, /* bytes that a reader must take in one write_timeout */
	LINGER_MS = 3000,	  /* for what the client still sends after our last word */
	LOOK_OUT_MS = 1000,
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

/* What of a request was not taken. */
static void drop_request(struct conn *c)
{
	if (c->head)
		head_done(c->head);
	free(c->head);
	c->head = NULL;
	if (c->body)
		evbuffer_free(c->body);
	c->body = NULL;
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

/*
 * States change often and time is hardly ever over: the timer is set only when it has to come sooner, and what was put off
 * meanwhile shows when it comes.
 */
void conn_limit(struct conn *c, int64_t ms)
{
	c->ends_ms = ms > 0 ? clock_mono_ms() + ms : INT64_MAX;
	if (c->ends_ms >= c->armed_ms)
		return;
	c->armed_ms = c->ends_ms;
	timer_arm(&c->timer, ms);
}

bool conn_is_limited(const struct conn *c)
{
	return c->ends_ms < INT64_MAX;
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
	conn_limit(c, state_limit_ms(c));
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
	if (out.error || conn_write(c, buf_slice(&out)) < 0)
		event_active(&c->pump, EV_TIMEOUT, 0);
	buf_done(&out);
}

/* ---- what goes out ---- */

static size_t unsent(const struct conn *c)
{
	return c->bev ? evbuffer_get_length(bufferevent_get_output(c->bev)) : 0;
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_STREAM)
		conn_stream_output(c, info->n_deleted);
	if (info->n_deleted > 0 && evbuffer_get_length(output) == 0)
		event_active(&c->pump, EV_TIMEOUT, 0);
}

/* The socket takes most answers at once, which saves asking it first whether it would. */
static void flush(struct conn *c)
{
	struct evbuffer *output = bufferevent_get_output(c->bev);

	evbuffer_unfreeze(output, 1);
	/* What fails here fails again when the bufferevent tries, which tells. */
	(void)evbuffer_write(output, c->fd);
	evbuffer_freeze(output, 1);
	if (evbuffer_get_length(output) > 0)
		bufferevent_enable(c->bev, EV_WRITE);
}

int conn_write(struct conn *c, struct slice bytes)
{
	if (bufferevent_write(c->bev, bytes.data, bytes.len) < 0)
		return -ENOMEM;
	flush(c);
	return 0;
}

const char *conn_connection_field(struct conn *c)
{
	c->is_last |= guard_is_stopping(c->guard);
	if (c->is_last)
		return "close";
	return c->expects_keep_alive ? "keep-alive" : NULL;
}

void conn_answer(struct conn *c, struct slice head, struct slice body, size_t charge)
{
	assert(c->state == CONN_BUSY);
	c->on_gone = NULL;
	c->answer_charge = charge;
	if (head.len == 0 || bufferevent_write(c->bev, head.data, head.len) < 0 ||
		(body.len > 0 && bufferevent_write(c->bev, body.data, body.len) < 0)) {
		conn_close(c);
		return;
	}
	c->unsent = unsent(c);
	conn_enter(c, CONN_SENDING);
	flush(c);
}

static void end_request(struct conn *c)
{
	guard_give_bytes(c->guard, c->answer_charge);
	c->answer_charge = 0;
	drop_request(c);
	conn_enter(c, CONN_IDLE);
	event_active(&c->pump, EV_TIMEOUT, 0);
}

static void sent(struct conn *c)
{
	if (c->state == CONN_REFUSING || (c->state == CONN_SENDING && c->is_last))
		conn_linger(c);
	else if (c->state == CONN_SENDING)
		end_request(c);
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
	conn_limit(c, c->guard->limits.write_timeout_ms);
}

/* ---- clients that leave unread ---- */

static bool has_input(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
}

/*
 * libevent says that a stream has ended when it reads the end. It could be told of it otherwise (EV_CLOSED), but not of a
 * reset without looping.
 */
void conn_look_out(struct conn *c)
{
	if (c->state == CONN_BUSY && c->is_watched && !conn_is_limited(c) &&
		evbuffer_get_length(bufferevent_get_input(c->bev)) >= READ_MAX)
		conn_limit(c, LOOK_OUT_MS);
}

static void look(struct conn *c)
{
	struct pollfd end = {.fd = c->fd, .events = POLLRDHUP};

	conn_limit(c, 0);
	if (!c->is_watched)
		return;
	if (poll(&end, 1, 0) == 1) {
		c->has_eof = true;
		event_active(&c->pump, EV_TIMEOUT, 0);
	} else {
		conn_look_out(c);
	}
}

/* ---- a connection's life ---- */

static void on_time_over(struct conn *c)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_LINGERING: conn_close(c); return;
	case CONN_HEAD: conn_refuse(c, PROBLEM_TIMEOUT, "The head of the request took too long."); return;
	case CONN_BODY: conn_refuse(c, PROBLEM_TIMEOUT, "The body of the request took too long."); return;
	case CONN_SENDING:
	case CONN_REFUSING: on_slow(c); return;
	case CONN_STREAM: conn_stream_slow(c); return;
	case CONN_BUSY: look(c); return;
	case CONN_CLOSED: return;
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int64_t left_ms = c->ends_ms - clock_mono_ms();

	c->armed_ms = INT64_MAX;
	if (!conn_is_limited(c))
		return;
	if (left_ms > 0)
		conn_limit(c, left_ms);
	else
		on_time_over(c);
}

void conn_close(struct conn *c)
{
	void (*on_gone)(void *) = c->on_gone;

	if (c->state == CONN_CLOSED)
		return;
	conn_enter(c, CONN_CLOSED);
	evbuffer_remove_cb(bufferevent_get_output(c->bev), on_output, c);
	bufferevent_free(c->bev);
	c->bev = NULL;
	c->on_gone = NULL;
	event_active(&c->pump, EV_TIMEOUT, 0);
	if (on_gone)
		on_gone(c->on_gone_arg);
}

void conn_free(struct conn *c)
{
	event_del(&c->timer);
	event_del(&c->pump);
	drop_request(c);
	conn_charge(c, 0);
	guard_give_bytes(c->guard, c->answer_charge);
	guard_remove(c);
	free(c);
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

static bool is_over(const struct conn *c)
{
	switch (c->state) {
	case CONN_IDLE: return c->guard->on_drained || (c->has_eof && !has_input(c));
	case CONN_HEAD:
	case CONN_BODY: return c->has_eof;
	case CONN_BUSY: return c->has_eof && c->is_watched;
	case CONN_LINGERING: return c->has_eof || c->lingered > CONN_LINGER_BYTES;
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

	if (c->state == CONN_CLOSED) {
		conn_free(c);
		return;
	}
	if (c->state == CONN_IDLE && !guard_is_stopping(c->guard) && has_input(c))
		conn_input(c);
	if (c->state == CONN_STREAM)
		conn_stream_pump(c);
	else if (is_over(c))
		conn_close(c);
	else if (unsent(c) == 0)
		sent(c);
}

/* ---- the socket ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_STREAM)
		conn_stream_input(c);
	else
		conn_input(c);
}

/* All is out: from here on flush tries first again. */
static void on_write(struct bufferevent *bev, void *arg)
{
	bufferevent_disable(bev, EV_WRITE);
}

/* A client may end its stream and still read: what that means depends on what it is waiting for (is_over). */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	if ((what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING)) {
		c->has_eof = true;
		event_active(&c->pump, EV_TIMEOUT, 0);
	} else {
		conn_close(c);
	}
}

static struct bufferevent *open_socket(struct conn *c)
{
	struct bufferevent *bev = bufferevent_socket_new(c->guard->base, c->fd, BEV_OPT_CLOSE_ON_FREE);
	int one = 1;

	if (!bev)
		return NULL;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	bufferevent_setcb(bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_MAX);
	bufferevent_disable(bev, EV_WRITE);
	evbuffer_add_cb(bufferevent_get_output(bev), on_output, c);
	bufferevent_enable(bev, EV_READ);
	return bev;
}

int conn_new(struct guard *g, int fd, const struct sockaddr *peer, struct conn **out)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		goto no_memory;
	c->guard = g;
	c->fd = fd;
	c->is_local = is_loopback(peer);
	c->armed_ms = INT64_MAX;
	event_assign(&c->timer, g->base, -1, 0, on_timer, c);
	event_assign(&c->pump, g->base, -1, 0, on_pump, c);
	c->bev = open_socket(c);
	if (!c->bev)
		goto no_memory;
	TAILQ_INSERT_TAIL(&g->idle, c, idle);
	c->idle_since_ms = clock_mono_ms();
	conn_limit(c, state_limit_ms(c));
	*out = c;
	return 0;
no_memory:
	close(fd);
	free(c);
	return -ENOMEM;
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

struct evbuffer *conn_take_body(struct conn *c)
{
	struct evbuffer *body = c->body;

	c->body = NULL;
	return body;
}

size_t conn_take_charge(struct conn *c)
{
	size_t len = c->charge;

	c->charge = 0;
	return len;
}

void conn_watch(struct conn *c, bool is_long)
{
	c->is_watched = is_long;
	if (is_long && c->has_eof)
		event_active(&c->pump, EV_TIMEOUT, 0);
	conn_look_out(c);
}

void conn_on_gone(struct conn *c, void (*cb)(void *arg), void *arg)
{
	c->on_gone = cb;
	c->on_gone_arg = arg;
}
