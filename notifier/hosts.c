#include "notifier/hosts.h"

#include <errno.h>
#include <stdlib.h>

enum {
	BUCKETS = 1024,
	KNOWN_MAX = 4096, /* hosts; beyond them one without visits is forgotten */
	SHARE = 4,	  /* of what is free one host gets a quarter at most */
	WAIT_MIN_MS = 100,
	WAIT_MAX_MS = 60000,
	FULL_MS = 1000,
	SILENCE_MS = 250,      /* shorter ones may be of anybody's making */
	US_PER_MS_GIVEN = 750, /* of each millisecond that a call takes */
};

struct host {
	struct host *next;	 /* in its bucket */
	struct host *next_queue; /* among those with a queue */
	struct breaker breaker;
	size_t calls, queued, bytes;
	size_t trust; /* calls that it may have at the same time: few until it answers */
	struct visit *first, *last;
	int64_t took_ms;       /* of a call, smoothed */
	int64_t busy_since_ms; /* the last call that ended, or the first that began */
	int64_t slot_us;       /* up to when its time is given to those put off */
	int64_t step_us;       /* of it to each of them */
	size_t origin_len;
	uint8_t origin[];
};

struct hosts {
	struct hosts_policy policy;
	struct host *buckets[BUCKETS];
	struct host *queues, *last_queue; /* hosts with a queue, in the order of their turns */
	size_t len, queues_len;
	size_t calls, queued, bytes, open;
};

int hosts_new(const struct hosts_policy *policy, struct hosts **out)
{
	struct hosts *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->policy = *policy;
	*out = t;
	return 0;
}

void hosts_free(struct hosts *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (t->buckets[i]) {
			struct host *h = t->buckets[i];

			t->buckets[i] = h->next;
			free(h);
		}
	}
	free(t);
}

size_t hosts_queued(const struct hosts *t)
{
	return t->queued;
}

size_t hosts_bytes(const struct hosts *t)
{
	return t->bytes;
}

size_t hosts_open_circuits(const struct hosts *t)
{
	return t->open;
}

size_t hosts_len(const struct hosts *t)
{
	return t->len;
}

/* ---- the table ---- */

static size_t bucket_of(struct slice origin)
{
	return slice_hash(origin) % BUCKETS;
}

static bool is_idle(const struct host *h)
{
	return h->calls == 0 && h->queued == 0;
}

static void forget(struct hosts *t, struct host *h)
{
	struct host **at = &t->buckets[bucket_of(slice_of(h->origin, h->origin_len))];

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	t->open -= breaker_is_open(&h->breaker);
	t->len--;
	free(h);
}

static bool make_room(struct hosts *t)
{
	if (t->len < KNOWN_MAX)
		return true;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct host *h = t->buckets[i]; h; h = h->next) {
			if (is_idle(h)) {
				forget(t, h);
				return true;
			}
		}
	}
	return false;
}

static struct host *find(const struct hosts *t, struct slice origin)
{
	struct host *h = t->buckets[bucket_of(origin)];

	while (h && !slice_is_equal(slice_of(h->origin, h->origin_len), origin))
		h = h->next;
	return h;
}

/* As many as may fail before its circuit opens. */
static size_t first_trust(const struct hosts *t)
{
	size_t failures = (size_t)t->policy.circuit.failures;

	return failures < t->policy.host_calls_max ? failures : t->policy.host_calls_max;
}

static struct host *find_or_add(struct hosts *t, struct slice origin)
{
	struct host *h = find(t, origin);
	size_t bucket;

	if (h || !make_room(t))
		return h;
	h = calloc(1, sizeof *h + origin.len);
	if (!h)
		return NULL;
	h->origin_len = origin.len;
	h->trust = first_trust(t);
	memcpy(h->origin, origin.data, origin.len);
	bucket = bucket_of(origin);
	h->next = t->buckets[bucket];
	t->buckets[bucket] = h;
	t->len++;
	return h;
}

static void forget_if_ordinary(struct hosts *t, struct host *h)
{
	if (is_idle(h) && breaker_is_fresh(&h->breaker))
		forget(t, h);
}

/* ---- queues ---- */

static void add_queue(struct hosts *t, struct host *h)
{
	h->next_queue = NULL;
	if (t->queues)
		t->last_queue->next_queue = h;
	else
		t->queues = h;
	t->last_queue = h;
	t->queues_len++;
}

