/* Consuming: a channel for each consumer, what it brings, and what is settled. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/backoff.h"
#include "runtime/broker_internal.h"
#include "runtime/broker_refusal.h"
#include "runtime/clock.h"

enum { GATE_MS = 10000 };

/* ---- telling the loop ---- */

static void tell(struct broker_consumer *c, bool is_consuming, const char *why)
{
	struct link *l = c->link;
	bool is_told = c->is_told_consuming != is_consuming || strcmp(c->why, why) != 0;
	struct consuming_notice *n = calloc(1, sizeof *n);

	if (!n) {
		link_lose(l, "out of memory");
		return;
	}
	n->parcel.kind = PARCEL_CONSUMING;
	n->consumer = c;
	n->is_told = is_told;
	n->is_consuming = is_consuming;
	n->incarnation = c->incarnation;
	if (is_consuming)
		link_name(l, c->queue, n->queue);
	snprintf(n->why, sizeof n->why, "%s", why);
	c->is_told_consuming = is_consuming;
	memcpy(c->why, n->why, sizeof c->why);
	link_send_home(l, &n->parcel);
}

static void log_lost(const struct broker_consumer *c, const char *why)
{
	if (c->is_told_consuming || strcmp(c->why, why) != 0)
		log_warn("broker_consumer_lost", LOG_TEXT("connection", c->link->name),
			LOG_TEXT("queue", c->queue), LOG_TEXT("why", why));
}

/* ---- unsettled deliveries, in the order of their tags ---- */

static void unsettled_add(struct broker_consumer *c, struct delivery *v)
{
	v->prev = c->last;
	v->next = NULL;
	if (c->last)
		c->last->next = v;
	else
		c->first = v;
	c->last = v;
}

static void unsettled_remove(struct broker_consumer *c, struct delivery *v)
{
	if (v->prev)
		v->prev->next = v->next;
	else
		c->first = v->next;
	if (v->next)
		v->next->prev = v->prev;
	else
		c->last = v->prev;
}

/* Acks not sent yet are void when the channel is gone; the deliveries themselves are with the loop. */
static void forget_unsettled(struct broker_consumer *c)
{
	for (struct delivery *v = c->acked, *next; v; v = next) {
		next = v->acked_next;
		free(v);
	}
	c->acked = c->first = c->last = NULL;
	c->has_dropped = false;
}

/* ---- settling ---- */

static void send_reject(struct link *l, const struct broker_consumer *c, uint64_t tag, bool requeue)
{
	link_send(l, c->channel, AMQP_BASIC_REJECT_METHOD,
		&(amqp_basic_reject_t){.delivery_tag = tag, .requeue = requeue});
}

static void send_ack(struct link *l, const struct broker_consumer *c, uint64_t tag, bool multiple)
{
	link_send(l, c->channel, AMQP_BASIC_ACK_METHOD,
		&(amqp_basic_ack_t){.delivery_tag = tag, .multiple = multiple});
}

static void ack_later(struct link *l, struct broker_consumer *c, struct delivery *v)
{
	v->is_acked = true;
	v->acked_next = c->acked;
	c->acked = v;
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	c->dirty_next = l->dirty;
	l->dirty = c;
}

void link_consume_settle(struct link *l, struct delivery *v)
{
	struct broker_consumer *c = v->public.consumer;

	if (v->incarnation != c->incarnation || l->is_lost) {
		/* Of a channel that is gone: RabbitMQ has it back already. While it is still open the list holds it. */
		if (v->incarnation == c->incarnation)
			unsettled_remove(c, v);
		free(v);
		return;
	}
	switch (v->settlement) {
	case SETTLE_ACK: ack_later(l, c, v); return;
	case SETTLE_REJECT: send_reject(l, c, v->tag, false); break;
	case SETTLE_REQUEUE: send_reject(l, c, v->tag, true); break;
	case SETTLE_DROP: c->has_dropped = true; break;
	}
	unsettled_remove(c, v);
	free(v);
}

/* One `multiple` ack for those with nothing unsettled before them. */
static void ack_run(struct link *l, struct broker_consumer *c)
{
	uint64_t tag = 0;
	size_t len = 0;

	for (struct delivery *v; (v = c->first) && v->is_acked; len++) {
		tag = v->tag;
		v->is_covered = true;
		unsettled_remove(c, v);
	}
	if (len > 0)
		send_ack(l, c, tag, len > 1);
}

