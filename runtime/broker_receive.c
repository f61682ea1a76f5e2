/* Consuming, the loop side: consumers as the service wants them, deliveries handed over and settled. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/broker_loop.h"

static char *copy_text(const char *text)
{
	return text ? strdup(text) : NULL;
}

static void consumer_wish(struct broker_consumer *c, bool is_wanted, uint16_t prefetch)
{
	struct link *l = c->broker->link;
	bool must_post;

	pthread_mutex_lock(&l->wish_lock);
	c->wish.is_wanted = is_wanted;
	c->wish.prefetch = prefetch;
	must_post = !c->wish.is_posted;
	c->wish.is_posted = true;
	pthread_mutex_unlock(&l->wish_lock);
	if (must_post)
		broker_post(c->broker, &c->parcel);
}

int broker_consume(struct broker *b, const struct broker_consumer_options *opt, struct broker_consumer **out)
{
	struct broker_consumer *c;

	assert(strlen(opt->queue) <= SHORT_MAX);
	if (b->consumers_len == CONSUMERS_MAX)
		return -ENOSPC;
	c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	*c = (struct broker_consumer){
		.broker = b,
		.on_delivery = opt->on_delivery,
		.on_change = opt->on_change,
		.arg = opt->arg,
		.parcel.kind = PARCEL_CONSUMER,
		.tag = copy_text(opt->tag ? opt->tag : ""),
		.queue = copy_text(opt->queue),
		.exclusive = opt->exclusive,
		.no_ack = opt->no_ack,
		.stream_from_first = opt->stream_from_first,
		.link = b->link,
		.last_offset = -1,
	};
	c->held_end = &c->held;
	if (!c->tag || !c->queue) {
		consumer_free(c);
		return -ENOMEM;
	}
	c->loop_next = b->consumers;
	b->consumers = c;
	b->consumers_len++;
	consumer_wish(c, true, opt->prefetch);
	*out = c;
	return 0;
}

/* Back to where it came from, unseen. */
static void delivery_give_back(struct delivery *v)
{
	if (v->no_ack) {
		free(v);
		return;
	}
	v->settlement = SETTLE_REQUEUE;
	mailbox_post(v->public.consumer->link->inbox, &v->parcel.mail);
}

static void delivery_hand_over(struct broker *b, struct delivery *v)
{
	struct broker_consumer *c = v->public.consumer;

	b->stats.delivered++;
	b->deliveries_out++;
	v->broker = b;
	v->public.consumer_arg = c->arg;
	c->on_delivery(&v->public, c->arg);
}

void broker_delivery_home(struct broker *b, struct parcel *parcel)
{
	struct delivery *v = (struct delivery *)parcel;
	struct broker_consumer *c = v->public.consumer;

	atomic_fetch_sub(&b->link->transit_len, 1);
	atomic_fetch_sub(&b->link->transit_bytes, v->bytes);
	if (c->is_stopped) {
		delivery_give_back(v);
	} else if (c->is_paused || c->held) {
		v->parcel.mail.next = NULL;
		*c->held_end = &v->parcel.mail;
		c->held_end = &v->parcel.mail.next;
	} else {
		delivery_hand_over(b, v);
	}
}

static struct delivery *held_take(struct broker_consumer *c)
{
	struct mail *mail = c->held;

	if (!mail)
		return NULL;
	c->held = mail->next;
	if (!c->held)
		c->held_end = &c->held;
	return (struct delivery *)mail;
}

void broker_on_unheld(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;
	struct delivery *v;

	broker_enter(b);
	for (struct broker_consumer *c = b->consumers; c && !b->is_freed;) {
		while (!b->is_freed && !c->is_paused && (v = held_take(c)))
			delivery_hand_over(b, v);
		if (!b->is_freed)
			c = c->loop_next;
	}
	broker_leave(b);
}

void broker_consumer_stop(struct broker_consumer *c)
{
	struct delivery *v;

	if (c->is_stopped)
		return;
	c->is_stopped = true;
	while ((v = held_take(c)))
		delivery_give_back(v);
	consumer_wish(c, false, c->wish.prefetch);
}

void broker_consumer_set_prefetch(struct broker_consumer *c, uint16_t prefetch)
{
	consumer_wish(c, c->wish.is_wanted, prefetch);
}

void broker_consumer_pause(struct broker_consumer *c)
{
	if (c->is_stopped || c->is_paused)
		return;
	c->is_paused = true;
	consumer_wish(c, false, c->wish.prefetch);
}

void broker_consumer_resume(struct broker_consumer *c)
{
	if (c->is_stopped || !c->is_paused)
		return;
	c->is_paused = false;
	if (c->held)
		timer_arm(c->broker->unheld, 0);
	consumer_wish(c, true, c->wish.prefetch);
}

const char *broker_consumer_queue(const struct broker_consumer *c)
{
	return c->actual[0] ? c->actual : NULL;
}

void broker_consuming_home(struct broker *b, struct parcel *parcel)
{
	struct consuming_notice *n = (struct consuming_notice *)parcel;
	struct broker_consumer *c = n->consumer;

	c->loop_incarnation = n->incarnation;
	memcpy(c->actual, n->queue, sizeof c->actual);
	if (n->is_told && c->on_change && !c->is_stopped)
		c->on_change(n->is_consuming, n->why, c->arg);
	free(n);
}

static void settle(struct broker_delivery *d, enum settlement settlement)
{
	struct delivery *v = CONTAINER(d, struct delivery, public);
	struct broker *b = v->broker;

	b->deliveries_out--;
	if (b->is_freed || v->no_ack) {
		free(v);
	} else {
		v->settlement = settlement;
		broker_post(b, &v->parcel);
	}
	broker_dispose(b);
}

void broker_ack(struct broker_delivery *d)
{
	CONTAINER(d, struct delivery, public)->broker->stats.acked++;
	settle(d, SETTLE_ACK);
}

void broker_reject(struct broker_delivery *d, bool requeue)
{
	CONTAINER(d, struct delivery, public)->broker->stats.rejected++;
	settle(d, requeue ? SETTLE_REQUEUE : SETTLE_REJECT);
}

void broker_drop(struct broker_delivery *d)
{
	settle(d, SETTLE_DROP);
}

bool broker_delivery_is_live(const struct broker_delivery *d)
{
	const struct delivery *v = CONTAINER(d, const struct delivery, public);

	return !v->broker->is_freed && v->incarnation == d->consumer->loop_incarnation;
}
