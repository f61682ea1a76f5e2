#include "gateway/ws_socket.h"

#include <errno.h>
#include <stdlib.h>

#include <event2/event_struct.h>

#include "gateway/metrics.h"
#include "runtime/clock.h"

enum { CLOSE_MS = 3000 }; /* for the client's answer to a close frame */

struct ws_socket {
	struct ws_context *context;
	struct stream *stream;
	struct websocket *websocket;
	const struct ws_events *events;
	void *arg;
	struct event timer;
	int64_t ping_at_ms;    /* monotonic */
	int64_t rest_until_ms; /* 0: it does not rest */
	uint64_t heard;	       /* at the last ping */
	bool is_closing;
	bool is_held_back; /* input waits until the output is gone */
};

/* ---- the end ---- */

/* What the last action made of the protocol's state. */
static void settle(struct ws_socket *s)
{
	switch (websocket_state(s->websocket)) {
	case WEBSOCKET_OPEN: break;
	case WEBSOCKET_CLOSING:
		if (!s->is_closing)
			timer_arm(&s->timer, CLOSE_MS);
		s->is_closing = true;
		break;
	case WEBSOCKET_CLOSED: stream_end(s->stream); break;
	case WEBSOCKET_BROKEN: stream_cut(s->stream); break;
	}
}

void ws_socket_close(struct ws_socket *s, enum websocket_code code, const char *reason)
{
	websocket_close(s->websocket, code, reason);
	settle(s);
}

static void free_socket(struct ws_socket *s)
{
	event_del(&s->timer);
	websocket_free(s->websocket);
	free(s);
}

/* ---- time ---- */

static void arm(struct ws_socket *s, int64_t now_ms)
{
	int64_t at_ms = s->ping_at_ms;

	if (s->rest_until_ms && s->rest_until_ms < at_ms)
		at_ms = s->rest_until_ms;
	timer_arm(&s->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

/* While bytes wait for the client a pong may wait behind what it reads: then the write timeout is what judges it. */
static bool is_dead(const struct ws_socket *s)
{
	return websocket_heard(s->websocket) == s->heard && stream_unsent(s->stream) == 0;
}

static void tick(struct ws_socket *s, int64_t now_ms)
{
	if (s->rest_until_ms && now_ms >= s->rest_until_ms) {
		ws_socket_close(s, WEBSOCKET_NORMAL, "nothing is followed here");
		return;
	}
	if (now_ms >= s->ping_at_ms) {
		if (is_dead(s)) {
			ws_socket_close(s, WEBSOCKET_POLICY, "no pong came");
			return;
		}
		s->heard = websocket_heard(s->websocket);
		s->ping_at_ms = now_ms + s->context->options->ping_ms;
		websocket_ping(s->websocket);
		settle(s);
	}
	arm(s, now_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ws_socket *s = arg;

	if (websocket_state(s->websocket) == WEBSOCKET_OPEN)
		tick(s, clock_mono_ms());
	else
		stream_cut(s->stream);
}

/* Those that came together, after a restart say, are not asked together for ever after. */
static void start_pings(struct ws_socket *s)
{
	int64_t now_ms = clock_mono_ms();
	int64_t ping_ms = s->context->options->ping_ms;

	s->heard = UINT64_MAX; /* the first ping asks for nothing */
	s->ping_at_ms = now_ms + ping_ms / 2 + (int64_t)(random_u32() % (uint64_t)(ping_ms / 2 + 1));
	arm(s, now_ms);
}

void ws_socket_rest(struct ws_socket *s, bool is_resting)
{
	int64_t now_ms = clock_mono_ms();

	s->rest_until_ms = is_resting ? now_ms + s->context->options->idle_timeout_ms : 0;
	if (websocket_state(s->websocket) == WEBSOCKET_OPEN)
		arm(s, now_ms);
}

/* ---- the stream ---- */

static void on_input(struct evbuffer *input, void *arg)
{
	struct ws_socket *s = arg;

	s->is_held_back = stream_unsent(s->stream) > (size_t)s->context->options->backlog;
	if (s->is_held_back)
		return;
	websocket_feed(s->websocket, input);
	if (!stream_hold(s->stream, websocket_held(s->websocket)))
		websocket_close(s->websocket, WEBSOCKET_TRY_LATER, "the gateway holds as much as it may");
	settle(s);
}

static void on_drained(void *arg)
{
	struct ws_socket *s = arg;

	if (s->is_held_back)
		stream_wake(s->stream);
}

static void on_stop(void *arg)
{
	ws_socket_close(arg, WEBSOCKET_GOING_AWAY, "the gateway is going");
}

static void on_gone(void *arg)
{
	struct ws_socket *s = arg;
	const struct ws_events *events = s->events;
	void *events_arg = s->arg;

	s->context->count--;
	free_socket(s);
	events->on_gone(events_arg);
}

static const struct stream_events stream_events = {on_input, on_drained, on_stop, on_gone};

/* ---- the protocol ---- */

static int on_write(struct slice bytes, void *arg)
{
	struct ws_socket *s = arg;

	return stream_write(s->stream, bytes);
}

static void on_text(struct slice text, void *arg)
{
	struct ws_socket *s = arg;

	s->events->on_text(text, s->arg);
}

static const struct websocket_handlers talking = {on_write, on_text};
static const struct websocket_handlers listening = {on_write, NULL};

void ws_socket_send(struct ws_socket *s, struct slice text)
{
	if (websocket_state(s->websocket) != WEBSOCKET_OPEN)
		return;
	if (stream_unsent(s->stream) > (size_t)s->context->options->backlog) {
		metrics_add(s->context->metrics, GATEWAY_REFUSALS, 1, "slow-reader");
		ws_socket_close(s, WEBSOCKET_POLICY, "messages are not read as fast as they come");
		return;
	}
	if (websocket_send(s->websocket, text) == -ENOMEM)
		websocket_close(s->websocket, WEBSOCKET_INTERNAL, "out of memory");
	settle(s);
}

/* ---- opening ---- */

static int new_socket(
	struct ws_context *context, const struct ws_events *events, void *arg, struct ws_socket **out)
{
	struct ws_socket *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return -ENOMEM;
	s->context = context;
	s->events = events;
	s->arg = arg;
	rc = websocket_new(
		(size_t)context->options->message, events->on_text ? &talking : &listening, s, &s->websocket);
	if (rc < 0) {
		free(s);
		return rc;
	}
	event_assign(&s->timer, loop_base(context->loop), -1, 0, on_timer, s);
	*out = s;
	return 0;
}

static void set_headers(struct call *call, const struct handshake *h)
{
	call_set_header(call, "Upgrade", "websocket");
	call_set_header(call, "Connection", "Upgrade");
	call_set_header(call, "Sec-WebSocket-Accept", h->accept);
	if (h->has_protocol)
		call_set_header(call, "Sec-WebSocket-Protocol", HANDSHAKE_PROTOCOL);
}

int ws_socket_open(struct ws_context *context, struct call *call, const struct handshake *handshake,
	const struct ws_events *events, void *arg, struct ws_socket **out)
{
	struct ws_socket *s;
	int rc = new_socket(context, events, arg, &s);

	if (rc < 0) {
		call_problem(call, PROBLEM_BUSY, NULL, "There is no memory for another connection.");
		return rc;
	}
	set_headers(call, handshake);
	rc = call_stream(call, 101, &stream_events, s, &s->stream);
	if (rc < 0) {
		free_socket(s);
		return rc;
	}
	context->count++;
	start_pings(s);
	*out = s;
	return 0;
}
