/* Publishing, the loop side: limits, copies, deadlines, outcomes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/broker_loop.h"
#include "runtime/clock.h"

#define HEADERS_BYTES_MAX ((size_t)32 << 10)

const char *broker_outcome_name(enum broker_outcome outcome)
{
	static const char *const names[] = {
		[BROKER_CONFIRMED] = "confirmed",
		[BROKER_RETURNED] = "returned",
		[BROKER_NACKED] = "nacked",
		[BROKER_WITHDRAWN] = "withdrawn",
		[BROKER_UNKNOWN] = "unknown",
	};

	return names[outcome];
}

static void publish_link(struct broker *b, struct publish *p)
{
	p->older = b->publishes;
	if (p->older)
		p->older->newer = p;
	b->publishes = p;
	b->publishes_len++;
	b->publishes_bytes += p->body.len;
}

static void publish_unlink(struct broker *b, struct publish *p)
{
	if (p->newer)
		p->newer->older = p->older;
	else
		b->publishes = p->older;
	if (p->older)
		p->older->newer = p->newer;
	b->publishes_len--;
	b->publishes_bytes -= p->body.len;
}

static void publish_count(struct broker_stats *stats, enum broker_outcome outcome)
{
	switch (outcome) {
	case BROKER_CONFIRMED: stats->confirmed++; break;
	case BROKER_RETURNED: stats->returned++; break;
	case BROKER_NACKED: stats->nacked++; break;
	case BROKER_WITHDRAWN: break;
	case BROKER_UNKNOWN: stats->unknown++; break;
	}
}

static void publish_tell(struct broker *b, struct publish *p, enum broker_outcome outcome)
{
	broker_publish_cb *cb = p->cb;

	if (!cb)
		return;
	p->cb = NULL;
	event_del(&p->timeout);
	publish_count(&b->stats, outcome);
	cb(outcome, p->arg);
}

/* The thread may hold it or be stuck with it: only the word is given now, the memory comes home later. */
static void on_publish_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct publish *p = arg;
	struct broker *b = p->broker;
	static const enum broker_outcome outcomes[] = {
		[PUBLISH_WAITING] = BROKER_WITHDRAWN,
		[PUBLISH_WRITTEN] = BROKER_UNKNOWN,
		[PUBLISH_CONFIRMED] = BROKER_CONFIRMED,
		[PUBLISH_ENDED] = BROKER_UNKNOWN,
	};
	int phase = atomic_exchange(&p->phase, PUBLISH_ENDED);

	broker_enter(b);
	publish_tell(b, p, outcomes[phase]);
	broker_leave(b);
}

void broker_publish_home(struct broker *b, struct parcel *parcel)
{
	struct publish *p = (struct publish *)parcel;

	publish_unlink(b, p);
	publish_tell(b, p, p->outcome);
	publish_free(p);
}

static bool is_short(struct slice s)
{
	return s.len <= SHORT_MAX;
}

static int publish_check(const struct broker *b, const struct broker_message *m)
{
	size_t headers_bytes = 0;

	assert(m->headers_len <= BROKER_HEADERS_MAX && m->more_keys_len <= BROKER_KEYS_MAX);
	if (m->body.len > b->message_max)
		return -EMSGSIZE;
	if (!is_short(slice_text(m->exchange)) || !is_short(m->routing_key) ||
		!is_short(slice_text(m->content_type)) || !is_short(m->correlation_id) ||
		!is_short(m->reply_to) || !is_short(m->type) || !is_short(slice_text(m->app_id)))
		return -EMSGSIZE;
	for (size_t i = 0; i < m->headers_len; i++) {
		if (!is_short(slice_text(m->headers[i].name)))
			return -EMSGSIZE;
		headers_bytes += strlen(m->headers[i].name) + m->headers[i].value.len;
	}
	for (size_t i = 0; i < m->more_keys_len; i++) {
		if (!is_short(m->more_keys[i]))
			return -EMSGSIZE;
		headers_bytes += m->more_keys[i].len;
	}
	if (headers_bytes > HEADERS_BYTES_MAX)
		return -EMSGSIZE;
	if (!m->until_confirmed && b->state != BROKER_UP)
		return -ENOTCONN;
	if (b->publishes_len >= b->queue_max || m->body.len > b->bytes_max - b->publishes_bytes)
		return -EAGAIN;
	return 0;
}

static size_t publish_size(const struct broker_message *m)
{
	size_t size = sizeof(struct publish) + text_size(m->exchange) + m->routing_key.len +
		      text_size(m->content_type) + m->correlation_id.len + m->reply_to.len + m->type.len +
		      text_size(m->app_id);

	for (size_t i = 0; i < m->headers_len; i++)
		size += text_size(m->headers[i].name) + m->headers[i].value.len;
	for (size_t i = 0; i < m->more_keys_len; i++)
		size += sizeof(amqp_field_value_t) + m->more_keys[i].len;
	return m->body_owned ? size : size + m->body.len;
}

static void keep_keys(struct publish *p, const struct broker_message *m, uint8_t **at)
{
	p->more_keys = (amqp_field_value_t *)(void *)p->storage;
	p->more_keys_len = m->more_keys_len;
	*at += m->more_keys_len * sizeof *p->more_keys;
	for (size_t i = 0; i < m->more_keys_len; i++)
		p->more_keys[i] = (amqp_field_value_t){
			.kind = AMQP_FIELD_KIND_UTF8,
			.value.bytes = bytes_of(broker_keep(at, m->more_keys[i])),
		};
}

static void publish_fill(struct publish *p, const struct broker_message *m)
{
	uint8_t *at = p->storage;

	keep_keys(p, m, &at);
	p->exchange = broker_keep(&at, slice_text(m->exchange ? m->exchange : ""));
	p->routing_key = broker_keep(&at, m->routing_key);
	p->content_type = broker_keep(&at, slice_text(m->content_type));
	p->correlation_id = broker_keep(&at, m->correlation_id);
	p->reply_to = broker_keep(&at, m->reply_to);
	p->type = broker_keep(&at, m->type);
	p->app_id = broker_keep(&at, slice_text(m->app_id));
	for (size_t i = 0; i < m->headers_len; i++) {
		p->headers[i].name = broker_keep_text(&at, m->headers[i].name);
		p->headers[i].value = broker_keep(&at, m->headers[i].value);
	}
	p->headers_len = m->headers_len;
	p->body = m->body_owned ? m->body : broker_keep(&at, m->body);
	p->body_owned = m->body_owned;
	p->expiration_ms = m->expiration_ms;
	p->timestamp_s = (uint64_t)(clock_wall_ms() / 1000);
	p->persistent = m->persistent;
	p->mandatory = m->mandatory;
	p->until_confirmed = m->until_confirmed;
}

int broker_publish(struct broker *b, const struct broker_message *m, broker_publish_cb *cb, void *arg)
{
	struct publish *p;
	int rc = publish_check(b, m);

	if (rc < 0)
		return rc;
	p = malloc(publish_size(m));
	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof *p);
	publish_fill(p, m);
	p->parcel.kind = PARCEL_PUBLISH;
	p->broker = b;
	p->cb = cb;
	p->arg = arg;
	evtimer_assign(&p->timeout, loop_base(b->loop), on_publish_timeout, p);
	if (m->timeout_ms > 0)
		timer_arm(&p->timeout, m->timeout_ms);
	publish_link(b, p);
	b->stats.published++;
	broker_post(b, &p->parcel);
	return 0;
}
