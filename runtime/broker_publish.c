/* Publishing on one channel with confirms: what is ready, in flight, or waiting to be tried again. */
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "runtime/backoff.h"
#include "runtime/broker_internal.h"
#include "runtime/broker_refusal.h"
#include "runtime/clock.h"

enum {
	WRITES_AT_ONCE = 256, /* before frames are read again: RabbitMQ may say "blocked" */
	WRITABLE_BYTES = 64 << 10,
	FLIGHT_BYTES_MAX = 16 << 20,
	SWEEP_MS = 1000,
	REOPEN_MS = 100,
	GATE_MS = 10000,
	FRAME_OVERHEAD = 256,
	EXPIRATION_LEN = 24,
	MESSAGE_ID_LEN = 32,
	LAZY_MAX = 64,
};

/* ---- lists ---- */

static void list_insert(struct publish_list *list, struct publish *before, struct publish *p)
{
	p->list = list;
	p->next = before;
	p->prev = before ? before->prev : list->last;
	if (p->prev)
		p->prev->next = p;
	else
		list->first = p;
	if (before)
		before->prev = p;
	else
		list->last = p;
	list->len++;
	list->bytes += p->body.len;
}

static void list_remove(struct publish *p)
{
	struct publish_list *list = p->list;

	if (p->prev)
		p->prev->next = p->next;
	else
		list->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	else
		list->last = p->prev;
	list->len--;
	list->bytes -= p->body.len;
	p->list = NULL;
}

static struct publish **bucket_of(struct link_publisher *r, uint64_t tag)
{
	return &r->buckets[tag % PUBLISH_BUCKETS];
}

static struct publish *find(struct link_publisher *r, uint64_t tag)
{
	struct publish *p = *bucket_of(r, tag);

	while (p && p->tag != tag)
		p = p->bucket_next;
	return p;
}

static void flight_add(struct link_publisher *r, struct publish *p)
{
	struct publish **bucket;

	p->tag = r->next_tag++;
	bucket = bucket_of(r, p->tag);
	p->bucket_next = *bucket;
	*bucket = p;
	list_insert(&r->flight, NULL, p);
}

static void flight_remove(struct link_publisher *r, struct publish *p)
{
	struct publish **at = bucket_of(r, p->tag);

	while (*at != p)
		at = &(*at)->bucket_next;
	*at = p->bucket_next;
	list_remove(p);
}

/* ---- ends ---- */

static void send_home(struct link *l, struct publish *p, enum broker_outcome outcome)
{
	if (p->list == &l->publisher.flight)
		flight_remove(&l->publisher, p);
	else if (p->list)
		list_remove(p);
	p->outcome = outcome;
	link_send_home(l, &p->parcel);
}

static bool is_ended(const struct publish *p)
{
	return atomic_load(&p->phase) == PUBLISH_ENDED;
}

static enum broker_outcome unwritten_outcome(const struct publish *p)
{
	return atomic_load(&p->phase) == PUBLISH_WAITING ? BROKER_WITHDRAWN : BROKER_UNKNOWN;
}

/* False: the loop has called it unknown meanwhile. */
static bool mark_confirmed(struct publish *p)
{
	int phase = PUBLISH_WRITTEN;

	return atomic_compare_exchange_strong(&p->phase, &phase, PUBLISH_CONFIRMED);
}

static void on_confirmed(struct link *l, struct publish *p)
{
	struct link_publisher *r = &l->publisher;

	if (p->is_returned || p->persistent || r->lazy.len >= LAZY_MAX || !mark_confirmed(p)) {
		send_home(l, p, p->is_returned ? BROKER_RETURNED : BROKER_CONFIRMED);
		return;
	}
	flight_remove(r, p);
	list_insert(&r->lazy, NULL, p);
}

void link_publish_send_lazy(struct link *l)
{
	while (l->publisher.lazy.first)
		send_home(l, l->publisher.lazy.first, BROKER_CONFIRMED);
}