static struct host *take_queue(struct hosts *t)
{
	struct host *h = t->queues;

	t->queues = h->next_queue;
	t->queues_len--;
	return h;
}

static void push(struct hosts *t, struct host *h, struct visit *v)
{
	v->next = NULL;
	if (h->first)
		h->last->next = v;
	else
		h->first = v;
	h->last = v;
	h->queued++;
	t->queued++;
	if (h->queued == 1)
		add_queue(t, h);
}

/* The host is none of those with a queue while this is done. */
static struct visit *pop(struct hosts *t, struct host *h)
{
	struct visit *v = h->first;

	h->first = v->next;
	h->queued--;
	t->queued--;
	return v;
}

/* ---- turns ---- */

static void take_bytes(struct hosts *t, struct visit *v)
{
	v->host->bytes += v->bytes;
	t->bytes += v->bytes;
}

static void give_bytes(struct hosts *t, struct visit *v)
{
	v->host->bytes -= v->bytes;
	t->bytes -= v->bytes;
}

/*
 * The time given to each: a little less than the host has been needing, as one too early is queued or put off once more,
 * and one too late leaves the host idle. The longer it has been silent, the slower it is taken to be.
 */
static int64_t step_us_of(const struct host *h, int64_t now_ms)
{
	int64_t silent_ms = h->calls > 0 ? now_ms - h->busy_since_ms : 0;
	int64_t took_ms = silent_ms > SILENCE_MS && silent_ms > h->took_ms ? silent_ms : h->took_ms;
	int64_t lanes = h->trust > 0 ? (int64_t)h->trust : 1;

	return (took_ms > 0 ? took_ms : 1) * US_PER_MS_GIVEN / lanes + 1;
}

/* One after the other. Those put off before count with what the host is known to need now: it may have been a hiccup. */
static int64_t put_off_ms(const struct hosts *t, struct host *h, int64_t now_ms)
{
	int64_t step_us = step_us_of(h, now_ms);
	int64_t from_us = now_ms * 1000 + (int64_t)h->queued * step_us;
	int64_t before = h->slot_us > from_us ? (h->slot_us - from_us) / h->step_us : 0;
	int64_t wait_ms;

	h->step_us = step_us;
	h->slot_us = from_us + (before + 1) * step_us;
	if (h->slot_us > (now_ms + WAIT_MAX_MS) * 1000)
		h->slot_us = (now_ms + WAIT_MAX_MS) * 1000;
	wait_ms = h->slot_us / 1000 - now_ms;
	return wait_ms < WAIT_MIN_MS ? WAIT_MIN_MS : wait_ms;
}

static bool has_slot(const struct hosts *t, const struct host *h)
{
	return t->calls < t->policy.calls_max && h->calls < h->trust;
}

static bool has_memory(const struct hosts *t, const struct host *h, size_t bytes)
{
	size_t visits = t->calls + t->queued;

	if (visits > 0 && t->bytes + bytes > t->policy.bytes_max)
		return false;
	return is_idle(h) || h->bytes + bytes <= t->policy.bytes_max / SHARE;
}

static bool may_queue(const struct hosts *t, const struct host *h)
{
	size_t visits = t->calls + t->queued;

	return visits < t->policy.visits_max && h->queued < (t->policy.visits_max - visits) / SHARE;
}

static enum visit_turn go(struct hosts *t, struct visit *v, enum breaker_pass pass, int64_t now_ms)
{
	struct host *h = v->host;

	v->is_probe = pass == BREAKER_PROBE;
	v->since_ms = now_ms;
	if (h->calls == 0)
		h->busy_since_ms = now_ms;
	h->calls++;
	t->calls++;
	return VISIT_GO;
}

static enum visit_turn enter(struct hosts *t, struct visit *v, int64_t now_ms, int64_t *wait_ms)
{
	struct host *h = v->host;
	enum breaker_pass pass;

