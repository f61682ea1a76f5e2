#include "gateway/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "gateway/http.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	EVICT_AGE_MS = 1000, /* a connection this long idle may be closed to make room */
	EVICT_EVERY_MS = 200,
	EVICT_SHARE = 16,	   /* of all connections, at once */
	CROWD_MIN = 256,	   /* connections whose memory is worth giving back when most have left */
	STREAMS_SHARE = 10,	   /* one in so many connections is kept from them */
	DESCRIPTORS_RESERVED = 64, /* for the broker, the store and the logs */
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

/* ---- the cap ---- */

/*
 * The longest idle connections make room; a client that keeps one must reckon with that at any time, but one that has
 * only just come is left the time to say what it wants.
 */
static void evict(struct guard *g, size_t most)
{
	int64_t old_ms = clock_mono_ms() - EVICT_AGE_MS;
	struct conn *c;

	for (; most > 0 && (c = TAILQ_FIRST(&g->idle)) != NULL && c->idle_since_ms <= old_ms; most--) {
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

/* ---- connections ---- */

/* The C library keeps what thousands of connections took, as what is still in use lies scattered between. */
static void give_memory_back(struct guard *g)
{
	if (g->crowd < CROWD_MIN || g->count > g->crowd / 4)
		return;
	g->crowd = g->count;
	malloc_trim(0);
}

void guard_remove(struct conn *c)
{
	struct guard *g = c->guard;

	TAILQ_REMOVE(&g->all, c, all);
	g->count--;
	give_memory_back(g);
	if (g->count == 0 && g->on_drained)
		event_active(&g->drained, EV_TIMEOUT, 0);
	update_accepting(g);
}

static void on_accept(int fd, const struct sockaddr *peer, void *arg)
{
	struct guard *g = arg;
	struct conn *c;

	if (conn_new(g, fd, peer, &c) < 0)
		return;
	TAILQ_INSERT_TAIL(&g->all, c, all);
	g->count++;
	g->crowd = g->count > g->crowd ? g->count : g->crowd;
	update_accepting(g);
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
	listener_accept(g->listener, on_accept, g);
	return 0;
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
	TAILQ_FOREACH (c, &g->all, all)
		if (c->state == CONN_STREAM)
			conn_stream_stop(c);
	event_active(&g->drained, EV_TIMEOUT, 0);
}

bool guard_is_stopping(const struct guard *g)
{
	return g->on_drained != NULL;
}

const char *guard_date(struct guard *g)
{
	int64_t now_s = clock_wall_ms() / 1000;

	if (g->date_s != now_s)
		http_date(g->date);
	g->date_s = now_s;
	return g->date;
}

void guard_free(struct guard *g)
{
	struct conn *c, *next;

	if (!g)
		return;
	if (g->listener)
		listener_stop(g->listener);
	for (c = TAILQ_FIRST(&g->all); c; c = next) {
		next = TAILQ_NEXT(c, all);
		conn_close(c);
		conn_free(c);
	}
	listener_free(g->listener);
	event_del(&g->drained);
	event_del(&g->make_room);
	free(g);
}