static void try_later(struct link *l, struct publish *p)
{
	struct link_publisher *r = &l->publisher;
	unsigned left_out;

	flight_remove(r, p);
	p->nacks++;
	p->due_ms = clock_mono_ms() + backoff_ms(BACKOFF_FIRST_MS, BACKOFF_CAP_MS, p->nacks, random_u32());
	if (!r->delayed.first || p->due_ms < r->delayed_ms)
		r->delayed_ms = p->due_ms;
	list_insert(&r->delayed, NULL, p);
	if (log_gate_pass(&l->nack_gate, GATE_MS, &left_out))
		log_warn("broker_nacked", LOG_TEXT("connection", l->name), LOG_SLICE("exchange", p->exchange),
			LOG_SLICE("key", p->routing_key), LOG_INT("suppressed", left_out));
}

static void on_nacked(struct link *l, struct publish *p)
{
	if (p->is_returned)
		send_home(l, p, BROKER_RETURNED);
	else if (p->until_confirmed && !is_ended(p))
		try_later(l, p);
	else
		send_home(l, p, BROKER_NACKED);
}

/* ---- writing ---- */

void link_publish_add(struct link *l, struct publish *p)
{
	struct link_publisher *r = &l->publisher;

	list_insert(&r->ready, NULL, p);
	if (r->sweep_ms == 0)
		r->sweep_ms = clock_mono_ms() + SWEEP_MS;
	if (!p->until_confirmed && (!l->conn || l->is_lost || l->is_blocked))
		send_home(l, p, unwritten_outcome(p));
}

static void set_property(
	amqp_basic_properties_t *p, amqp_flags_t flag, amqp_bytes_t *field, struct slice value)
{
	if (!slice_is_set(value))
		return;
	p->_flags |= flag;
	*field = bytes_of(value);
}

/* Everything a message's properties point into, but for the message itself. */
struct property_memory {
	amqp_table_entry_t headers[BROKER_HEADERS_MAX + 1];
	char expiration[EXPIRATION_LEN];
	char message_id[MESSAGE_ID_LEN];
};

static void make_headers(
	const struct publish *p, struct property_memory *memory, amqp_basic_properties_t *out)
{
	size_t len = p->headers_len;

	for (size_t i = 0; i < len; i++) {
		memory->headers[i] = (amqp_table_entry_t){
			.key = bytes_text(p->headers[i].name),
			.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes_of(p->headers[i].value)},
		};
	}
	if (p->more_keys_len > 0)
		memory->headers[len++] = (amqp_table_entry_t){
			.key = bytes_text("BCC"),
			.value = {.kind = AMQP_FIELD_KIND_ARRAY,
				.value.array = {.num_entries = (int)p->more_keys_len,
					.entries = p->more_keys}},
		};
	if (len == 0)
		return;
	out->_flags |= AMQP_BASIC_HEADERS_FLAG;
	out->headers = (amqp_table_t){.num_entries = (int)len, .entries = memory->headers};
}

static void make_properties(const struct link_publisher *r, const struct publish *p,
	struct property_memory *memory, amqp_basic_properties_t *out)
{
	memset(out, 0, sizeof *out);
	set_property(out, AMQP_BASIC_CONTENT_TYPE_FLAG, &out->content_type, p->content_type);
	set_property(out, AMQP_BASIC_CORRELATION_ID_FLAG, &out->correlation_id, p->correlation_id);
	set_property(out, AMQP_BASIC_REPLY_TO_FLAG, &out->reply_to, p->reply_to);
	set_property(out, AMQP_BASIC_TYPE_FLAG, &out->type, p->type);
	set_property(out, AMQP_BASIC_APP_ID_FLAG, &out->app_id, p->app_id);
	snprintf(memory->message_id, sizeof memory->message_id, "%08x-%llx", r->nonce,
		(unsigned long long)p->tag);
	set_property(out, AMQP_BASIC_MESSAGE_ID_FLAG, &out->message_id, slice_text(memory->message_id));
	if (p->expiration_ms > 0) {
		snprintf(memory->expiration, sizeof memory->expiration, "%lld", (long long)p->expiration_ms);
		set_property(
			out, AMQP_BASIC_EXPIRATION_FLAG, &out->expiration, slice_text(memory->expiration));
	}
	make_headers(p, memory, out);
	out->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
	out->delivery_mode = p->persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT;
	out->timestamp = p->timestamp_s;
}

