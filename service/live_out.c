#include "service/live_out.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/topology.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	EVENT_MAX = 64 << 10,	 /* a larger one goes as a partial one */
	MESSAGE_MAX = 256 << 10, /* and this ends a message */
	MARKS_BYTES_MAX = 16 << 10,
	AGAIN_MS = 1000,
	LOG_EVERY_MS = 10000,
};

/* Shards as a set. */
struct shards {
	uint64_t bits[TOPOLOGY_EVENT_SHARDS / 64];
	size_t len;
};

struct live_out {
	struct service *service;
	uint64_t publisher;
	uint32_t counts[TOPOLOGY_EVENT_SHARDS];
	struct shards lost; /* somebody there may have missed something, and is yet to be told so */
	struct event *timer;
	struct log_gate gate;
	struct sent *sent; /* messages whose outcome is not known */
	/* The message that is being put together. */
	struct buf event, events;
	uint32_t events_len;
	struct shards shards;
};

/* A message on its way. */
struct sent {
	struct sent *prev, *next;
	struct live_out *all;
	struct shards shards;
};

/* ---- sets ---- */

static bool shards_has(const struct shards *s, unsigned shard)
{
	return s->bits[shard / 64] >> shard % 64 & 1;
}

static void shards_add(struct shards *s, unsigned shard)
{
	s->len += !shards_has(s, shard);
	s->bits[shard / 64] |= UINT64_C(1) << shard % 64;
}

