#include <stdlib.h>

#include "gateway/conn_internal.h"

/* The request has come as far as it is wanted. */
static void complete(struct conn *c)
{
	c->is_whole = true;
	conn_enter(c, CONN_BUSY);
}

/* `here`: bytes behind the head. */
static bool is_worth_asking(const struct head *h, size_t here)
{
	return h->is_chunked || h->expects_continue || h->content_length > (int64_t)here;
}

static bool begin_body(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->body = evbuffer_new();
	if (!c->body)
		return false;
	conn_enter(c, CONN_BODY);
	c->body_left = c->head->content_length;
	chunked_init(&c->chunked);
	return !c->head->expects_continue || conn_write(c, slice_text(go_on)) == 0;
}

static void take_head(struct conn *c, struct evbuffer *src)
{
	struct guard *g = c->guard;
	struct head *h = c->head;

	c->is_head_request = h->method == CALL_HEAD;
	c->is_last = !h->is_kept || g->on_drained;
	c->expects_keep_alive = h->is_kept && h->minor == 0;
	c->is_watched = false;
	c->is_without_body = is_worth_asking(h, evbuffer_get_length(src)) && !g->wants_body(c, h, g->arg);
	if (c->is_without_body) {
		c->is_last = true;
		complete(c);
	} else if (h->content_length > g->limits.body) {
		conn_refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
	} else if (!head_has_body(h)) {
		complete(c);
	} else if (!begin_body(c)) {
		conn_refuse(c, PROBLEM_BUSY, "There is no memory for the body.");
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
static bool step_head(struct conn *c, struct evbuffer *src)
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
		take_head(c, src);
	else if (status == HEAD_REFUSED)
		conn_refuse(c, c->head->problem, c->head->why);
	return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of at most `most` bytes as many as are there. False: there was no memory, and what came is no request any more. */
static bool move_body(struct conn *c, struct evbuffer *src, uint64_t most, size_t *moved)
{
	size_t before = evbuffer_get_length(c->body);

	*moved = (size_t)least(most, evbuffer_get_length(src));
	evbuffer_remove_buffer(src, c->body, *moved);
	/* libevent does not tell when it could not copy the last of it. */
	if (evbuffer_get_length(c->body) - before == *moved)
		return true;
	conn_refuse(c, PROBLEM_BUSY, "There is no memory for the body.");
	return false;
}

static bool step_sized_body(struct conn *c, struct evbuffer *src)
{
	size_t moved;

	if (!move_body(c, src, (uint64_t)c->body_left, &moved))
		return true;
	c->body_left -= (int64_t)moved;
	if (c->body_left == 0)
		complete(c);
	return false;
}

static bool begin_chunk(struct conn *c)
{
	size_t room = (size_t)c->guard->limits.body - evbuffer_get_length(c->body);

	if (c->chunked.left > room)
		conn_refuse(c, PROBLEM_TOO_LARGE, "The body is larger than gateway.limits.body.");
	return true;
}

static bool step_chunk_data(struct conn *c, struct evbuffer *src)
{
	size_t moved;

	if (!move_body(c, src, c->chunked.left, &moved))
		return true;
	chunked_moved(&c->chunked, moved);
	return evbuffer_get_length(src) > 0;
}

static bool step_chunk_framing(struct conn *c, struct evbuffer *src)
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
	case CHUNKED_DATA: return begin_chunk(c);
	case CHUNKED_DONE: complete(c); return false;
	case CHUNKED_WRONG:
		conn_refuse(c, PROBLEM_BAD_REQUEST, "The body is not framed in chunks.");
		return true;
	}
	return false;
}

static bool step_body(struct conn *c, struct evbuffer *src)
{
	if (!c->head->is_chunked)
		return step_sized_body(c, src);
	return c->chunked.state == CHUNKED_IN_DATA ? step_chunk_data(c, src) : step_chunk_framing(c, src);
}

static bool step_drop(struct conn *c, struct evbuffer *src)
{
	c->lingered += evbuffer_get_length(src);
	evbuffer_drain(src, evbuffer_get_length(src));
	if (c->lingered > CONN_LINGER_BYTES)
		event_active(&c->pump, EV_TIMEOUT, 0);
	return false;
}

static bool step_hold(struct conn *c, struct evbuffer *src)
{
	return false;
}

static bool (*const steps[])(struct conn *, struct evbuffer *) = {
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
	return (c->head ? c->head->text.len : 0) + (c->body ? evbuffer_get_length(c->body) : 0) +
	       evbuffer_get_length(src);
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
		if (!conn_charge(c, held(c, src))) {
			evbuffer_drain(src, evbuffer_get_length(src));
			c->is_last = true;
		}
		conn_look_out(c);
		return;
	case CONN_STREAM:
	case CONN_REFUSING:
	case CONN_LINGERING:
	case CONN_CLOSED: return;
	}
}

void conn_input(struct conn *c)
{
	struct evbuffer *src = bufferevent_get_input(c->bev);

	while (c->bev && evbuffer_get_length(src) > 0 && steps[c->state](c, src))
		;
	if (c->bev)
		charge_or_refuse(c, src);
	if (!c->is_whole)
		return;
	c->is_whole = false;
	if (c->state == CONN_BUSY)
		c->guard->on_request(c, c->guard->arg);
}
