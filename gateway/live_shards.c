/*
 * The hub's side of the broker: a queue of its own, bound to the shards that somebody follows, and the messages in it.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/live_internal.h"
#include "gateway/own_queue.h"
#include "runtime/clock.h"

enum { LINGER_MS = 30000, TIDY_MS = 1000, LOG_EVERY_MS = 10000 };

unsigned live_shard_of(struct slice of)
{
	return topology_event_shard(of);
}

/* ---- binding ---- */

int live_shard_ref(struct live *l, unsigned shard)
{
	struct shard *s = &l->shards[shard];
	char key[TOPOLOGY_SHARD_KEY_LEN];
	int rc;

	if (s->state == SHARD_UNBOUND) {
		topology_shard_key(shard, key);
		rc = broker_bind(l->config.service->consume, l->queue, TOPOLOGY_EVENTS_EXCHANGE, key);
		if (rc < 0)
			return rc;
		s->state = SHARD_BINDING;
		l->shards_len++;
	}
	s->refs++;
	return 0;
}

void live_shard_unref(struct live *l, unsigned shard)
{
	struct shard *s = &l->shards[shard];

	if (--s->refs > 0)
		return;
	s->idle_since_ms = clock_mono_ms();
	/* Not when it can be let go: whoever follows a task meanwhile relies on the tick. */
	if (!evtimer_pending(l->tick, NULL))
		timer_arm(l->tick, TIDY_MS);
}

static bool unbind(struct live *l, unsigned shard)
{
	char key[TOPOLOGY_SHARD_KEY_LEN];

	topology_shard_key(shard, key);
	if (broker_unbind(l->config.service->consume, l->queue, TOPOLOGY_EVENTS_EXCHANGE, key) < 0)
		return false;
	l->shards[shard].state = SHARD_UNBOUND;
	l->shards_len--;
	live_marks_forget(&l->marks, shard);
	return true;
}

/* Whoever follows one task often follows the next one soon. */
bool live_shards_tidy(struct live *l, int64_t now_ms)
{
	bool is_left = false;

	for (unsigned i = 0; l->shards_len > 0 && i < TOPOLOGY_EVENT_SHARDS; i++) {
		const struct shard *s = &l->shards[i];

		if (s->state == SHARD_UNBOUND || s->refs > 0)
			continue;
		if (now_ms - s->idle_since_ms < LINGER_MS || !unbind(l, i))
			is_left = true;
	}
	return is_left;
}

/* From here on everything comes; what came before is in the store. */
static void catch_up(struct live *l, unsigned shard)
{
	struct watched *w;

	live_marks_forget(&l->marks, shard);
	LIST_FOREACH (w, &l->shards[shard].watched, in_shard) {
		w->is_cut = true;
		live_want(w, LIVE_READ_ROW);
	}
	live_pump(l);
	live_tell_start(l, shard);
}

static void on_bound(const char *queue, const char *key, void *arg)
{
	struct live *l = arg;
	unsigned long shard = strtoul(key, NULL, 10);

	if (strcmp(queue, l->queue) != 0 || shard >= TOPOLOGY_EVENT_SHARDS ||
		l->shards[shard].state == SHARD_UNBOUND)
		return;
	l->shards[shard].state = SHARD_BOUND;
	catch_up(l, (unsigned)shard);
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct live *l = arg;

	if (!is_consuming) {
		for (unsigned i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
			if (l->shards[i].state == SHARD_BOUND)
				l->shards[i].state = SHARD_BINDING;
		live_marks_done(&l->marks);
	}
	if (!is_consuming && l->is_connected)
		log_warn("live_lost", LOG_TEXT("why", why));
	else if (is_consuming && !l->is_connected)
		log_info("live_connected", LOG_TEXT("queue", broker_consumer_queue(l->consumer)));
	l->is_connected = is_consuming;
}

/* ---- messages ---- */

/*
 * A message bears the marks of all its shards, also of those that we are not bound to. Something lost may have been of
 * any task there.
 */
static void read_marks(struct live *l, const struct live_message *m)
{
	struct live_publisher *p = live_marks_publisher(&l->marks, m->publisher);
	struct live_mark mark;

	for (size_t i = 0; p && live_mark_at(m->marks, i, &mark); i++) {
		if (mark.shard >= TOPOLOGY_EVENT_SHARDS || l->shards[mark.shard].state != SHARD_BOUND ||
			!live_marks_note(p, &mark))
			continue;
		l->stats.gaps++;
		catch_up(l, mark.shard);
		/* It forgot this one, too. */
		(void)live_marks_note(p, &mark);
	}
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	struct live *l = arg;
	struct decode_error error;
	struct live_message m;
	struct slice event;
	unsigned suppressed;
	int rc = live_message_decode(d->body, &m, &error);

	if (rc < 0 && log_gate_pass(&l->gate, LOG_EVERY_MS, &suppressed))
		log_warn("live_message_refused", LOG_TEXT("path", error.path),
			LOG_TEXT("reason", error.reason), LOG_INT("suppressed", suppressed));
	if (rc == 0) {
		live_enter(l);
		read_marks(l, &m);
		for (size_t at = 0; live_next_event(m.events, &at, &event);)
			live_on_event(l, event);
		live_leave(l);
		live_pump(l);
	}
	broker_drop(d);
}

int live_connect(struct live *l)
{
	struct broker *b = l->config.service->consume;
	const struct broker_consumer_options opt = {
		.queue = l->queue,
		.tag = "live-events",
		.exclusive = true,
		.no_ack = true,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = l,
	};
	int rc = own_queue_declare(l->config.service, topology_live, l->queue);

	if (rc < 0)
		return rc;
	broker_on_bound(b, on_bound, l);
	return service_consume(l->config.service, &opt, &l->consumer);
}
