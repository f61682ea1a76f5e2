#include "gateway/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <event2/keyvalq_struct.h>

#include "gateway/http.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	EVICT_AGE_MS = 1000, /* a connection this long idle may be closed to make room */
	EVICT_EVERY_MS = 200,
	EVICT_SHARE = 16,	   /* of all connections, at once */
	STREAMS_SHARE = 10,	   /* one in so many connections is kept from them */
	DESCRIPTORS_RESERVED = 64, /* for the broker, the store and the logs */
	BY_FD_FIRST = 64,
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

/* ---- connections by socket ---- */

int guard_remember(struct conn *c)
{
	struct guard *g = c->guard;
	size_t len = g->by_fd_len ? g->by_fd_len : BY_FD_FIRST;
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

void guard_forget(struct conn *c)
{
	if (c->fd >= 0 && (size_t)c->fd < c->guard->by_fd_len && c->guard->by_fd[c->fd] == c)
		c->guard->by_fd[c->fd] = NULL;
}

static struct conn *find(struct guard *g, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
	struct conn *c = fd >= 0 && (size_t)fd < g->by_fd_len ? g->by_fd[fd] : NULL;

	return c && c->evcon == evcon ? c : NULL;
}

/* ---- the cap ---- */

/*
 * The longest idle connections make room; a client that keeps one must reckon with that at any time, but one that has
 * only just come is left the time to say what it wants.
 */
static void evict(struct guard *g, size_t most)
{
	int64_t old_ms = clock_mono_ms() - EVICT_AGE_MS;
	struct conn *c;

	for (; most > 0 && (c = TAILQ_FIRST(&g->idle)) != NULL && c->evcon && c->idle_since_ms <= old_ms;
		most--) {
		metrics_add(g->metrics, GATEWAY_REFUSALS, 1, "idle-evicted");
		conn_close(c);
	}
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

	evict(g, g->count / EVICT_SHARE + 1);
	update_accepting(g);
}

size_t guard_streams_max(const struct guard *g)
{
	size_t all = (size_t)g->limits.connections;

	return all - (all + STREAMS_SHARE - 1) / STREAMS_SHARE;
}

/* ---- connections and requests ---- */

static void guard_release(struct guard *g)
{
	if (!g->is_freed || g->count > 0)
		return;
	free(g->by_fd);
	free(g);
}

void guard_remove(struct conn *c)
{
	struct guard *g = c->guard;

	guard_forget(c);
	TAILQ_REMOVE(&g->all, c, all);
	g->count--;
	if (g->is_freed) {
		guard_release(g);
		return;
	}
	if (g->count == 0 && g->on_drained)
		event_active(&g->drained, EV_TIMEOUT, 0);
	update_accepting(g);
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct guard *g = arg;
	struct conn *c;

	if (conn_new(g, &c) < 0)
		return NULL;
	TAILQ_INSERT_TAIL(&g->all, c, all);
	g->count++;
	update_accepting(g);
	return c->bev;
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

/* ---- the guard ---- */

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
	struct guard *g = arg;

	if (g->count == 0 && g->on_drained)
		g->on_drained(g->on_drained_arg);
}

static void on_starved(void *arg)
{
	evict(arg, 1);
}

static void fit_descriptors(struct guard *g)
{
	struct rlimit files;
	int64_t room;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	if (files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= (rlim_t)(g->limits.connections + DESCRIPTORS_RESERVED))
		return;
	room = (int64_t)files.rlim_cur - DESCRIPTORS_RESERVED;
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

void guard_stop(struct guard *g, void (*on_drained_cb)(void *arg), void *arg)
{
	struct conn *c, *next;

	if (g->listener)
		listener_stop(g->listener);
	g->on_drained = on_drained_cb;
	g->on_drained_arg = arg;
	for (c = TAILQ_FIRST(&g->idle); c; c = next) {
		next = TAILQ_NEXT(c, idle);
		event_active(&c->pump, EV_TIMEOUT, 0);
	}
	TAILQ_FOREACH(c, &g->all, all)
	if (c->state == CONN_STREAM)
		conn_stream_stop(c);
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
		conn_close(c);
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
