#include "gateway/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/conn_internal.h"

enum {
	KERNEL_UNSENT =
		16 * 1024, /* bytes not on their way that the kernel takes of us: the rest is ours to bound */
	PROGRESS_MIN = 64 * 1024, /* bytes that a reader must take in one write_timeout, if it leaves any */
};

static size_t waiting(const struct conn *c)
{
	return c->bev ? evbuffer_get_length(bufferevent_get_output(c->bev)) : 0;
}

static void on_conn_gone(void *arg)
{
	struct stream *s = arg;
	struct conn *c = s->conn;

	c->stream = NULL;
	c->guard->streams--;
	share_give(s->share, SHARE_STREAMS);
	stream_hold(s, 0);
	s->events->on_gone(s->arg);
	free(s);
}

static void take_over(struct conn *c)
{
	unsigned silent_max = (unsigned)c->guard->limits.write_timeout_ms;
	int unsent_max = KERNEL_UNSENT;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
	/* A peer that is gone without a word shows by what it does not acknowledge; the kernel alone would wait for long. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_max, sizeof silent_max);
	conn_enter(c, CONN_STREAM);
}

int conn_stream(struct conn *c, struct slice head, struct share *share, const struct stream_events *events,
	void *arg, struct stream **out)
{
	struct stream *s;

	if (c->guard->streams >= guard_streams_max(c->guard))
		return -EAGAIN;
	if (!share_take(share, SHARE_STREAMS))
		return -EDQUOT;
	s = calloc(1, sizeof *s);
	if (!s) {
		share_give(share, SHARE_STREAMS);
		return -ENOMEM;
	}
	*s = (struct stream){.conn = c, .share = share, .events = events, .arg = arg};
	c->stream = s;
	c->guard->streams++;
	conn_on_gone(c, on_conn_gone, s);
	take_over(c);
	*out = s;
	if (stream_write(s, head) < 0)
		stream_cut(s);
	/* What has come early. */
	stream_wake(s);
	return 0;
}

/* ---- what comes in ---- */

void conn_stream_input(struct conn *c)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	struct stream *s = c->stream;

	if (s->is_ending || !s->events->on_input)
		evbuffer_drain(input, evbuffer_get_length(input));
	else if (evbuffer_get_length(input) > 0 || s->is_woken)
		s->events->on_input(input, s->arg);
	s->is_woken = false;
	if (!conn_charge(c, evbuffer_get_length(input)))
		stream_cut(s);
}

bool stream_hold(struct stream *s, size_t bytes)
{
	struct guard *g = s->conn->guard;

	if (bytes > s->held && !guard_take_bytes(g, bytes - s->held))
		return false;
	if (bytes < s->held)
		guard_give_bytes(g, s->held - bytes);
	s->held = bytes;
	return true;
}

void stream_wake(struct stream *s)
{
	s->is_woken = true;
	event_active(&s->conn->pump, EV_TIMEOUT, 0);
}

/* ---- what goes out ---- */

int stream_write(struct stream *s, struct slice bytes)
{
	struct conn *c = s->conn;

	if (s->is_ending)
		return 0;
	if (!guard_take_bytes(c->guard, bytes.len))
		return -ENOBUFS;
	c->answer_charge += bytes.len;
	if (conn_write(c, bytes) < 0) {
		c->answer_charge -= bytes.len;
		guard_give_bytes(c->guard, bytes.len);
		return -ENOMEM;
	}
	if (waiting(c) > 0 && !conn_is_limited(c)) {
		s->taken = 0;
		conn_limit(c, c->guard->limits.write_timeout_ms);
	}
	return 0;
}

size_t stream_unsent(const struct stream *s)
{
	return waiting(s->conn);
}

void conn_stream_output(struct conn *c, size_t taken)
{
	/* Of what was written before it was a stream nothing was charged. */
	size_t charged = taken < c->answer_charge ? taken : c->answer_charge;

	c->stream->taken += taken;
	c->answer_charge -= charged;
	guard_give_bytes(c->guard, charged);
	if (waiting(c) == 0)
		conn_limit(c, 0);
}

void conn_stream_slow(struct conn *c)
{
	if (c->stream->taken < PROGRESS_MIN) {
		metrics_add(c->guard->metrics, GATEWAY_REFUSALS, 1, "slow-reader");
		conn_close(c);
		return;
	}
	c->stream->taken = 0;
	conn_limit(c, c->guard->limits.write_timeout_ms);
}

void conn_stream_pump(struct conn *c)
{
	struct stream *s = c->stream;
	bool is_drained = waiting(c) == 0;

	if (s->is_cut || (c->has_eof && (is_drained || !s->is_ending))) {
		conn_close(c);
	} else if (s->is_ending) {
		if (is_drained)
			conn_linger(c);
	} else {
		if (s->is_woken)
			conn_stream_input(c);
		if (is_drained && s->events->on_drained)
			s->events->on_drained(s->arg);
	}
}

/* ---- the end ---- */

void conn_stream_stop(struct conn *c)
{
	if (!c->stream->is_ending)
		c->stream->events->on_stop(c->stream->arg);
}

void stream_end(struct stream *s)
{
	s->is_ending = true;
	event_active(&s->conn->pump, EV_TIMEOUT, 0);
}

void stream_cut(struct stream *s)
{
	s->is_cut = true;
	stream_end(s);
}
