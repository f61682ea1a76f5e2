/*
 * The channel "task": publishes a request that became due: a delayed task, the next attempt, the next step of a chain.
 * At least once under a fixed id and attempt; never when its task has ended meanwhile.
 */
#include <errno.h>
#include <stdlib.h>

#include "notifier/channel.h"
#include "notifier/previous.h"
#include "proto/context.h"
#include "proto/topology.h"
#include "runtime/clock.h"
#include "service/trace.h"

enum {
	IN_FLIGHT_MAX = 2048,
	PUBLISH_TIMEOUT_MS = 10000, /* well below the lease */
	AGAIN_MS = 1000,
	UNROUTABLE_BASE_MS = 1000,
	UNROUTABLE_CAP_MS = 60000,
};

struct task_channel {
	struct service *service;
};

struct publish {
	struct task_channel *channel;
	struct ticket *ticket;
	int64_t due_at_ms;
};

static int start(struct service *s, const struct notifier_options *options, struct store *store, void **self)
{
	struct task_channel *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	c->service = s;
	*self = c;
	return 0;
}

static size_t capacity(void *self)
{
	struct task_channel *c = self;

	return broker_state(c->service->publish) == BROKER_UP ? IN_FLIGHT_MAX : 0;
}

/* Nobody consumes that name yet: waits as long as a task may wait in a queue, less and less eagerly. */
static void end_unroutable(struct publish *p)
{
	int64_t waited_ms = clock_wall_ms() - p->due_at_ms;

	if (waited_ms >= p->channel->service->options->store.task_ttl_ms) {
		ticket_end(p->ticket, STORE_DUE_DEAD, 0, 0, "no queue for this task", (struct slice){0});
		return;
	}
	ticket_end(p->ticket, STORE_DUE_AGAIN,
		waited_ms < UNROUTABLE_BASE_MS	? UNROUTABLE_BASE_MS
		: waited_ms > UNROUTABLE_CAP_MS ? UNROUTABLE_CAP_MS
						: waited_ms,
		0, "no queue for this task", (struct slice){0});
}

static void on_published(enum broker_outcome outcome, void *arg)
{
	struct publish *p = arg;

	switch (outcome) {
	case BROKER_CONFIRMED: ticket_end(p->ticket, STORE_DUE_DONE, 0, 0, NULL, (struct slice){0}); break;
	case BROKER_RETURNED: end_unroutable(p); break;
	case BROKER_NACKED:
	case BROKER_WITHDRAWN:
	case BROKER_UNKNOWN:
		ticket_end(p->ticket, STORE_DUE_AGAIN, AGAIN_MS, 0, broker_outcome_name(outcome),
			(struct slice){0});
		break;
	}
	free(p);
}

/* The stored request with the attempt to make and, where wanted, what came before. 0 or -EBADMSG, -ENOMEM, -EMSGSIZE. */
static int make_request(
	const struct store_due *due, size_t max, struct request *r, struct buf *payload, struct buf *out)
{
	struct decode_error ignored;
	int rc = request_decode(due->task.request, r, &ignored);

	if (rc < 0)
		return rc;
	r->attempt = due->attempt;
	if (due->wants_previous) {
		buf_init(payload, max);
		rc = previous_join(r->payload, due, payload);
		if (rc < 0)
			return rc;
		r->payload = buf_slice(payload);
	}
	return request_encode(r, out);
}

/* As the client gave it with the submission. */
static size_t headers_of(const struct request *r, struct broker_header out[TRACE_HEADERS])
{
	struct decode_error ignored;
	struct context context;

	if (!slice_is_set(r->context) || context_decode(r->context, &context, &ignored) < 0)
		return 0;
	return trace_headers(&context.trace, out);
}

static int publish(struct task_channel *c, const struct request *r, struct slice body, struct publish *p)
{
	char id[ID_TEXT_LEN + 1];
	int64_t now_ms = clock_wall_ms();
	struct broker_header headers[TRACE_HEADERS];
	struct broker_message m = {
		.exchange = TOPOLOGY_TASKS_EXCHANGE,
		.routing_key = r->task,
		.body = body,
		.content_type = "application/msgpack",
		.reply_to = slice_text(TOPOLOGY_REPLIES_QUEUE),
		.type = r->task,
		.app_id = "postback-notifier",
		.persistent = true,
		.mandatory = true,
		.timeout_ms = PUBLISH_TIMEOUT_MS,
		.headers = headers,
		.headers_len = headers_of(r, headers),
	};

	id_format(&r->id, id);
	m.correlation_id = slice_text(id);
	if (r->deadline_ms)
		m.expiration_ms = r->deadline_ms > now_ms ? r->deadline_ms - now_ms : 1;
	return broker_publish(c->service->publish, &m, on_published, p);
}

static void send_request(struct task_channel *c, const struct store_due *due, struct publish *p)
{
	size_t max = (size_t)c->service->options->amqp.max_message;
	struct buf payload = {0}, body;
	struct request r;
	int rc;

	buf_init(&body, max);
	rc = make_request(due, max, &r, &payload, &body);
	if (rc == 0)
		rc = publish(c, &r, buf_slice(&body), p);
	buf_done(&body);
	buf_done(&payload);
	if (rc == 0)
		return;
	if (rc == -EBADMSG || rc == -EMSGSIZE)
		ticket_end(p->ticket, STORE_DUE_DEAD, 0, 0,
			rc == -EMSGSIZE ? "the request is larger than amqp.max_message"
					: "the request cannot be built: its payload must be a JSON object",
			(struct slice){0});
	else
		ticket_end(p->ticket, STORE_DUE_AGAIN, AGAIN_MS, 0, strerror(-rc), (struct slice){0});
	free(p);
}

static void send_due(void *self, const struct store_due *due, struct ticket *ticket)
{
	struct publish *p;

	if (due->task.presence != STORE_PRESENT || task_state_is_terminal(due->task.state)) {
		ticket_end(ticket, STORE_DUE_DONE, 0, 0, NULL, (struct slice){0});
		return;
	}
	p = calloc(1, sizeof *p);
	if (!p) {
		ticket_end(ticket, STORE_DUE_AGAIN, AGAIN_MS, 0, "out of memory", (struct slice){0});
		return;
	}
	*p = (struct publish){.channel = self, .ticket = ticket, .due_at_ms = due->due_at_ms};
	send_request(self, due, p);
}

const struct channel channel_task = {
	.name = "task",
	.start = start,
	.free = free,
	.capacity = capacity,
	.send = send_due,
};
