#include "notifier/inbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "notifier/event.h"
#include "notifier/metrics.h"
#include "notifier/pace.h"
#include "proto/topology.h"
#include "runtime/clock.h"

enum {
	PREFETCH = 4 * STORE_EVENTS_MAX,
	PREFETCH_LARGE =
		8, /* while large replies are in hand: a prefetch counts messages, memory counts bytes */
	RETRY_MS = 500,
	LOG_EVERY_MS = 1000,
};
#define BYTES_HIGH (64u * 1024 * 1024)
#define BYTES_LOW  (16u * 1024 * 1024)

/* One message on its way into the store. */
struct arrival {
	struct arrival *next;
	struct inbox *inbox;
	struct broker_delivery *delivery;
	struct event event;
	bool has_event; /* false: a dead letter */
	struct slice reason;
	char text[192];
};

struct queue {
	struct arrival *first, **tail;
	size_t len;
};

struct source {
	struct inbox *inbox;
	const char *queue;
	const char *tag; /* and the name of its health check */
	uint16_t prefetch;
	struct broker_consumer *consumer;
};

enum { SOURCE_REPLIES, SOURCE_DEAD, SOURCES };

struct inbox {
	struct service *service;
	struct store *store;
	struct inbox_hooks hooks;
	struct source sources[SOURCES];
	struct id_key keys[STORE_KEYS_MAX];
	size_t keys_len;
	struct queue waiting;  /* for the next batch */
	struct queue applying; /* in the store's hands */
	struct queue doubtful; /* ids that no key verified: keys are read again */
	size_t buried;	       /* dead letters in the store's hands */
	size_t len, bytes;
	int64_t applied_us;
	struct event *timer;
	struct event *keys_timer; /* asks again when they could not be had */
	struct log_gate gate;
	bool is_asking, is_up, is_stopping, is_large, is_gathering;
	void (*drained)(void *arg);
	void *drained_arg;
};

static void flush(struct inbox *i);
static void flush_soon(struct inbox *i);
static void flush_next(struct inbox *i, size_t len);

/* ---- queues ---- */

static void queue_init(struct queue *q)
{
	*q = (struct queue){.tail = &q->first};
}

static void queue_push(struct queue *q, struct arrival *a)
{
	a->next = NULL;
	*q->tail = a;
	q->tail = &a->next;
	q->len++;
}

static struct arrival *queue_pop(struct queue *q)
{
	struct arrival *a = q->first;

	if (!a)
		return NULL;
	q->first = a->next;
	if (!q->first)
		q->tail = &q->first;
	q->len--;
	return a;
}

/* All of `from` before what is in `to`. */
static void queue_put_back(struct queue *to, struct queue *from)
{
	struct arrival *a;

	while ((a = queue_pop(to)))
		queue_push(from, a);
	while ((a = queue_pop(from)))
		queue_push(to, a);
}

/* ---- bounds ---- */

static void set_prefetch(struct inbox *i, bool is_large)
{
	i->is_large = is_large;
	for (size_t k = 0; k < SOURCES; k++) {
		if (i->sources[k].consumer)
			broker_consumer_set_prefetch(
				i->sources[k].consumer, is_large ? PREFETCH_LARGE : i->sources[k].prefetch);
	}
}

static void count(struct inbox *i, size_t bytes, int sign)
{
	i->len = sign > 0 ? i->len + 1 : i->len - 1;
	i->bytes = sign > 0 ? i->bytes + bytes : i->bytes - bytes;
	if (!i->is_large && i->bytes > BYTES_HIGH)
		set_prefetch(i, true);
	else if (i->is_large && i->bytes < BYTES_LOW)
		set_prefetch(i, false);
}

static void check_drained(struct inbox *i)
{
	void (*drained)(void *arg) = i->drained;

	if (!i->is_stopping || i->len > 0 || !drained)
		return;
	i->drained = NULL;
	drained(i->drained_arg);
}

static void arrival_free(struct arrival *a)
{
	event_done(&a->event);
	free(a);
}