static void write_one(struct link *l, struct publish *p)
{
	struct link_publisher *r = &l->publisher;
	struct property_memory memory = {0};
	amqp_basic_properties_t properties;
	int rc;

	list_remove(p);
	flight_add(r, p);
	make_properties(r, p, &memory, &properties);
	rc = amqp_basic_publish(l->conn, CHANNEL_PUBLISH, bytes_of(p->exchange), bytes_of(p->routing_key),
		p->mandatory, 0, &properties, bytes_of(p->body));
	if (rc != AMQP_STATUS_OK)
		link_lose(l, "the connection broke: %s", amqp_error_string2(rc));
}

static bool open_channel(struct link *l)
{
	struct link_publisher *r = &l->publisher;

	if (r->is_open)
		return true;
	r->nonce = random_u32();
	r->next_tag = 1;
	r->is_open = link_open_channel(l, CHANNEL_PUBLISH) &&
		     link_send(l, CHANNEL_PUBLISH, AMQP_CONFIRM_SELECT_METHOD, &(amqp_confirm_select_t){0});
	return r->is_open;
}

/* Suspects fly alone, so that the one which closes the channel again is known. */
static bool may_fly(const struct link_publisher *r, const struct publish *p)
{
	if (!r->flight.first)
		return true;
	if (p->is_suspect || r->flight.first->is_suspect)
		return false;
	return r->flight.bytes + p->body.len <= FLIGHT_BYTES_MAX;
}

static bool has_room(struct link *l, const struct publish *p)
{
	struct link_publisher *r = &l->publisher;
	size_t bytes = p->body.len + FRAME_OVERHEAD;
	struct pollfd fd = {.fd = amqp_get_sockfd(l->conn), .events = POLLOUT};

	if (r->writable == 0) {
		if (poll(&fd, 1, 0) <= 0) {
			r->is_stuck = true;
			return false;
		}
		r->writable = WRITABLE_BYTES;
	}
	r->writable -= bytes < r->writable ? bytes : r->writable;
	return true;
}

/* From here on it may be with RabbitMQ; false: its time was over before. */
static bool take_off(struct publish *p)
{
	int phase = PUBLISH_WAITING;

	return atomic_compare_exchange_strong(&p->phase, &phase, PUBLISH_WRITTEN) || phase == PUBLISH_WRITTEN;
}

static bool can_write(const struct link *l, int64_t now_ms)
{
	const struct link_publisher *r = &l->publisher;

	return r->ready.first && !l->is_lost && !l->is_blocked && !r->is_stuck && l->declarer.is_ready &&
	       now_ms >= r->reopen_ms && may_fly(r, r->ready.first);
}

static void cork(const struct link *l, int is_on)
{
	setsockopt(amqp_get_sockfd(l->conn), IPPROTO_TCP, TCP_CORK, &is_on, sizeof is_on);
}

bool link_publish_write(struct link *l, int64_t now_ms)
{
	struct link_publisher *r = &l->publisher;
	bool is_batch = r->ready.first && r->ready.first->next;

	if (!can_write(l, now_ms) || !open_channel(l))
		return false;
	if (is_batch)
		cork(l, 1);
	for (int i = 0; i < WRITES_AT_ONCE && can_write(l, now_ms); i++) {
		struct publish *p = r->ready.first;

		if (!has_room(l, p))
			break;
		if (take_off(p))
			write_one(l, p);
		else
			send_home(l, p, BROKER_WITHDRAWN);
	}
	if (is_batch)
		cork(l, 0);
	return can_write(l, now_ms);
}

