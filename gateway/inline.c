#include "gateway/inline.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "gateway/own_queue.h"
#include "proto/topology.h"
#include "runtime/clock.h"
#include "service/trace.h"

struct inline_call {
	LIST_ENTRY(inline_call) link;
	struct inline_lane *lane;
	struct id id;
	struct event *timer;
	inline_cb *cb; /* NULL: it has ended, its publish has not */
	void *arg;
	bool is_publishing;
};

struct inline_lane {
	struct service *service;
	struct broker_consumer *consumer;
	void *calls; /* a tree of struct inline_call by id: those that wait for a reply */
	LIST_HEAD(, inline_call) waiting;
	LIST_HEAD(, inline_call) ended; /* but for the outcome of their publish */
	bool is_consuming;
};

static int compare(const void *a, const void *b)
{
	return memcmp(
		((const struct inline_call *)a)->id.bytes, ((const struct inline_call *)b)->id.bytes, ID_LEN);
}

/* ---- ends ---- */

static void call_free(struct inline_call *call)
{
	LIST_REMOVE(call, link);
	event_free(call->timer);
	free(call);
}

/* Late and repeated replies find nothing from here on. */
static void leave(struct inline_call *call)
{
	tdelete(call, &call->lane->calls, compare);
	event_del(call->timer);
	call->cb = NULL;
	if (!call->is_publishing) {
		call_free(call);
		return;
	}
	LIST_REMOVE(call, link);
	LIST_INSERT_HEAD(&call->lane->ended, call, link);
}

void inline_call_drop(struct inline_call *call)
{
	leave(call);
}

static void end(struct inline_call *call, enum inline_end how, const struct reply *reply)
{
	inline_cb *cb = call->cb;
	void *arg = call->arg;

	leave(call);
	if (cb)
		cb(how, reply, arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct inline_call *call = arg;

	end(call, call->is_publishing ? INLINE_UNCONFIRMED : INLINE_TIMED_OUT, NULL);
}

static void on_published(enum broker_outcome outcome, void *arg)
{
	struct inline_call *call = arg;

	call->is_publishing = false;
	if (!call->cb) {
		call_free(call);
		return;
	}
	switch (outcome) {
	case BROKER_RETURNED: end(call, INLINE_NO_QUEUE, NULL); break;
	case BROKER_NACKED: end(call, INLINE_FULL, NULL); break;
	case BROKER_WITHDRAWN: end(call, INLINE_AWAY, NULL); break;
	case BROKER_UNKNOWN: end(call, INLINE_UNCONFIRMED, NULL); break;
	case BROKER_CONFIRMED: break;
	}
}

/* ---- replies ---- */

static bool is_outcome(enum reply_kind kind)
{
	switch (kind) {
	case REPLY_STARTED:
	case REPLY_PROGRESS: return false;
	case REPLY_SUCCEEDED:
	case REPLY_FAILED:
	case REPLY_RETRY:
	case REPLY_CANCELED: break;
	}
	return true;
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	static struct log_gate gate;
	struct inline_lane *lane = arg;
	struct inline_call key, **found;
	struct decode_error error;
	struct reply reply;
	unsigned suppressed;
	int rc = reply_decode(d->body, &reply, &error);

	if (rc < 0 && log_gate_pass(&gate, 1000, &suppressed))
		log_warn("inline_reply_refused", LOG_TEXT("path", error.path),
			LOG_TEXT("reason", error.reason), LOG_INT("suppressed", suppressed));
	if (rc == 0 && is_outcome(reply.kind)) {
		key.id = reply.id;
		found = tfind(&key, &lane->calls, compare);
		if (found)
			end(*found, INLINE_REPLIED, &reply);
	}
	broker_drop(d);
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct inline_lane *lane = arg;

	lane->is_consuming = is_consuming;
	while (!is_consuming && !LIST_EMPTY(&lane->waiting))
		end(LIST_FIRST(&lane->waiting), INLINE_LOST, NULL);
}

/* ---- calls ---- */

static int publish(struct inline_call *call, const struct inline_request *r)
{
	struct broker_header headers[TRACE_HEADERS];
	char id[ID_TEXT_LEN + 1];
	struct broker_message m = {
		.exchange = TOPOLOGY_INLINE_EXCHANGE,
		.routing_key = slice_text(r->task),
		.body = slice_of(r->message.data, r->message.len),
		.body_owned = r->message.data,
		.content_type = "application/msgpack",
		.correlation_id = slice_of(id, ID_TEXT_LEN),
		.reply_to = slice_text(broker_consumer_queue(call->lane->consumer)),
		.type = slice_text(r->task),
		.app_id = "postback",
		.expiration_ms = r->wait_ms,
		.mandatory = true,
		.headers = headers,
		.headers_len = trace_headers(&r->trace, headers),
		.timeout_ms = r->confirm_ms < r->wait_ms ? r->confirm_ms : r->wait_ms,
	};

	id_format(&r->id, id);
	return broker_publish(call->lane->service->publish, &m, on_published, call);
}

static struct inline_call *call_new(struct inline_lane *lane, const struct id *id, inline_cb *cb, void *arg)
{
	struct inline_call *call = calloc(1, sizeof *call);

	if (!call)
		return NULL;
	*call = (struct inline_call){.lane = lane, .id = *id, .cb = cb, .arg = arg};
	call->timer = loop_timer(lane->service->loop, on_timeout, call);
	if (!call->timer || !tsearch(call, &lane->calls, compare)) {
		if (call->timer)
			event_free(call->timer);
		free(call);
		return NULL;
	}
	LIST_INSERT_HEAD(&lane->waiting, call, link);
	return call;
}

int inline_call_start(struct inline_lane *lane, const struct inline_request *r, inline_cb *cb, void *arg,
	struct inline_call **out)
{
	struct inline_call *call;
	int rc;

	if (!lane->is_consuming || !broker_consumer_queue(lane->consumer))
		return -ENOTCONN;
	call = call_new(lane, &r->id, cb, arg);
	if (!call)
		return -ENOMEM;
	rc = publish(call, r);
	if (rc < 0) {
		leave(call);
		return rc;
	}
	call->is_publishing = true;
	/* After the publish's own limit: what is known of it is told first. */
	timer_arm(call->timer, r->wait_ms + 1);
	*out = call;
	return 0;
}

/* ---- the reply queue ---- */

static int consume(struct inline_lane *lane, const char *queue)
{
	struct broker_consumer_options opt = {
		.queue = queue,
		.tag = "inline-replies",
		.exclusive = true,
		.no_ack = true,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = lane,
	};

	return service_consume(lane->service, &opt, &lane->consumer);
}

int inline_lane_new(struct service *service, struct inline_lane **out)
{
	struct inline_lane *lane = calloc(1, sizeof *lane);
	char queue[TOPOLOGY_NAME_MAX];
	int rc;

	if (!lane)
		return -ENOMEM;
	lane->service = service;
	LIST_INIT(&lane->waiting);
	LIST_INIT(&lane->ended);
	rc = own_queue_declare(service, topology_gateway, queue);
	if (rc == 0)
		rc = consume(lane, queue);
	if (rc < 0) {
		inline_lane_free(lane);
		return rc;
	}
	*out = lane;
	return 0;
}

void inline_lane_free(struct inline_lane *lane)
{
	if (!lane)
		return;
	while (!LIST_EMPTY(&lane->waiting))
		leave(LIST_FIRST(&lane->waiting));
	while (!LIST_EMPTY(&lane->ended))
		call_free(LIST_FIRST(&lane->ended));
	free(lane);
}