static void shards_add_all(struct shards *s, const struct shards *from)
{
	for (unsigned i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		if (shards_has(from, i))
			shards_add(s, i);
}

/* ---- tasks and events ---- */

void live_event_of_task(const struct store_task *t, struct live_event *out)
{
	*out = (struct live_event){
		.id = t->id,
		.tenant = t->tenant,
		.task = t->task,
		.state = t->state,
		.rev = t->rev,
		.is_partial = t->result_is_json && t->result_len > 0 && !slice_is_set(t->result),
		.attempt = t->attempt,
		.created_at_ms = t->created_at_ms,
		.due_at_ms = t->due_at_ms,
		.started_at_ms = t->started_at_ms,
		.finished_at_ms = t->finished_at_ms,
		.progress = t->progress,
		.metadata = t->metadata,
		.worker = t->worker,
		.has_error = t->error.type.len > 0,
		.error = {t->error.type, t->error.message, t->error.retryable, t->error.status,
			t->error.data},
		.content_type = t->content_type,
		.result_len = t->result_len,
		.result_is_json = t->result_is_json,
		.result = t->result,
		.waits_for = t->waits_for,
		.batch = t->batch,
		.retry_of = t->retry_of,
		.deliveries_pending = t->deliveries_pending,
		.deliveries_delivered = t->deliveries_delivered,
		.deliveries_dead = t->deliveries_dead,
		.span = t->span,
	};
}

void live_event_to_task(const struct live_event *e, struct store_task *out)
{
	*out = (struct store_task){
		.presence = STORE_PRESENT,
		.id = e->id,
		.tenant = e->tenant,
		.task = e->task,
		.state = e->state,
		.rev = e->rev,
		.attempt = e->attempt,
		.created_at_ms = e->created_at_ms,
		.due_at_ms = e->due_at_ms,
		.started_at_ms = e->started_at_ms,
		.finished_at_ms = e->finished_at_ms,
		.progress = e->progress,
		.metadata = e->metadata,
		.worker = e->worker,
		.content_type = e->content_type,
		.result_len = e->result_len,
		.result_is_json = e->result_is_json,
		.result = e->result,
		.waits_for = e->waits_for,
		.batch = e->batch,
		.retry_of = e->retry_of,
		.deliveries_pending = e->deliveries_pending,
		.deliveries_delivered = e->deliveries_delivered,
		.deliveries_dead = e->deliveries_dead,
		.span = e->span,
	};
	if (e->has_error)
		out->error = (struct store_error){
			e->error.type, e->error.message, e->error.retryable, e->error.status, e->error.data};
}

/* What says no more than that there is something to read. */
static struct live_event partial(const struct store_task *t)
{
	return (struct live_event){
		.id = t->id,
		.tenant = t->tenant,
		.task = t->task,
		.state = t->state,
		.rev = t->rev,
		.is_partial = true,
	};
}

/* Into l->event. What cannot go whole goes as a partial one. */
static int encode(struct live_out *l, const struct store_task *task)
{
	struct live_event e;
	int rc = -EMSGSIZE;

	live_event_of_task(task, &e);
	buf_reset(&l->event);
	if (!e.is_partial)
		rc = live_event_encode(&e, &l->event);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	e = partial(task);
	buf_reset(&l->event);
	return live_event_encode(&e, &l->event);
}

/* ---- publishing ---- */

static void lose(struct live_out *l, const struct shards *shards)
{
	if (l->lost.len == 0)
		timer_arm(l->timer, AGAIN_MS);
	shards_add_all(&l->lost, shards);
}

static void sent_free(struct sent *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->all->sent = s->next;
	if (s->next)
		s->next->prev = s->prev;
	free(s);
}

/* Nobody listening is no loss, and a message of unknown outcome may have come: it is only counted again. */
static void on_outcome(enum broker_outcome outcome, void *arg)
{
	struct sent *s = arg;

	if (outcome == BROKER_NACKED || outcome == BROKER_WITHDRAWN || outcome == BROKER_UNKNOWN)
		lose(s->all, &s->shards);
	sent_free(s);
}

struct keys {
	char texts[TOPOLOGY_EVENT_SHARDS][TOPOLOGY_SHARD_KEY_LEN];
	struct slice keys[TOPOLOGY_EVENT_SHARDS];
	size_t len;
};

/* The keys of the shards, and their marks: each is counted whether the message gets through or not. */
static void mark(struct live_out *l, const struct shards *shards, struct keys *keys, struct buf *marks)
{
	keys->len = 0;
	for (unsigned i = 0; i < TOPOLOGY_EVENT_SHARDS; i++) {
		struct live_mark m = {.shard = (uint16_t)i};

		if (!shards_has(shards, i))
			continue;
		m.count = ++l->counts[i];
		live_mark_append(&m, marks);
		topology_shard_key(i, keys->texts[keys->len]);
		keys->keys[keys->len] = slice_text(keys->texts[keys->len]);
		keys->len++;
	}
}

static int publish_body(struct live_out *l, const struct keys *keys, struct slice body, struct sent *sent)
{
	const struct broker_message m = {
		.exchange = TOPOLOGY_EVENTS_EXCHANGE,
		.routing_key = keys->keys[0],
		.more_keys = keys->keys + 1,
		.more_keys_len = keys->len - 1,
		.body = body,
		.content_type = "application/msgpack",
		.app_id = "postback",
	};

	return broker_publish(l->service->publish, &m, on_outcome, sent);
}

static int publish_all(
	struct live_out *l, const struct shards *shards, struct slice events, uint32_t events_len)
{
	struct sent *sent = calloc(1, sizeof *sent);
	struct buf marks, body;
	struct keys keys;
	int rc = -ENOMEM;

	buf_init(&marks, MARKS_BYTES_MAX);
	buf_init(&body, events.len + MARKS_BYTES_MAX);
	mark(l, shards, &keys, &marks);
	if (sent)
		rc = live_message_encode(l->publisher, buf_slice(&marks), events, events_len, &body);
	if (rc == 0)
		rc = publish_body(l, &keys, buf_slice(&body), sent);
	buf_done(&marks);
	buf_done(&body);
	if (rc < 0) {
		free(sent);
		return rc;
	}
	*sent = (struct sent){.next = l->sent, .all = l, .shards = *shards};
	if (l->sent)
		l->sent->prev = sent;
	l->sent = sent;
	return 0;
}

static void flush(struct live_out *l)
{
	unsigned suppressed;
	int rc = l->events_len ? publish_all(l, &l->shards, buf_slice(&l->events), l->events_len) : 0;

	if (rc < 0) {
		lose(l, &l->shards);
		if (rc != -ENOTCONN && log_gate_pass(&l->gate, LOG_EVERY_MS, &suppressed))
			log_warn("live_events_lost", LOG_ERRNO(rc), LOG_INT("suppressed", suppressed));
	}
	buf_reset(&l->events);
	l->events_len = 0;
	l->shards = (struct shards){.len = 0};
}

/* A message without events: its counts say that there was something. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct live_out *l = arg;
	struct shards lost = l->lost;

	l->lost = (struct shards){.len = 0};
	if (publish_all(l, &lost, slice_of(NULL, 0), 0) < 0)
		lose(l, &lost);
}

static void add(struct live_out *l, const struct store_task *task)
{
	unsigned of_id = topology_event_shard(slice_of(task->id.bytes, ID_LEN));
	unsigned of_tenant = topology_event_shard(task->tenant);
	int rc = encode(l, task);

	if (l->events.len + l->event.len > MESSAGE_MAX)
		flush(l);
	if (rc == 0)
		rc = buf_append_slice(&l->events, buf_slice(&l->event));
	shards_add(&l->shards, of_id);
	shards_add(&l->shards, of_tenant);
	if (rc == 0)
		l->events_len++;
	else
		lose(l, &l->shards);
}

static void on_change(const struct store_task *tasks, size_t len, void *arg)
{
	struct live_out *l = arg;

	for (size_t i = 0; i < len; i++)
		add(l, &tasks[i]);
	flush(l);
}

/* ---- life ---- */

static uint64_t random_publisher(void)
{
	return ((uint64_t)random_u32() << 31 ^ random_u32()) | 1;
}

int live_out_new(struct service *s, struct store *store, struct live_out **out)
{
	struct live_out *l = calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	l->service = s;
	l->publisher = random_publisher();
	buf_init(&l->event, EVENT_MAX);
	buf_init(&l->events, MESSAGE_MAX + EVENT_MAX);
	l->timer = loop_timer(s->loop, on_timer, l);
	if (!l->timer) {
		free(l);
		return -ENOMEM;
	}
	store_on_change(store, on_change, l);
	*out = l;
	return 0;
}

void live_out_free(struct live_out *l)
{
	if (!l)
		return;
	while (l->sent)
		sent_free(l->sent);
	event_free(l->timer);
	buf_done(&l->event);
	buf_done(&l->events);
	free(l);
}