/* ---- time ---- */

static void sweep(struct link *l, struct publish_list *list)
{
	for (struct publish *p = list->first, *next; p; p = next) {
		next = p->next;
		if (is_ended(p))
			send_home(l, p, BROKER_UNKNOWN);
	}
}

static void wake_delayed(struct link_publisher *r, int64_t now_ms)
{
	r->delayed_ms = INT64_MAX;
	for (struct publish *p = r->delayed.first, *next; p; p = next) {
		next = p->next;
		if (p->due_ms <= now_ms) {
			list_remove(p);
			list_insert(&r->ready, NULL, p);
		} else if (p->due_ms < r->delayed_ms) {
			r->delayed_ms = p->due_ms;
		}
	}
}

static bool is_idle(const struct link_publisher *r)
{
	return !r->ready.first && !r->flight.first && !r->delayed.first && !r->lazy.first;
}

/* Those that the loop has ended come home even if no word of them ever comes. */
void link_publish_run(struct link *l, int64_t now_ms)
{
	struct link_publisher *r = &l->publisher;

	if (r->delayed.first && now_ms >= r->delayed_ms)
		wake_delayed(r, now_ms);
	if (now_ms >= r->reopen_ms)
		r->reopen_ms = 0;
	if (r->sweep_ms == 0 || now_ms < r->sweep_ms)
		return;
	sweep(l, &r->ready);
	sweep(l, &r->flight);
	sweep(l, &r->delayed);
	link_publish_send_lazy(l);
	r->sweep_ms = is_idle(r) ? 0 : now_ms + SWEEP_MS;
}

int64_t link_publish_due(const struct link *l)
{
	const struct link_publisher *r = &l->publisher;
	int64_t due = INT64_MAX;

	if (r->sweep_ms > 0)
		due = r->sweep_ms;
	if (r->delayed.first && r->delayed_ms < due)
		due = r->delayed_ms;
	if (r->ready.first && r->reopen_ms > 0 && r->reopen_ms < due)
		due = r->reopen_ms;
	return due;
}

/* ---- RabbitMQ's word ---- */

static void on_ack(
	struct link *l, uint64_t tag, bool multiple, void (*each)(struct link *l, struct publish *p))
{
	struct link_publisher *r = &l->publisher;
	struct publish *p;

	if (!multiple) {
		p = find(r, tag);
		if (p)
			each(l, p);
		return;
	}
	while ((p = r->flight.first) && (tag == 0 || p->tag <= tag))
		each(l, p);
}

/* "<nonce>-<tag>", as made above; what is not of this incarnation of the channel is nobody's. */
static struct publish *find_returned(struct link_publisher *r, amqp_bytes_t message_id)
{
	char text[MESSAGE_ID_LEN];
	unsigned nonce;
	unsigned long long tag;

	if (message_id.len >= sizeof text)
		return NULL;
	memcpy(text, message_id.bytes, message_id.len);
	text[message_id.len] = '\0';
	if (sscanf(text, "%8x-%llx", &nonce, &tag) != 2 || nonce != r->nonce)
		return NULL;
	return find(r, tag);
}

static void on_return_header(struct link *l, const amqp_frame_t *frame)
{
	struct link_publisher *r = &l->publisher;
	const amqp_basic_properties_t *p = frame->payload.properties.decoded;
	struct publish *returned;

	r->returned.has_header = true;
	r->returned.left = frame->payload.properties.body_size;
	if (!(p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG))
		return;
	returned = find_returned(r, p->message_id);
	if (returned)
		returned->is_returned = true;
}

static void on_content(struct link *l, const amqp_frame_t *frame)
{
	struct link_publisher *r = &l->publisher;

	if (!r->returned.is_open)
		return;
	if (frame->frame_type == AMQP_FRAME_HEADER)
		on_return_header(l, frame);
	else if (frame->payload.body_fragment.len <= r->returned.left)
		r->returned.left -= frame->payload.body_fragment.len;
	else
		link_lose(l, "RabbitMQ returned more than it announced");
	if (r->returned.has_header && r->returned.left == 0)
		memset(&r->returned, 0, sizeof r->returned);
}

