/*
 * Server-sent events: an answer that goes on, in the format of the HTML standard, kept awake by comments after half of
 * live.ping in silence. Knows no tasks. A client that does not read is cut: when it has left more than live.backlog unread
 * for a second, or sixteen times that at all, or by the guard past write_timeout (stream.h).
 */
#ifndef GATEWAY_SSE_H
#define GATEWAY_SSE_H

#include "gateway/call.h"
#include "gateway/options.h"
#include "runtime/metrics.h"

struct sse_group; /* all of a gateway's */
struct sse;

/* Borrows: all. */
int sse_group_new(struct loop *loop, struct metrics *metrics, const struct gateway_live *options,
	struct sse_group **out);
/* After all of them have gone. */
void sse_group_free(struct sse_group *g);
size_t sse_group_count(const struct sse_group *g);

/*
 * Answers the call with the head of a stream. `on_gone` is called once when the connection has gone, whoever ended it:
 * the handle is then no more. 0; or a negative errno when there is no stream, and the call has been answered.
 */
int sse_start(
	struct sse_group *g, struct call *call, void (*on_gone)(void *arg), void *arg, struct sse **out);
/* One event. `id`, `event`: words without a line end. Lines in `data` become lines of the event. */
void sse_send(struct sse *s, const char *id, const char *event, struct slice data);
/* After what was sent. */
void sse_end(struct sse *s);

/* Appends an event as it goes over the wire. Pure. 0 or the buffer's error. */
int sse_render(const char *id, const char *event, struct slice data, struct buf *out);

#endif
