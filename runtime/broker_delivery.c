/* From RabbitMQ's properties and headers to one delivery in one piece of memory. */
#include <stdlib.h>

#include "runtime/broker_internal.h"

/* What is looked for in the headers, borrowed from the frame. */
struct found {
	int64_t delivery_count;
	int64_t stream_offset;
	struct slice death_reason, death_queue;
	struct slice traceparent, tracestate;
};

static struct slice slice_of_bytes(amqp_bytes_t b)
{
	return slice_of(b.bytes, b.len);
}

static bool is_key(const amqp_table_entry_t *e, const char *name)
{
	return slice_is_text(slice_of_bytes(e->key), name);
}

static void take_number(const amqp_field_value_t *v, int64_t *out)
{
	switch (v->kind) {
	case AMQP_FIELD_KIND_I8: *out = (int)v->value.i8; break;
	case AMQP_FIELD_KIND_U8: *out = v->value.u8; break;
	case AMQP_FIELD_KIND_I16: *out = v->value.i16; break;
	case AMQP_FIELD_KIND_U16: *out = v->value.u16; break;
	case AMQP_FIELD_KIND_I32: *out = v->value.i32; break;
	case AMQP_FIELD_KIND_U32: *out = v->value.u32; break;
	case AMQP_FIELD_KIND_I64:
	case AMQP_FIELD_KIND_U64: *out = v->value.i64; break;
	default: break;
	}
}

static void take_text(const amqp_field_value_t *v, struct slice *out)
{
	if (v->kind == AMQP_FIELD_KIND_UTF8 || v->kind == AMQP_FIELD_KIND_BYTES)
		*out = slice_of_bytes(v->value.bytes);
}

/* x-death: a table for each queue and reason, the latest first. */
static void take_death(const amqp_field_value_t *v, struct found *f)
{
	const amqp_array_t *deaths = &v->value.array;
	const amqp_table_t *latest;

	if (v->kind != AMQP_FIELD_KIND_ARRAY || deaths->num_entries < 1 ||
		deaths->entries[0].kind != AMQP_FIELD_KIND_TABLE)
		return;
	latest = &deaths->entries[0].value.table;
	for (int i = 0; i < latest->num_entries; i++) {
		const amqp_table_entry_t *e = &latest->entries[i];

		if (is_key(e, "reason") && !slice_is_set(f->death_reason))
			take_text(&e->value, &f->death_reason);
		else if (is_key(e, "queue") && !slice_is_set(f->death_queue))
			take_text(&e->value, &f->death_queue);
	}
}

static void search(const amqp_table_t *headers, struct found *f)
{
	const amqp_field_value_t *death = NULL;

	for (int i = 0; i < headers->num_entries; i++) {
		const amqp_table_entry_t *e = &headers->entries[i];

		if (is_key(e, "x-delivery-count"))
			take_number(&e->value, &f->delivery_count);
		else if (is_key(e, "x-stream-offset"))
			take_number(&e->value, &f->stream_offset);
		else if (is_key(e, "x-first-death-reason"))
			take_text(&e->value, &f->death_reason);
		else if (is_key(e, "x-first-death-queue"))
			take_text(&e->value, &f->death_queue);
		else if (is_key(e, "traceparent"))
			take_text(&e->value, &f->traceparent);
		else if (is_key(e, "tracestate"))
			take_text(&e->value, &f->tracestate);
		else if (is_key(e, "x-death"))
			death = &e->value;
	}
	if (death)
		take_death(death, f);
}

struct field {
	struct slice from;
	struct slice *to;
};

static struct slice property(const amqp_basic_properties_t *p, amqp_flags_t flag, amqp_bytes_t value)
{
	/* An empty property may come without a pointer, and is there all the same. */
	if (!(p->_flags & flag))
		return (struct slice){0};
	return slice_of(value.bytes ? value.bytes : "", value.len);
}

static uint8_t *copy(uint8_t *at, struct field f)
{
	if (!slice_is_set(f.from))
		return at;
	*f.to = slice_of(at, f.from.len);
	if (f.from.len > 0)
		memcpy(at, f.from.data, f.from.len);
	return at + f.from.len;
}

struct delivery *delivery_new(const struct incoming *in, const amqp_basic_properties_t *p, size_t body_len)
{
	struct found f = {.stream_offset = -1};
	struct broker_delivery public = {.redelivered = in->redelivered};
	struct field fields[] = {
		{slice_of(in->exchange, in->exchange_len), &public.exchange},
		{slice_of(in->routing_key, in->routing_key_len), &public.routing_key},
		{property(p, AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type), &public.content_type},
		{property(p, AMQP_BASIC_MESSAGE_ID_FLAG, p->message_id), &public.message_id},
		{property(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id), &public.correlation_id},
		{property(p, AMQP_BASIC_REPLY_TO_FLAG, p->reply_to), &public.reply_to},
		{property(p, AMQP_BASIC_TYPE_FLAG, p->type), &public.type},
		{property(p, AMQP_BASIC_APP_ID_FLAG, p->app_id), &public.app_id},
		{property(p, AMQP_BASIC_EXPIRATION_FLAG, p->expiration), &public.expiration},
		{{0}, &public.death_reason},
		{{0}, &public.death_queue},
		{{0}, &public.traceparent},
		{{0}, &public.tracestate},
	};
	enum { FIELDS = sizeof fields / sizeof fields[0] };
	size_t size = sizeof(struct delivery) + body_len;
	struct delivery *v;
	uint8_t *at;

	if (p->_flags & AMQP_BASIC_HEADERS_FLAG)
		search(&p->headers, &f);
	fields[FIELDS - 4].from = f.death_reason;
	fields[FIELDS - 3].from = f.death_queue;
	fields[FIELDS - 2].from = f.traceparent;
	fields[FIELDS - 1].from = f.tracestate;
	for (size_t i = 0; i < FIELDS; i++)
		size += fields[i].from.len;
	v = malloc(size);
	if (!v)
		return NULL;
	memset(v, 0, sizeof *v);
	at = v->storage;
	public.body = slice_of(at, body_len);
	at += body_len;
	for (size_t i = 0; i < FIELDS; i++)
		at = copy(at, fields[i]);
	public.delivery_count = f.delivery_count;
	public.stream_offset = f.stream_offset;
	v->parcel.kind = PARCEL_DELIVERY;
	v->public = public;
	v->tag = in->tag;
	v->bytes = size;
	return v;
}
