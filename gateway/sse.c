#include <sys/queue.h>

#include "gateway/sse.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/metrics.h"
#include "runtime/clock.h"

enum { LAG_MAX_MS = 1000, BACKLOGS_MAX = 16 };
#define EVENT_MAX ((size_t)300 << 20)

/* The first words: so long a client waits before it connects again. */
static const char preamble[] = "retry: 2000\n\n";
static const char heartbeat[] = ":\n\n";

struct sse {
	TAILQ_ENTRY(sse) link;
	struct sse_group *group;
	struct stream *stream;
	int64_t beat_ms;  /* when it has been silent for long enough */
	int64_t since_ms; /* when all that had been written before was with the kernel */
	void (*on_gone)(void *arg);
	void *arg;
};

struct sse_group {
	struct event *timer;
	struct metrics *metrics;
	const struct gateway_live *options;
	TAILQ_HEAD(sse_list, sse) list; /* by beat_ms */
	size_t len;
};

/* ---- the format ---- */

static size_t line_len(struct slice text)
{
	size_t len = 0;

	while (len < text.len && text.data[len] != '\n' && text.data[len] != '\r')
		len++;
	return len;
}

/* "\r\n", "\n" and "\r" all end a line for whoever reads it. */
static size_t line_end_len(struct slice rest)
{
	if (rest.len == 0)
		return 0;
	return rest.len > 1 && rest.data[0] == '\r' && rest.data[1] == '\n' ? 2 : 1;
}

static struct slice after(struct slice s, size_t len)
{
	return slice_of(s.data + len, s.len - len);
}

int sse_render(const char *id, const char *event, struct slice data, struct buf *out)
{
	if (id)
		buf_printf(out, "id: %s\n", id);
	buf_printf(out, "event: %s\n", event);
	do {
		size_t len = line_len(data);

		buf_append_text(out, "data: ");
		buf_append(out, data.data, len);
		buf_append_byte(out, '\n');
		data = after(data, len);
		data = after(data, line_end_len(data));
	} while (data.len > 0);
	return buf_append_byte(out, '\n');
}

/* ---- sending ---- */

static int64_t beat_after_ms(const struct sse_group *g)
{
	return g->options->ping_ms / 2;
}

static void beat_later(struct sse *s)
{
	struct sse_group *g = s->group;

	s->beat_ms = clock_mono_ms() + beat_after_ms(g);
	TAILQ_REMOVE(&g->list, s, link);
	TAILQ_INSERT_TAIL(&g->list, s, link);
}

static void cut(struct sse *s)
{
	metrics_add(s->group->metrics, GATEWAY_REFUSALS, 1, "slow-reader");
	stream_cut(s->stream);
}

/* Much can come at once, more than the socket takes in one go: only what stays is a client's fault. */
static bool is_lagging(const struct sse *s, int64_t now_ms)
{
	size_t unsent = stream_unsent(s->stream);
	size_t backlog = (size_t)s->group->options->backlog;

	return unsent > BACKLOGS_MAX * backlog || (unsent > backlog && now_ms - s->since_ms > LAG_MAX_MS);
}

static void write_bytes(struct sse *s, struct slice bytes)
{
	int64_t now_ms = clock_mono_ms();

	if (stream_unsent(s->stream) == 0)
		s->since_ms = now_ms;
	if (is_lagging(s, now_ms) || stream_write(s->stream, bytes) < 0)
		cut(s);
	beat_later(s);
}

void sse_send(struct sse *s, const char *id, const char *event, struct slice data)
{
	struct buf text;

	buf_init(&text, EVENT_MAX);
	if (sse_render(id, event, data, &text) == 0)
		write_bytes(s, buf_slice(&text));
	else
		cut(s);
	buf_done(&text);
}

void sse_end(struct sse *s)
{
	stream_end(s->stream);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sse_group *g = arg;
	int64_t now_ms = clock_mono_ms();
	struct sse *s;

	while ((s = TAILQ_FIRST(&g->list)) && s->beat_ms <= now_ms)
		write_bytes(s, slice_text(heartbeat));
	if (s)
		timer_arm(g->timer, s->beat_ms - now_ms);
}

/* ---- streams ---- */

static void on_stop(void *arg)
{
	struct sse *s = arg;

	stream_end(s->stream);
}

static void on_gone(void *arg)
{
	struct sse *s = arg;

	TAILQ_REMOVE(&s->group->list, s, link);
	s->group->len--;
	s->on_gone(s->arg);
	free(s);
}

static const struct stream_events events = {.on_stop = on_stop, .on_gone = on_gone};

/* So that nothing between here and the client keeps events back. */
static void set_headers(struct call *call)
{
	call_set_header(call, "Content-Type", "text/event-stream");
	call_set_header(call, "Cache-Control", "no-cache, no-transform");
	call_set_header(call, "X-Accel-Buffering", "no");
	call_set_header(call, "Connection", "close");
}

int sse_start(struct sse_group *g, struct call *call, void (*gone)(void *arg), void *arg, struct sse **out)
{
	struct sse *s = calloc(1, sizeof *s);
	int rc;

	if (!s) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return -ENOMEM;
	}
	*s = (struct sse){.group = g, .on_gone = gone, .arg = arg};
	set_headers(call);
	rc = call_stream(call, 200, &events, s, &s->stream);
	if (rc < 0) {
		free(s);
		return rc;
	}
	if (g->len++ == 0)
		timer_arm(g->timer, beat_after_ms(g));
	TAILQ_INSERT_TAIL(&g->list, s, link);
	write_bytes(s, slice_text(preamble));
	*out = s;
	return 0;
}

/* ---- life ---- */

size_t sse_group_count(const struct sse_group *g)
{
	return g->len;
}

int sse_group_new(struct loop *loop, struct metrics *metrics, const struct gateway_live *options,
	struct sse_group **out)
{
	struct sse_group *g = calloc(1, sizeof *g);

	if (!g)
		return -ENOMEM;
	TAILQ_INIT(&g->list);
	g->metrics = metrics;
	g->options = options;
	g->timer = loop_timer(loop, on_timer, g);
	if (!g->timer) {
		free(g);
		return -ENOMEM;
	}
	*out = g;
	return 0;
}

void sse_group_free(struct sse_group *g)
{
	if (!g)
		return;
	event_free(g->timer);
	free(g);
}