static void finish(struct arrival *a)
{
	struct inbox *i = a->inbox;

	count(i, a->delivery->body.len, -1);
	broker_ack(a->delivery);
	arrival_free(a);
	check_drained(i);
}

/* ---- dead letters ---- */

static void bury(struct arrival *a);

static void on_buried(int rc, void *arg)
{
	struct arrival *a = arg;
	struct inbox *i = a->inbox;

	i->buried--;
	if (rc < 0) {
		queue_push(&i->waiting, a);
		timer_arm(i->timer, RETRY_MS);
		return;
	}
	metrics_add(i->service->metrics, NOTIFIER_DEAD_LETTERS, 1,
		slice_is_set(a->delivery->death_queue) ? "dead" : "replies");
	finish(a);
}

static void bury(struct arrival *a)
{
	struct inbox *i = a->inbox;
	struct store_dead_letter letter = {
		.at_ms = clock_wall_ms(),
		.queue = slice_is_set(a->delivery->death_queue)
				 ? a->delivery->death_queue
				 : slice_text(a->delivery->consumer == i->sources[SOURCE_DEAD].consumer
						      ? TOPOLOGY_DEAD
						      : TOPOLOGY_REPLIES_QUEUE),
		.reason = slice_text(a->text),
		.body = a->delivery->body,
	};

	if (store_dead_letter_add(i->store, &letter, on_buried, a) < 0) {
		queue_push(&i->waiting, a);
		timer_arm(i->timer, RETRY_MS);
		return;
	}
	i->buried++;
}

static void log_unreadable(struct inbox *i, const struct arrival *a)
{
	unsigned suppressed;

	if (!log_gate_pass(&i->gate, LOG_EVERY_MS, &suppressed))
		return;
	log_warn("dead_letter", LOG_TEXT("reason", a->text), LOG_INT("bytes", (int64_t)a->delivery->body.len),
		LOG_INT("suppressed", suppressed));
}

static void make_dead_letter(struct arrival *a, const char *path, const char *reason)
{
	snprintf(a->text, sizeof a->text, "%s%s%s", path, *path ? ": " : "", reason);
	event_done(&a->event);
	a->has_event = false;
	log_unreadable(a->inbox, a);
}

/* ---- committing ---- */

static const char *const kind_names[] = {
	[STORE_EVENT_STARTED] = "started",
	[STORE_EVENT_PROGRESS] = "progress",
	[STORE_EVENT_RETRY] = "retry",
	[STORE_EVENT_SUCCEEDED] = "succeeded",
	[STORE_EVENT_FAILED] = "failed",
	[STORE_EVENT_CANCELED] = "canceled",
	[STORE_EVENT_DEAD] = "dead",
};

static void settle(struct arrival *a, const struct store_applied *applied)
{
	struct inbox *i = a->inbox;

	if (applied->rc < 0) {
		make_dead_letter(a, "", "the store refused it");
		bury(a);
		return;
	}
	metrics_add(i->service->metrics, NOTIFIER_REPLIES, 1, kind_names[a->event.store.kind],
		applied->has_changed ? "applied" : "stale");
	if (applied->has_changed && task_state_is_terminal(applied->state))
		metrics_add(i->service->metrics, NOTIFIER_TASKS, 1, task_state_name(applied->state));
	finish(a);
}

static void on_applied(int rc, const struct store_applied *applied, size_t len, void *arg)
{
	struct inbox *i = arg;
	bool has_due = false;

	if (rc < 0) {
		queue_put_back(&i->waiting, &i->applying);
		timer_arm(i->timer, RETRY_MS);
		return;
	}
	metrics_observe(i->service->metrics, NOTIFIER_COMMIT_SECONDS,
		(double)(clock_mono_us() - i->applied_us) / 1e6);
	for (size_t k = 0; k < len; k++) {
		has_due |= applied[k].has_due;
		settle(queue_pop(&i->applying), &applied[k]);
	}
	if (has_due)
		i->hooks.on_due(i->hooks.arg);
	flush_next(i, len);
}

