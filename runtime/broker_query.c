/* How a queue stands: passive declares on a channel of their own, one at a time, as a missing queue closes it. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/broker_internal.h"

static struct query *take(struct link_querier *r)
{
	struct query *q = r->first;

	r->first = q->next;
	if (!r->first)
		r->end = &r->first;
	r->is_sent = false;
	return q;
}

static void end(struct link *l, int rc, struct broker_queue_info info)
{
	struct query *q = take(&l->querier);

	q->rc = rc;
	q->info = info;
	link_send_home(l, &q->parcel);
}

void link_query_add(struct link *l, struct query *q)
{
	q->next = NULL;
	*l->querier.end = q;
	l->querier.end = &q->next;
}

void link_query_run(struct link *l)
{
	struct link_querier *r = &l->querier;
	char name[SHORT_MAX + 1];

	if (!r->first || r->is_sent || l->is_lost)
		return;
	if (!r->is_open)
		r->is_open = link_open_channel(l, CHANNEL_QUERY);
	r->is_sent = true;
	link_send(l, CHANNEL_QUERY, AMQP_QUEUE_DECLARE_METHOD,
		&(amqp_queue_declare_t){.queue = link_name(l, r->first->queue, name), .passive = 1});
}

static void on_declare_ok(struct link *l, const amqp_queue_declare_ok_t *m)
{
	if (l->querier.is_sent)
		end(l, 0,
			(struct broker_queue_info){
				.exists = true,
				.messages = m->message_count,
				.consumers = m->consumer_count,
			});
}

static void on_close(struct link *l, const amqp_channel_close_t *m)
{
	link_send(l, CHANNEL_QUERY, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
	l->querier.is_open = false;
	if (l->querier.is_sent)
		end(l, 0, (struct broker_queue_info){.exists = m->reply_code != AMQP_NOT_FOUND});
}

void link_query_frame(struct link *l, const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD)
		return;
	if (frame->payload.method.id == AMQP_QUEUE_DECLARE_OK_METHOD)
		on_declare_ok(l, frame->payload.method.decoded);
	else if (frame->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD)
		on_close(l, frame->payload.method.decoded);
	link_query_run(l);
}

void link_query_lost(struct link *l)
{
	while (l->querier.first)
		end(l, -ENOTCONN, (struct broker_queue_info){0});
	l->querier.is_open = false;
}
