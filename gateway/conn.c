#include "gateway/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <event2/keyvalq_struct.h>

#include "gateway/chunked.h"
#include "gateway/http.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	READ_MAX = 16 * 1024,	  /* bytes of a connection that wait unread in our memory */
	PROGRESS_MIN = 64 * 1024, /* bytes that a reader must take in one write_timeout */
	LINGER_MS = 3000,	  /* for what the client still sends after our last word */
	LINGER_BYTES = 32 << 20,
	EVICT_AGE_MS = 1000, /* a connection this long idle may be closed to make room */
	EVICT_EVERY_MS = 200,
	PROBLEM_BYTES_MAX = 4096,
};

enum conn_state {
	CONN_IDLE, /* no byte of a request */
	CONN_HEAD,
	CONN_BODY,
	CONN_BUSY,	/* the request is handed out */
	CONN_SENDING,	/* its answer is on its way */
	CONN_REFUSING,	/* an answer of the guard's own is */
	CONN_LINGERING, /* said all, reads and drops */
	CONN_CLOSED,	/* evhttp let go of it */
};

struct conn {
	struct guard *guard;
	TAILQ_ENTRY(conn) all;
	TAILQ_ENTRY(conn) idle; /* in guard->idle while CONN_IDLE */
	enum conn_state state;
	int64_t idle_since_ms; /* monotonic */
	bool is_last;	       /* ends after this answer */
	bool is_local;
	bool expects_keep_alive; /* an HTTP/1.0 client that wants to be told */
	bool is_head_request;
	bool is_without_body;
	bool has_eof;			/* the client says no more */
	bool is_watched;		/* and that means that it has left */
	struct bufferevent *bev;	/* evhttp's: the filter */
	struct bufferevent *underlying; /* the socket's */
	struct {
		bufferevent_data_cb read, write;
		bufferevent_event_cb event;
		void *arg;
	} filter; /* the filter's own callbacks on the socket */
	struct evhttp_connection *evcon;
	int fd;
	struct event timer;
	struct event pump; /* what must not be done inside the callbacks of bev */

	struct head *head; /* while one is read and until it is taken */
	int64_t body_left; /* of a body with a length */
	int64_t body_len;  /* passed on so far */
	struct chunked chunked;
	size_t charge;	      /* of the budget, for what came in */
	size_t answer_charge; /* for what goes out */
	size_t unsent;	      /* at the last look of the write timeout */
	size_t lingered;
	void (*on_gone)(void *arg);
	void *on_gone_arg;
};

TAILQ_HEAD(conn_list, conn);

struct guard {
	struct event_base *base;
	struct metrics *metrics;
	struct gateway_limits limits;
	guard_request_cb *on_request;
	guard_wants_body_cb *wants_body;
	void *arg;
	struct evhttp *http;
	struct listener *listener;
	struct conn_list all, idle;
	size_t count;
	struct conn **by_fd; /* evhttp hands out requests by socket */
	size_t by_fd_len;
	size_t bytes; /* of the budget taken */
	bool is_freed;
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	struct event drained;
	struct event make_room; /* pending while full */
};

/* ---- the budget ---- */

bool guard_take_bytes(struct guard *g, size_t len)
{
	if (len > (size_t)g->limits.bodies - g->bytes)
		return false;
	g->bytes += len;
	return true;
}

void guard_give_bytes(struct guard *g, size_t len)
{
	assert(len <= g->bytes);
	g->bytes -= len;
}

/* Makes the connection's share what it holds now. */
static bool charge(struct conn *c, size_t held)
{
	if (held > c->charge && !guard_take_bytes(c->guard, held - c->charge))
		return false;
	if (held < c->charge)
		guard_give_bytes(c->guard, c->charge - held);
	c->charge = held;
	return true;
}

/* ---- states ---- */

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

static void enter(struct conn *c, enum conn_state state)
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
static void close_now(struct conn *c)
{
	if (c->state != CONN_CLOSED)
		bufferevent_trigger_event(c->bev, BEV_EVENT_READING | BEV_EVENT_EOF, 0);
}