/* The chain has the latest first; turned round, RabbitMQ sees the tags about as they were settled. */
static struct delivery *take_acked(struct broker_consumer *c)
{
	struct delivery *turned = NULL;

	for (struct delivery *v = c->acked, *next; v; v = next) {
		next = v->acked_next;
		v->acked_next = turned;
		turned = v;
	}
	c->acked = NULL;
	return turned;
}

static void flush(struct link *l, struct broker_consumer *c)
{
	if (!c->has_dropped && c->acked)
		ack_run(l, c);
	for (struct delivery *v = take_acked(c), *next; v; v = next) {
		next = v->acked_next;
		if (!v->is_covered) {
			unsettled_remove(c, v);
			send_ack(l, c, v->tag, false);
		}
		free(v);
	}
}

void link_consume_flush(struct link *l)
{
	while (l->dirty) {
		struct broker_consumer *c = l->dirty;

		l->dirty = c->dirty_next;
		c->is_dirty = false;
		flush(l, c);
	}
}

/* ---- starting and stopping ---- */

void link_consume_wish(struct link *l, struct broker_consumer *c)
{
	pthread_mutex_lock(&l->wish_lock);
	c->is_wanted = c->wish.is_wanted;
	c->prefetch = c->wish.prefetch;
	c->wish.is_posted = false;
	pthread_mutex_unlock(&l->wish_lock);
	if (!c->is_known) {
		c->is_known = true;
		c->channel = (uint16_t)(CHANNEL_CONSUME + l->consumers_len);
		l->consumers[l->consumers_len++] = c;
	}
	l->consume_ms = 0;
}

static void send_cancel(struct link *l, struct broker_consumer *c)
{
	link_send(l, c->channel, AMQP_BASIC_CANCEL_METHOD,
		&(amqp_basic_cancel_t){.consumer_tag = bytes_text(c->sent_tag), .nowait = 1});
	c->is_sent = false;
}

static void open_channel(struct link *l, struct broker_consumer *c)
{
	if (c->is_open)
		return;
	c->is_open = link_open_channel(l, c->channel);
	c->incarnation = ++l->incarnations;
	c->serial = 0;
}

/*
 * A tag of its own every time: a quorum queue delivers what an earlier consumer of the same tag and channel has in hand
 * once more.
 */
static amqp_bytes_t make_tag(struct broker_consumer *c)
{
	if (++c->serial == 1)
		snprintf(c->sent_tag, sizeof c->sent_tag, "%s", c->tag);
	else
		snprintf(c->sent_tag, sizeof c->sent_tag, "%.*s-%u", SHORT_MAX - 11, c->tag, c->serial);
	return bytes_text(c->sent_tag);
}

/* From the first message, and after a break from the one after the last seen. */
static void stream_args(const struct broker_consumer *c, amqp_table_entry_t *entry, amqp_table_t *out)
{
	if (!c->stream_from_first)
		return;
	entry->key = bytes_text("x-stream-offset");
	if (c->last_offset < 0) {
		entry->value.kind = AMQP_FIELD_KIND_UTF8;
		entry->value.value.bytes = bytes_text("first");
	} else {
		entry->value.kind = AMQP_FIELD_KIND_I64;
		entry->value.value.i64 = c->last_offset + 1;
	}
	*out = (amqp_table_t){.num_entries = 1, .entries = entry};
}

static void send_consume(struct link *l, struct broker_consumer *c)
{
	char name[SHORT_MAX + 1];
	amqp_table_entry_t entry;
	amqp_basic_consume_t m = {
		.queue = link_name(l, c->queue, name),
		.no_ack = c->no_ack,
		.exclusive = c->exclusive,
		.arguments = amqp_empty_table,
	};

	stream_args(c, &entry, &m.arguments);
	open_channel(l, c);
	m.consumer_tag = make_tag(c);
	link_send(l, c->channel, AMQP_BASIC_QOS_METHOD, &(amqp_basic_qos_t){.prefetch_count = c->prefetch});
	link_send(l, c->channel, AMQP_BASIC_CONSUME_METHOD, &m);
	c->sent_prefetch = c->prefetch;
	c->is_sent = true;
	c->is_begun = false;
}

