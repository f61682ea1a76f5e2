#include <stdlib.h>

#include "gateway/conn_internal.h"

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
	conn_enter(c, CONN_BUSY);
}

static bool is_worth_asking(const struct head *h)
{
	return h->is_chunked || h->expects_continue || h->content_length > GUARD_EARLY_BYTES;
}

static void begin_body(struct conn *c, struct evbuffer *dst)
{
	pass_head(c->head, dst);
	conn_enter(c, CONN_BODY);
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
		conn_refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
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
		conn_refuse(c, PROBLEM_BUSY, "There is no memory for the request.");
		return true;
	}
	status = head_feed(c->head, slice_of(part.iov_base, part.iov_len), &used);
	evbuffer_drain(src, used);
	if (c->state == CONN_IDLE && head_is_begun(c->head))
		conn_enter(c, CONN_HEAD);
	if (status == HEAD_DONE)
		take_head(c, dst);
	else if (status == HEAD_REFUSED)
		conn_refuse(c, c->head->problem, c->head->why);
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
		conn_enter(c, CONN_BUSY);
	return false;
}

/* The framing is written anew: evhttp chokes on extensions, and takes trailers for fields of the head. */
static bool begin_chunk(struct conn *c, struct evbuffer *dst)
{
	if (c->chunked.left > (uint64_t)(c->guard->limits.body - c->body_len)) {
		conn_refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
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
		conn_enter(c, CONN_BUSY);
		return false;
	case CHUNKED_WRONG:
		conn_refuse(c, PROBLEM_BAD_REQUEST, "The body is not framed in chunks.");
		return true;
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
	if (c->lingered > CONN_LINGER_BYTES)
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
	[CONN_STREAM] = step_hold,
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
		if (!conn_charge(c, held(c, src)))
			conn_refuse(
				c, PROBLEM_BUSY, "The gateway holds as many bytes of requests as it may.");
		return;
	case CONN_BUSY:
	case CONN_SENDING:
		if (conn_charge(c, held(c, src)))
			return;
		evbuffer_drain(src, evbuffer_get_length(src));
		c->is_last = true;
		return;
	case CONN_STREAM:
	case CONN_REFUSING:
	case CONN_LINGERING:
	case CONN_CLOSED: return;
	}
}

enum bufferevent_filter_result conn_filter_in(struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit,
	enum bufferevent_flush_mode mode, void *arg)
{
	struct conn *c = arg;
	size_t before = evbuffer_get_length(dst);

	while (evbuffer_get_length(src) > 0 && steps[c->state](c, src, dst))
		;
	charge_or_refuse(c, src);
	return evbuffer_get_length(dst) > before ? BEV_OK : BEV_NEED_MORE;
}