static void forget_flight_tags(struct link_publisher *r)
{
	memset(r->buckets, 0, sizeof r->buckets);
	memset(&r->returned, 0, sizeof r->returned);
	r->is_open = false;
}

/*
 * Nothing in flight will be answered any more. What must be confirmed is sent again, before all else and in the old
 * order; for the rest nobody knows.
 */
static void ground_flight(struct link *l, bool are_suspects)
{
	struct link_publisher *r = &l->publisher;
	struct publish *before = r->ready.first;

	for (struct publish *p = r->flight.first, *next; p; p = next) {
		next = p->next;
		if (!p->until_confirmed || is_ended(p)) {
			send_home(l, p, BROKER_UNKNOWN);
			continue;
		}
		flight_remove(r, p);
		p->is_returned = false;
		p->is_suspect = p->is_suspect || are_suspects;
		list_insert(&r->ready, before, p);
	}
	forget_flight_tags(r);
}

static void log_close(struct link *l, uint16_t code, const char *text)
{
	unsigned left_out;

	if (log_gate_pass(&l->close_gate, GATE_MS, &left_out))
		log_warn("broker_publish_refused", LOG_TEXT("connection", l->name), LOG_TEXT("why", text),
			LOG_TEXT("mend", refusal_mend(REFUSAL_PUBLISH, code, text)),
			LOG_INT("in_flight", (int64_t)l->publisher.flight.len),
			LOG_INT("suppressed", left_out));
}

static void on_close(struct link *l, const amqp_channel_close_t *m)
{
	struct link_publisher *r = &l->publisher;
	char text[REPLY_TEXT_MAX];

	link_close_text(m->reply_code, m->reply_text, text, sizeof text);
	link_send(l, CHANNEL_PUBLISH, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
	log_close(l, m->reply_code, text);
	if (r->flight.len == 1)
		send_home(l, r->flight.first, BROKER_NACKED);
	ground_flight(l, true);
	r->reopen_ms = clock_mono_ms() + REOPEN_MS;
	if (m->reply_code == AMQP_NOT_FOUND)
		link_declare_again(l);
}

static void on_method(struct link *l, const amqp_method_t *method)
{
	switch (method->id) {
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *m = method->decoded;

		on_ack(l, m->delivery_tag, m->multiple, on_confirmed);
		break;
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *m = method->decoded;

		on_ack(l, m->delivery_tag, m->multiple, on_nacked);
		break;
	}
	case AMQP_BASIC_RETURN_METHOD: l->publisher.returned.is_open = true; break;
	case AMQP_CHANNEL_CLOSE_METHOD: on_close(l, method->decoded); break;
	default: break;
	}
}

void link_publish_frame(struct link *l, const amqp_frame_t *frame)
{
	if (frame->frame_type == AMQP_FRAME_METHOD)
		on_method(l, &frame->payload.method);
	else
		on_content(l, frame);
}

/* ---- the connection goes ---- */

void link_publish_withdraw(struct link *l)
{
	for (struct publish *p = l->publisher.ready.first, *next; p; p = next) {
		next = p->next;
		if (!p->until_confirmed || is_ended(p))
			send_home(l, p, unwritten_outcome(p));
	}
}

void link_publish_lost(struct link *l)
{
	struct link_publisher *r = &l->publisher;

	ground_flight(l, false);
	link_publish_withdraw(l);
	link_publish_send_lazy(l);
	r->is_stuck = false;
	r->writable = 0;
	r->reopen_ms = 0;
}

void link_publish_done(struct link *l)
{
	struct publish_list *lists[] = {
		&l->publisher.ready, &l->publisher.flight, &l->publisher.delayed, &l->publisher.lazy};

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		for (struct publish *p = lists[i]->first, *next; p; p = next) {
			next = p->next;
			publish_free(p);
		}
	}
}