	if (!has_memory(t, h, v->bytes)) {
		*wait_ms = put_off_ms(t, h, now_ms);
		return VISIT_BUSY;
	}
	if (has_slot(t, h) && h->queued == 0) {
		pass = breaker_ask(&h->breaker, &t->policy.circuit, now_ms, wait_ms);
		return pass == BREAKER_WAIT ? VISIT_CLOSED : go(t, v, pass, now_ms);
	}
	if (breaker_is_open(&h->breaker) || !may_queue(t, h)) {
		*wait_ms = put_off_ms(t, h, now_ms);
		return breaker_is_open(&h->breaker) ? VISIT_CLOSED : VISIT_BUSY;
	}
	v->since_ms = now_ms;
	push(t, h, v);
	return VISIT_QUEUED;
}

enum visit_turn hosts_enter(
	struct hosts *t, struct slice origin, struct visit *v, size_t bytes, int64_t now_ms, int64_t *wait_ms)
{
	enum visit_turn turn;

	*v = (struct visit){.host = find_or_add(t, origin), .bytes = bytes};
	if (!v->host) {
		*wait_ms = FULL_MS;
		return VISIT_BUSY;
	}
	turn = enter(t, v, now_ms, wait_ms);
	if (turn == VISIT_GO || turn == VISIT_QUEUED)
		take_bytes(t, v);
	else
		forget_if_ordinary(t, v->host);
	return turn;
}

static void learn(
	struct hosts *t, struct host *h, const struct visit *v, enum response_host word, int64_t now_ms)
{
	bool was_open = breaker_is_open(&h->breaker);

	switch (word) {
	case RESPONSE_HOST_ANSWERED:
		breaker_answered(&h->breaker);
		h->trust += h->trust < t->policy.host_calls_max;
		break;
	case RESPONSE_HOST_FAILED:
		breaker_failed(&h->breaker, &t->policy.circuit, now_ms);
		h->trust = first_trust(t);
		break;
	case RESPONSE_HOST_UNASKED:
		if (v->is_probe)
			breaker_dropped(&h->breaker);
		break;
	}
	t->open += (size_t)breaker_is_open(&h->breaker) - (size_t)was_open;
}

void hosts_leave(struct hosts *t, struct visit *v, enum response_host word, int64_t now_ms)
{
	struct host *h = v->host;

	learn(t, h, v, word, now_ms);
	h->took_ms = h->took_ms ? (3 * h->took_ms + (now_ms - v->since_ms)) / 4 : now_ms - v->since_ms;
	h->busy_since_ms = now_ms;
	h->calls--;
	t->calls--;
	give_bytes(t, v);
	forget_if_ordinary(t, h);
}

/* VISIT_QUEUED: it stays. */
static enum visit_turn turn_of(struct hosts *t, struct visit *v, int64_t now_ms, int64_t *wait_ms)
{
	struct host *h = v->host;

	if (breaker_is_open(&h->breaker) && now_ms < h->breaker.open_until_ms) {
		*wait_ms = h->breaker.open_until_ms - now_ms;
		return VISIT_CLOSED;
	}
	if (has_slot(t, h)) {
		enum breaker_pass pass = breaker_ask(&h->breaker, &t->policy.circuit, now_ms, wait_ms);

		return pass == BREAKER_WAIT ? VISIT_CLOSED : go(t, v, pass, now_ms);
	}
	if (now_ms - v->since_ms < t->policy.queued_max_ms)
		return VISIT_QUEUED;
	*wait_ms = put_off_ms(t, h, now_ms);
	return VISIT_BUSY;
}

struct visit *hosts_next(struct hosts *t, int64_t now_ms, enum visit_turn *turn, int64_t *wait_ms)
{
	for (size_t left = t->queues_len; left > 0; left--) {
		struct host *h = take_queue(t);
		struct visit *v = h->first;

		*turn = turn_of(t, v, now_ms, wait_ms);
		if (*turn != VISIT_QUEUED)
			pop(t, h);
		if (h->queued > 0)
			add_queue(t, h);
		if (*turn == VISIT_QUEUED)
			continue;
		if (*turn != VISIT_GO) {
			give_bytes(t, v);
			forget_if_ordinary(t, h);
		}
		return v;
	}
	return NULL;
}

struct visit *hosts_drain(struct hosts *t)
{
	struct host *h;
	struct visit *v;

	if (!t->queues)
		return NULL;
	h = take_queue(t);
	v = pop(t, h);
	if (h->queued > 0)
		add_queue(t, h);
	give_bytes(t, v);
	forget_if_ordinary(t, h);
	return v;
}