/* RabbitMQ 3.10 ends the connection (541) over a cancel that comes before its own consume-ok: that runs this again. */
static void apply(struct link *l, struct broker_consumer *c, int64_t now_ms)
{
	if (c->is_sent && !c->is_begun)
		return;
	if (c->is_sent && (!c->is_wanted || c->sent_prefetch != c->prefetch)) {
		send_cancel(l, c);
		/* Not told: whoever paused it knows, and starting again with another prefetch is no change. */
		if (!c->is_wanted)
			c->is_told_consuming = false;
	}
	if (!c->is_wanted)
		c->is_answered = true;
	else if (!c->is_sent && now_ms >= c->retry_ms)
		send_consume(l, c);
	else if (!c->is_sent && c->retry_ms < l->consume_ms)
		l->consume_ms = c->retry_ms;
}

void link_consume_run(struct link *l, int64_t now_ms)
{
	if (l->is_lost || now_ms < l->consume_ms || !l->declarer.is_ready)
		return;
	l->consume_ms = INT64_MAX;
	for (size_t i = 0; i < l->consumers_len; i++)
		apply(l, l->consumers[i], now_ms);
}

bool link_consume_is_answered(const struct link *l)
{
	for (size_t i = 0; i < l->consumers_len; i++) {
		if (!l->consumers[i]->is_answered)
			return false;
	}
	return true;
}

/* ---- RabbitMQ's word ---- */

/* Of the consumer that we want now, not of one that we have cancelled meanwhile. */
static bool is_current(const struct broker_consumer *c, amqp_bytes_t tag)
{
	return c->is_sent && slice_is_text(slice_of(tag.bytes, tag.len), c->sent_tag);
}

static void on_consume_ok(struct broker_consumer *c, const amqp_basic_consume_ok_t *m)
{
	if (!is_current(c, m->consumer_tag))
		return;
	c->is_begun = true;
	c->link->consume_ms = 0;
	c->failures = 0;
	c->is_answered = true;
	if (c->is_wanted)
		tell(c, true, "consuming");
}

static void failed(struct broker_consumer *c, const char *why, bool must_declare)
{
	struct link *l = c->link;

	c->is_sent = false;
	c->is_answered = true;
	c->failures++;
	c->retry_ms =
		clock_mono_ms() + backoff_ms(BACKOFF_FIRST_MS, BACKOFF_CAP_MS, c->failures, random_u32());
	if (c->retry_ms < l->consume_ms)
		l->consume_ms = c->retry_ms;
	if (must_declare)
		link_declare_again(l);
	log_lost(c, why);
	tell(c, false, why);
}

/* RabbitMQ's own cancel: the queue was deleted, or its leader is gone. What is in hand can still be acked. */
static void on_cancel(struct broker_consumer *c, const amqp_basic_cancel_t *m)
{
	if (is_current(c, m->consumer_tag))
		failed(c, "RabbitMQ cancelled the consumer: the queue is gone or moved", true);
}

static void close_channel(struct broker_consumer *c)
{
	c->is_open = c->is_sent = false;
	c->incarnation = 0;
	free(c->incoming.delivery);
	memset(&c->incoming, 0, sizeof c->incoming);
	forget_unsettled(c);
}