static void linger(struct conn *c)
{
	if (c->has_eof) {
		close_now(c);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	enter(c, CONN_LINGERING);
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
	log_debug("request_refused", LOG_TEXT("problem", problem_type(problem)), LOG_TEXT("why", why),
		LOG_TEXT("request_id", id));
}

/* Says why and ends the connection. evhttp is not told: what it has of the request stays unfinished. */
static void refuse(struct conn *c, enum problem problem, const char *why)
{
	struct buf out;

	buf_init(&out, (size_t)2 * PROBLEM_BYTES_MAX);
	append_refusal(c, problem, why, &out);
	metrics_add(c->guard->metrics, GATEWAY_REFUSALS, 1, problem_type(problem) + strlen("/problems/"));
	c->unsent = SIZE_MAX;
	enter(c, CONN_REFUSING);
	if (out.error || bufferevent_write(c->underlying, out.data, out.len) < 0)
		event_active(&c->pump, EV_TIMEOUT, 0);
	buf_done(&out);
}

/* ---- what comes in ---- */

/* All that evhttp gets to see of a head: what it needs to find the end of the body. */
static void pass_head(const struct head *h, struct evbuffer *dst)
{
	if (h->is_chunked)
		evbuffer_add_printf(dst, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	else
		evbuffer_add_printf(
			dst, "POST / HTTP/1.1\r\nContent-Length: %lld\r\n\r\n", (long long)h->content_length);
}

static void pass_without_body(struct conn *c, struct evbuffer *dst)
{
	evbuffer_add_printf(dst, "POST / HTTP/1.1\r\n\r\n");
	enter(c, CONN_BUSY);
}

static bool is_worth_asking(const struct head *h)
{
	return h->is_chunked || h->expects_continue || h->content_length > GUARD_EARLY_BYTES;
}

static void begin_body(struct conn *c, struct evbuffer *dst)
{
	pass_head(c->head, dst);
	enter(c, CONN_BODY);
	c->body_left = c->head->content_length;
	c->body_len = 0;
	chunked_init(&c->chunked);
	if (c->head->expects_continue)
		bufferevent_write(c->underlying, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void take_head(struct conn *c, struct evbuffer *dst)
{
	struct guard *g = c->guard;
	struct head *h = c->head;

	c->is_head_request = h->method == CALL_HEAD;
	c->is_last = !h->is_kept || g->on_drained;
	c->expects_keep_alive = h->is_kept && h->minor == 0;
	c->is_watched = false;
	c->is_without_body = is_worth_asking(h) && !g->wants_body(c, h, g->arg);
	if (c->is_without_body) {
		c->is_last = true;
		pass_without_body(c, dst);
	} else if (h->content_length > g->limits.body) {
		refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
	} else if (head_has_body(h)) {
		begin_body(c, dst);
	} else {
		pass_without_body(c, dst);
	}
}

static struct head *begin_head(struct conn *c)
{
	if (c->head)
		return c->head;
	c->is_head_request = false;
	c->head = malloc(sizeof *c->head);
	if (c->head)
		head_init(c->head, (size_t)c->guard->limits.header);
	return c->head;
}

/* Each step returns true when it is worth to go on with what is left. */
static bool step_head(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	struct evbuffer_iovec part;
	enum head_status status;
	size_t used;

	if (evbuffer_peek(src, -1, NULL, &part, 1) < 1)
		return false;
	if (!begin_head(c)) {
		refuse(c, PROBLEM_BUSY, "There is no memory for the request.");
		return true;
	}
	status = head_feed(c->head, slice_of(part.iov_base, part.iov_len), &used);
	evbuffer_drain(src, used);
	if (c->state == CONN_IDLE && head_is_begun(c->head))
		enter(c, CONN_HEAD);
	if (status == HEAD_DONE)
		take_head(c, dst);
	else if (status == HEAD_REFUSED)
		refuse(c, c->head->problem, c->head->why);
	return true;
}

static void move_body(struct conn *c, struct evbuffer *src, struct evbuffer *dst, uint64_t len)
{
	evbuffer_remove_buffer(src, dst, (size_t)len);
	c->body_len += (int64_t)len;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool step_sized_body(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	uint64_t len = least((uint64_t)c->body_left, evbuffer_get_length(src));

	move_body(c, src, dst, len);
	c->body_left -= (int64_t)len;
	if (c->body_left == 0)
		enter(c, CONN_BUSY);
	return false;
}

/* The framing is written anew: evhttp chokes on extensions, and takes trailers for fields of the head. */
static bool begin_chunk(struct conn *c, struct evbuffer *dst)
{
	if (c->chunked.left > (uint64_t)(c->guard->limits.body - c->body_len)) {
		refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
		return true;
	}
	evbuffer_add_printf(dst, "%llx\r\n", (unsigned long long)c->chunked.left);
	return true;
}

static bool step_chunk_data(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	uint64_t len = least(c->chunked.left, evbuffer_get_length(src));

	move_body(c, src, dst, len);
	if (chunked_moved(&c->chunked, len))
		evbuffer_add(dst, "\r\n", 2);
	return evbuffer_get_length(src) > 0;
}

static bool step_chunk_framing(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	struct evbuffer_iovec part;
	enum chunked_status status;
	size_t used;

	if (evbuffer_peek(src, -1, NULL, &part, 1) < 1)
		return false;
	status = chunked_feed(&c->chunked, slice_of(part.iov_base, part.iov_len), &used);
	evbuffer_drain(src, used);
	switch (status) {
	case CHUNKED_MORE: return true;
	case CHUNKED_DATA: return begin_chunk(c, dst);
	case CHUNKED_DONE:
		evbuffer_add(dst, "0\r\n\r\n", 5);
		enter(c, CONN_BUSY);
		return false;
	case CHUNKED_WRONG: refuse(c, PROBLEM_BAD_REQUEST, "The body is not framed in chunks."); return true;
	}
	return false;
}

static bool step_body(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	if (!c->head->is_chunked)
		return step_sized_body(c, src, dst);
	return c->chunked.state == CHUNKED_IN_DATA ? step_chunk_data(c, src, dst)
						   : step_chunk_framing(c, src, dst);
}

static bool step_drop(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	c->lingered += evbuffer_get_length(src);
	evbuffer_drain(src, evbuffer_get_length(src));
	if (c->lingered > LINGER_BYTES)
		event_active(&c->pump, EV_TIMEOUT, 0);
	return false;
}

static bool step_hold(struct conn *c, struct evbuffer *src, struct evbuffer *dst)
{
	return false;
}

static bool (*const steps[])(struct conn *, struct evbuffer *, struct evbuffer *) = {
	[CONN_IDLE] = step_head,
	[CONN_HEAD] = step_head,
	[CONN_BODY] = step_body,
	[CONN_BUSY] = step_hold,
	[CONN_SENDING] = step_hold,
	[CONN_REFUSING] = step_drop,
	[CONN_LINGERING] = step_drop,
	[CONN_CLOSED] = step_drop,
};

static size_t held(const struct conn *c, struct evbuffer *src)
{
	return (c->head ? c->head->text.len : 0) + (size_t)c->body_len + evbuffer_get_length(src);
}

/* What does not fit in the budget: a request is refused; requests that came ahead of their turn are dropped. */
static void charge_or_refuse(struct conn *c, struct evbuffer *src)
{
	switch (c->state) {
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
		if (!charge(c, held(c, src)))
			refuse(c, PROBLEM_BUSY, "The gateway holds as many bytes of requests as it may.");
		return;
	case CONN_BUSY:
	case CONN_SENDING:
		if (charge(c, held(c, src)))
			return;
		evbuffer_drain(src, evbuffer_get_length(src));
		c->is_last = true;
		return;
	case CONN_REFUSING:
	case CONN_LINGERING:
	case CONN_CLOSED: return;
	}
}

static enum bufferevent_filter_result filter_in(struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit,
	enum bufferevent_flush_mode mode, void *arg)
{
	struct conn *c = arg;
	size_t before = evbuffer_get_length(dst);

	while (evbuffer_get_length(src) > 0 && steps[c->state](c, src, dst))
		;
	charge_or_refuse(c, src);
	return evbuffer_get_length(dst) > before ? BEV_OK : BEV_NEED_MORE;
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

	if (info->n_deleted > 0 && evbuffer_get_length(output) == 0 && c->state != CONN_CLOSED)
		event_active(&c->pump, EV_TIMEOUT, 0);
}

static void on_complete(struct evhttp_request *req, void *arg)
{
	struct conn *c = arg;

	guard_give_bytes(c->guard, c->answer_charge);
	c->answer_charge = 0;
	drop_head(c);
	enter(c, CONN_IDLE);
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

void conn_answer(struct conn *c, struct evhttp_request *req, int status, struct evbuffer *body, size_t len)
{
	assert(c->state == CONN_BUSY);
	c->on_gone = NULL;
	c->is_last |= c->guard->on_drained != NULL;
	c->answer_charge = len;
	c->body_len = 0;
	add_connection_field(c, req);
	evhttp_request_set_on_complete_cb(req, on_complete, c);
	evhttp_send_reply(req, status, http_reason(status), body);
	/* A filter does not look at what stood in its output before writing was enabled. */
	bufferevent_flush(c->bev, EV_WRITE, BEV_NORMAL);
	c->unsent = unsent(c);
	enter(c, CONN_SENDING);
}

/* ---- a connection's life ---- */

static void sent(struct conn *c)
{
	if (c->state == CONN_REFUSING || (c->state == CONN_SENDING && c->is_last))
		linger(c);
	else if (c->state == CONN_SENDING)
		bufferevent_trigger(c->bev, EV_WRITE, 0);
}

static void on_slow(struct conn *c)
{
	size_t left = unsent(c);

	if (c->unsent - left < PROGRESS_MIN) {
		metrics_add(c->guard->metrics, GATEWAY_REFUSALS, 1, "slow-reader");
		close_now(c);
		return;
	}
	c->unsent = left;
	arm(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_IDLE:
	case CONN_LINGERING: close_now(c); return;
	case CONN_HEAD: refuse(c, PROBLEM_TIMEOUT, "The head of the request took too long."); return;
	case CONN_BODY: refuse(c, PROBLEM_TIMEOUT, "The body of the request took too long."); return;
	case CONN_SENDING:
	case CONN_REFUSING: on_slow(c); return;
	case CONN_BUSY:
	case CONN_CLOSED: return;
	}
}

static void forget_fd(struct conn *c)
{
	if (c->fd >= 0 && (size_t)c->fd < c->guard->by_fd_len && c->guard->by_fd[c->fd] == c)
		c->guard->by_fd[c->fd] = NULL;
}

/* evhttp lets go, for whatever reason; the memory goes later (conn_free), the descriptor's number may be used again now. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
	struct conn *c = arg;
	void (*on_gone)(void *) = c->on_gone;

	enter(c, CONN_CLOSED);
	event_del(&c->pump);
	forget_fd(c);
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

static int remember_fd(struct conn *c)
{
	struct guard *g = c->guard;
	size_t len = g->by_fd_len ? g->by_fd_len : 64;
	struct conn **grown;

	while ((size_t)c->fd >= len)
		len *= 2;
	if (len > g->by_fd_len) {
		grown = realloc(g->by_fd, len * sizeof *grown);
		if (!grown)
			return -ENOMEM;
		memset(grown + g->by_fd_len, 0, (len - g->by_fd_len) * sizeof *grown);
		g->by_fd = grown;
		g->by_fd_len = len;
	}
	g->by_fd[c->fd] = c;
	return 0;
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
	if (remember_fd(c) < 0)
		close_now(c);
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
	case CONN_LINGERING: return c->lingered > LINGER_BYTES;
	case CONN_SENDING:
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
	if (is_over(c))
		close_now(c);
	else if (unsent(c) == 0)
		sent(c);
}

/* ---- between the socket and the filter ---- */

static void on_socket_read(struct bufferevent *underlying, void *arg)
{
	struct conn *c = arg;

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
	if (!is_eof || !is_answered)
		c->filter.event(underlying, what, c->filter.arg);
}

static void guard_release(struct guard *g)
{
	if (!g->is_freed || g->count > 0)
		return;
	free(g->by_fd);
	free(g);
}

/*
 * The longest idle connection makes room; a client that keeps one must reckon with that at any time, but one that has
 * only just come is left the time to say what it wants.
 */
static void evict_one(struct guard *g)
{
	struct conn *c = TAILQ_FIRST(&g->idle);

	if (!c || !c->evcon || clock_mono_ms() - c->idle_since_ms < EVICT_AGE_MS)
		return;
	metrics_add(g->metrics, GATEWAY_REFUSALS, 1, "idle-evicted");
	close_now(c);
}

static void update_accepting(struct guard *g)
{
	bool is_full = g->count >= (size_t)g->limits.connections;

	if (!g->listener)
		return;
	listener_set_full(g->listener, is_full);
	if (is_full && !event_pending(&g->make_room, EV_TIMEOUT, NULL))
		timer_arm(&g->make_room, EVICT_EVERY_MS);
	else if (!is_full)
		event_del(&g->make_room);
}

static void on_make_room(evutil_socket_t fd, short what, void *arg)
{
	struct guard *g = arg;

	evict_one(g);
	update_accepting(g);
}

static void conn_free(void *arg)
{
	struct conn *c = arg;
	struct guard *g = c->guard;

	if (c->state != CONN_CLOSED)
		enter(c, CONN_CLOSED);
	evbuffer_remove_cb(bufferevent_get_output(c->underlying), on_output, c);
	event_del(&c->pump);
	forget_fd(c);
	drop_head(c);
	charge(c, 0);
	guard_give_bytes(g, c->answer_charge);
	TAILQ_REMOVE(&g->all, c, all);
	g->count--;
	free(c);
	if (g->count == 0 && g->on_drained && !g->is_freed)
		event_active(&g->drained, EV_TIMEOUT, 0);
	if (!g->is_freed)
		update_accepting(g);
	guard_release(g);
}

static int open_buffers(struct conn *c)
{
	c->underlying = bufferevent_socket_new(c->guard->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c->underlying)
		return -ENOMEM;
	bufferevent_setwatermark(c->underlying, EV_READ, 0, READ_MAX);
	c->bev = bufferevent_filter_new(
		c->underlying, filter_in, filter_out, BEV_OPT_CLOSE_ON_FREE, conn_free, c);
	if (!c->bev) {
		bufferevent_free(c->underlying);
		return -ENOMEM;
	}
	bufferevent_getcb(c->underlying, &c->filter.read, &c->filter.write, &c->filter.event, &c->filter.arg);
	bufferevent_setcb(c->underlying, on_socket_read, on_socket_write, on_socket_event, c);
	evbuffer_add_cb(bufferevent_get_output(c->underlying), on_output, c);
	return 0;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct guard *g = arg;
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->guard = g;
	c->fd = -1;
	event_assign(&c->timer, base, -1, 0, on_timer, c);
	event_assign(&c->pump, base, -1, 0, on_pump, c);
	if (open_buffers(c) < 0) {
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&g->all, c, all);
	TAILQ_INSERT_TAIL(&g->idle, c, idle);
	g->count++;
	c->idle_since_ms = clock_mono_ms();
	arm(c);
	event_active(&c->pump, EV_TIMEOUT, 0);
	if (g->count >= (size_t)g->limits.connections)
		evict_one(g);
	update_accepting(g);
	return c->bev;
}

static struct conn *find(struct guard *g, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
	struct conn *c = fd >= 0 && (size_t)fd < g->by_fd_len ? g->by_fd[fd] : NULL;

	return c && c->evcon == evcon ? c : NULL;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct guard *g = arg;
	struct conn *c = find(g, req);

	if (!c) {
		/* Accepted while there was no memory for a guard. */
		evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
		evhttp_send_reply(req, 503, http_reason(503), NULL);
		return;
	}
	/* evhttp stops reading here; without it a client's leaving goes unseen. filter_in holds back what comes. */
	bufferevent_enable(c->bev, EV_READ);
	g->on_request(c, req, g->arg);
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

/* ---- the guard ---- */

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct guard *g = arg;

	if (g->count == 0 && g->on_drained)
		g->on_drained(g->on_drained_arg);
}

static void on_starved(void *arg)
{
	evict_one(arg);
}

/* Leaves descriptors for the broker, the store and the logs. */
static void fit_descriptors(struct guard *g)
{
	enum { RESERVE = 64 };
	struct rlimit files;
	int64_t room;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	if (files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= (rlim_t)(g->limits.connections + RESERVE))
		return;
	room = (int64_t)files.rlim_cur - RESERVE;
	if (room < (int64_t)files.rlim_cur / 2)
		room = (int64_t)files.rlim_cur / 2;
	log_warn("connections_limited", LOG_INT("wanted", g->limits.connections),
		LOG_INT("connections", room), LOG_INT("open_files", (int64_t)files.rlim_cur));
	g->limits.connections = room;
}

static void collect(void *arg)
{
	struct guard *g = arg;

	metrics_set(g->metrics, GATEWAY_CONNECTIONS, (double)g->count);
	metrics_set(g->metrics, GATEWAY_BODIES_BYTES, (double)g->bytes);
}

int guard_new(const struct guard_config *config, struct guard **out)
{
	struct guard *g = calloc(1, sizeof *g);

	if (!g)
		return -ENOMEM;
	g->base = loop_base(config->loop);
	g->metrics = config->metrics;
	g->limits = *config->limits;
	g->on_request = config->on_request;
	g->wants_body = config->wants_body;
	g->arg = config->arg;
	TAILQ_INIT(&g->all);
	TAILQ_INIT(&g->idle);
	event_assign(&g->drained, g->base, -1, 0, on_drained, g);
	event_assign(&g->make_room, g->base, -1, 0, on_make_room, g);
	g->http = evhttp_new(g->base);
	if (!g->http) {
		free(g);
		return -ENOMEM;
	}
	evhttp_set_allowed_methods(g->http, EVHTTP_REQ_POST);
	evhttp_set_default_content_type(g->http, NULL);
	evhttp_set_bevcb(g->http, on_accept, g);
	evhttp_set_gencb(g->http, on_request, g);
	metrics_on_collect(g->metrics, collect, g);
	*out = g;
	return 0;
}

int guard_listen(struct guard *g, const char *address)
{
	int rc = listener_new(g->base, address, on_starved, g, &g->listener);

	if (rc < 0)
		return rc;
	fit_descriptors(g);
	return listener_serve(g->listener, g->http);
}

const char *guard_address(const struct guard *g)
{
	return listener_address(g->listener);
}

void guard_stop(struct guard *g, void (*cb)(void *arg), void *arg)
{
	struct conn *c, *next;

	if (g->listener)
		listener_stop(g->listener);
	g->on_drained = cb;
	g->on_drained_arg = arg;
	for (c = TAILQ_FIRST(&g->idle); c; c = next) {
		next = TAILQ_NEXT(c, idle);
		event_active(&c->pump, EV_TIMEOUT, 0);
	}
	event_active(&g->drained, EV_TIMEOUT, 0);
}

bool guard_is_stopping(const struct guard *g)
{
	return g->on_drained != NULL;
}

void guard_free(struct guard *g)
{
	struct conn *c, *next;

	if (!g)
		return;
	/* By way of evhttp's error callback: only there does it leave a request in work to its holder. */
	for (c = TAILQ_FIRST(&g->all); c; c = next) {
		next = TAILQ_NEXT(c, all);
		close_now(c);
	}
	if (g->listener)
		listener_stop(g->listener);
	evhttp_free(g->http);
	listener_free(g->listener);
	event_del(&g->drained);
	event_del(&g->make_room);
	g->is_freed = true;
	guard_release(g);
}