static void apply(struct inbox *i)
{
	struct store_event events[STORE_EVENTS_MAX];
	size_t len = 0;

	for (struct arrival *a = i->applying.first; a; a = a->next)
		events[len++] = a->event.store;
	i->applied_us = clock_mono_us();
	if (store_apply(i->store, events, len, on_applied, i) < 0) {
		queue_put_back(&i->waiting, &i->applying);
		timer_arm(i->timer, RETRY_MS);
	}
}

/* Takes what waits into the store, one batch on its way at a time. */
static void flush(struct inbox *i)
{
	struct arrival *a;

	if (i->applying.len || !i->is_up)
		return;
	for (size_t left = i->waiting.len; left > 0 && i->applying.len < STORE_EVENTS_MAX; left--) {
		a = queue_pop(&i->waiting);
		if (a->has_event)
			queue_push(&i->applying, a);
		else
			bury(a);
	}
	if (i->applying.len)
		apply(i);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct inbox *i = arg;

	i->is_gathering = false;
	flush(i);
}

/* After the callbacks that the loop still has at hand: deliveries come many at once. */
static void flush_soon(struct inbox *i)
{
	if (i->applying.len || (i->is_gathering && i->waiting.len < STORE_EVENTS_MAX))
		return;
	timer_arm(i->timer, 0);
}

static void flush_next(struct inbox *i, size_t len)
{
	int64_t wait_ms = pace_ms(len);

	if (wait_ms == 0 || i->waiting.len >= STORE_EVENTS_MAX) {
		flush(i);
		return;
	}
	i->is_gathering = true;
	timer_arm(i->timer, wait_ms);
}

/* ---- arriving ---- */

static bool is_genuine(const struct inbox *i, const struct store_event *e)
{
	return id_is_genuine(&e->id, ID_TASK, e->tenant, i->keys, i->keys_len);
}

static void on_keys(int rc, const struct id_key *keys, size_t len, void *arg);

static void ask_keys(struct inbox *i)
{
	if (i->is_asking || !i->is_up)
		return;
	i->is_asking = store_keys(i->store, on_keys, i) == 0;
	if (!i->is_asking)
		timer_arm(i->keys_timer, RETRY_MS);
}

static void on_keys_timer(evutil_socket_t fd, short what, void *arg)
{
	ask_keys(arg);
}

static void judge_doubtful(struct inbox *i)
{
	struct arrival *a;

	while ((a = queue_pop(&i->doubtful))) {
		if (!is_genuine(i, &a->event.store))
			make_dead_letter(a, "id", "was not minted here for this tenant");
		queue_push(&i->waiting, a);
	}
	flush_soon(i);
}

static void arrive(struct arrival *a)
{
	struct inbox *i = a->inbox;

	if (a->has_event && a->event.is_inline) {
		finish(a);
		return;
	}
	if (a->has_event && !is_genuine(i, &a->event.store)) {
		queue_push(&i->doubtful, a);
		ask_keys(i);
		return;
	}
	queue_push(&i->waiting, a);
	flush_soon(i);
}

static int read_message(struct arrival *a, bool is_reply, struct decode_error *error)
{
	struct event_seam seam = {.now_ms = clock_wall_ms(), .random = random_u32()};
	const struct broker_delivery *d = a->delivery;

	return is_reply ? event_from_reply(d->body, &seam, &a->event, error)
			: event_from_dead_letter(d->body, d->death_reason, &seam, &a->event, error);
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	struct source *source = arg;
	struct inbox *i = source->inbox;
	struct decode_error error = {0};
	struct arrival *a = calloc(1, sizeof *a);
	int rc;

	if (!a) {
		broker_reject(d, true);
		return;
	}
	a->inbox = i;
	a->delivery = d;
	count(i, d->body.len, 1);
	rc = read_message(a, source == &i->sources[SOURCE_REPLIES], &error);
	a->has_event = rc == 0;
	if (rc < 0)
		make_dead_letter(a, error.path, rc == -EBADMSG ? error.reason : strerror(-rc));
	arrive(a);
}