static void on_close(struct broker_consumer *c, const amqp_channel_close_t *m)
{
	char text[REPLY_TEXT_MAX];
	char why[WHY_MAX];

	link_close_text(m->reply_code, m->reply_text, text, sizeof text);
	snprintf(why, sizeof why, "%s: %s", text, refusal_mend(REFUSAL_CONSUME, m->reply_code, text));
	link_send(c->link, c->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
	close_channel(c);
	failed(c, why, m->reply_code == AMQP_NOT_FOUND);
}

/* ---- messages ---- */

static size_t copy_short(uint8_t out[SHORT_MAX], amqp_bytes_t b)
{
	size_t len = b.len < SHORT_MAX ? b.len : SHORT_MAX;

	if (len > 0)
		memcpy(out, b.bytes, len);
	return len;
}

static void on_deliver(struct broker_consumer *c, const amqp_basic_deliver_t *m)
{
	struct incoming *in = &c->incoming;

	free(in->delivery);
	*in = (struct incoming){.tag = m->delivery_tag, .redelivered = m->redelivered, .is_open = true};
	in->exchange_len = copy_short(in->exchange, m->exchange);
	in->routing_key_len = copy_short(in->routing_key, m->routing_key);
}

static void refuse_oversize(struct broker_consumer *c)
{
	struct link *l = c->link;
	unsigned left_out;

	if (log_gate_pass(&l->oversize_gate, GATE_MS, &left_out))
		log_warn("broker_message_too_large", LOG_TEXT("connection", l->name),
			LOG_TEXT("queue", c->queue), LOG_INT("limit", (int64_t)l->message_max),
			LOG_INT("suppressed", left_out));
	if (!c->no_ack)
		send_reject(l, c, c->incoming.tag, false);
}

static bool is_seen(const struct broker_consumer *c, const struct delivery *v)
{
	return v->public.stream_offset >= 0 && v->public.stream_offset <= c->last_offset;
}

static void complete(struct broker_consumer *c, struct delivery *v)
{
	struct link *l = c->link;

	v->public.consumer = c;
	v->incarnation = c->incarnation;
	v->no_ack = c->no_ack;
	if (is_seen(c, v)) {
		send_ack(l, c, v->tag, false);
		free(v);
		return;
	}
	if (v->public.stream_offset >= 0)
		c->last_offset = v->public.stream_offset;
	if (!c->no_ack)
		unsettled_add(c, v);
	atomic_fetch_add(&l->transit_len, 1);
	atomic_fetch_add(&l->transit_bytes, v->bytes);
	link_send_home(l, &v->parcel);
}

static void complete_if_whole(struct broker_consumer *c)
{
	struct incoming *in = &c->incoming;
	struct delivery *v = in->delivery;

	if (!in->has_header || in->left > 0)
		return;
	in->is_open = in->has_header = false;
	in->delivery = NULL;
	if (v)
		complete(c, v);
	else
		refuse_oversize(c);
}

static void on_header(struct broker_consumer *c, const amqp_frame_t *frame)
{
	struct incoming *in = &c->incoming;
	uint64_t size = frame->payload.properties.body_size;

	in->has_header = true;
	in->left = size;
	if (size <= c->link->message_max) {
		in->delivery = delivery_new(in, frame->payload.properties.decoded, (size_t)size);
		if (!in->delivery)
			link_lose(c->link, "out of memory");
	}
}

static void on_body(struct broker_consumer *c, amqp_bytes_t part)
{
	struct incoming *in = &c->incoming;
	struct delivery *v = in->delivery;

	if (part.len > in->left) {
		link_lose(c->link, "RabbitMQ sent more of a message than it announced");
		return;
	}
	if (v && part.len > 0)
		memcpy(v->storage + (v->public.body.len - in->left), part.bytes, part.len);
	in->left -= part.len;
}

static void on_method(struct broker_consumer *c, const amqp_method_t *method)
{
	switch (method->id) {
	case AMQP_BASIC_DELIVER_METHOD: on_deliver(c, method->decoded); break;
	case AMQP_BASIC_CONSUME_OK_METHOD: on_consume_ok(c, method->decoded); break;
	case AMQP_BASIC_CANCEL_METHOD: on_cancel(c, method->decoded); break;
	case AMQP_CHANNEL_CLOSE_METHOD: on_close(c, method->decoded); break;
	default: break;
	}
}

void link_consume_frame(struct link *l, const amqp_frame_t *frame)
{
	size_t i = (size_t)frame->channel - CHANNEL_CONSUME;
	struct broker_consumer *c = i < l->consumers_len ? l->consumers[i] : NULL;

	if (!c)
		return;
	if (frame->frame_type == AMQP_FRAME_METHOD) {
		on_method(c, &frame->payload.method);
		return;
	}
	if (!c->incoming.is_open)
		return;
	if (frame->frame_type == AMQP_FRAME_HEADER)
		on_header(c, frame);
	else
		on_body(c, frame->payload.body_fragment);
	if (!l->is_lost)
		complete_if_whole(c);
}

/* ---- the connection goes ---- */

void link_consume_lost(struct link *l)
{
	l->dirty = NULL;
	for (size_t i = 0; i < l->consumers_len; i++) {
		struct broker_consumer *c = l->consumers[i];
		bool was_open = c->is_open;

		close_channel(c);
		c->is_dirty = c->is_answered = false;
		c->retry_ms = 0;
		if (was_open)
			tell(c, false, l->why);
	}
	l->consume_ms = 0;
}

void link_consume_done(struct link *l)
{
	for (size_t i = 0; i < l->consumers_len; i++) {
		forget_unsettled(l->consumers[i]);
		consumer_free(l->consumers[i]);
	}
}