/* ---- consuming ---- */

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct source *s = arg;

	service_health(s->inbox->service, s->tag, is_consuming, why);
}

static void start_source(struct source *s)
{
	struct broker_consumer_options opt = {
		.queue = s->queue,
		.tag = s->tag,
		.prefetch = s->prefetch,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = s,
	};

	if (service_consume(s->inbox->service, &opt, &s->consumer) < 0)
		log_error("consume_failed", LOG_TEXT("queue", s->queue));
}

static void resume(struct inbox *i)
{
	for (size_t k = 0; k < SOURCES; k++) {
		if (!i->sources[k].consumer)
			start_source(&i->sources[k]);
		else
			broker_consumer_resume(i->sources[k].consumer);
	}
	flush_soon(i);
}

static void on_keys(int rc, const struct id_key *keys, size_t len, void *arg)
{
	struct inbox *i = arg;

	i->is_asking = false;
	/* Nothing is consumed before they are there, and what waits to be judged by them holds its place. */
	if (rc < 0) {
		timer_arm(i->keys_timer, RETRY_MS);
		return;
	}
	memcpy(i->keys, keys, len * sizeof *keys);
	i->keys_len = len;
	judge_doubtful(i);
	if (!i->is_stopping)
		resume(i);
}

void inbox_set_store(struct inbox *i, bool is_up)
{
	i->is_up = is_up;
	if (is_up) {
		ask_keys(i);
		return;
	}
	for (size_t k = 0; k < SOURCES; k++) {
		if (i->sources[k].consumer)
			broker_consumer_pause(i->sources[k].consumer);
	}
}

void inbox_stop(struct inbox *i, void (*drained)(void *arg), void *arg)
{
	i->is_stopping = true;
	i->drained = drained;
	i->drained_arg = arg;
	for (size_t k = 0; k < SOURCES; k++) {
		if (i->sources[k].consumer)
			broker_consumer_stop(i->sources[k].consumer);
	}
	check_drained(i);
}

size_t inbox_len(const struct inbox *i)
{
	return i->len;
}

/* ---- life ---- */

int inbox_new(struct service *s, struct store *store, const struct inbox_hooks *hooks, struct inbox **out)
{
	struct inbox *i = calloc(1, sizeof *i);

	if (!i)
		return -ENOMEM;
	i->service = s;
	i->store = store;
	i->hooks = *hooks;
	queue_init(&i->waiting);
	queue_init(&i->applying);
	queue_init(&i->doubtful);
	i->sources[SOURCE_REPLIES] = (struct source){
		.inbox = i, .queue = TOPOLOGY_REPLIES_QUEUE, .tag = "replies", .prefetch = PREFETCH};
	i->sources[SOURCE_DEAD] = (struct source){
		.inbox = i, .queue = TOPOLOGY_DEAD, .tag = "dead", .prefetch = STORE_EVENTS_MAX};
	for (size_t k = 0; k < SOURCES; k++)
		service_health(s, i->sources[k].tag, false, "starting");
	i->timer = loop_timer(s->loop, on_timer, i);
	i->keys_timer = loop_timer(s->loop, on_keys_timer, i);
	if (!i->timer || !i->keys_timer) {
		inbox_free(i);
		return -ENOMEM;
	}
	*out = i;
	return 0;
}

/* Nothing that was not committed is acked: RabbitMQ has it again when the connection closes. */
static void drop_all(struct queue *q)
{
	struct arrival *a;

	while ((a = queue_pop(q))) {
		broker_drop(a->delivery);
		arrival_free(a);
	}
}

void inbox_free(struct inbox *i)
{
	if (!i)
		return;
	drop_all(&i->waiting);
	drop_all(&i->applying);
	drop_all(&i->doubtful);
	if (i->timer)
		event_free(i->timer);
	if (i->keys_timer)
		event_free(i->keys_timer);
	free(i);
}
