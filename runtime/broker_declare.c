/*
 * What a connection declares: a list, in order, one at a time, so that a refusal names its declaration. Bindings made and
 * removed at run time go through the same list.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/broker_internal.h"
#include "runtime/broker_refusal.h"

static bool is_same_binding(const struct broker_declaration *a, const struct broker_declaration *b)
{
	return a->kind == BROKER_BINDING && b->kind == BROKER_BINDING && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->source, b->source) == 0 && strcmp(a->key, b->key) == 0;
}

static void append(struct link_declarer *r, struct declaration *d)
{
	*r->end = d;
	r->end = &d->next;
}

static void unlink_at(struct link_declarer *r, struct declaration **at)
{
	struct declaration *d = *at;

	*at = d->next;
	if (!d->next)
		r->end = at;
}

static void drop(struct link_declarer *r, struct declaration *d)
{
	for (struct declaration **at = &r->first; *at; at = &(*at)->next) {
		if (*at == d) {
			unlink_at(r, at);
			free(d);
			return;
		}
	}
}

/* Takes the binding off the list; true: the broker may have it. */
static bool forget_binding(struct link_declarer *r, const struct broker_declaration *what)
{
	bool is_there = false;

	for (struct declaration **at = &r->first; *at;) {
		struct declaration *d = *at;

		if (d->is_removal || d->is_dropped || !is_same_binding(&d->what, what)) {
			at = &d->next;
			continue;
		}
		is_there = is_there || d->phase != DECLARE_TODO;
		if (d == r->sent) {
			d->is_dropped = true;
			at = &d->next;
		} else {
			unlink_at(r, at);
			free(d);
		}
	}
	return is_there;
}

void link_declare_add(struct link *l, struct declaration *d)
{
	struct link_declarer *r = &l->declarer;

	d->next = NULL;
	if (d->is_removal && !forget_binding(r, &d->what)) {
		free(d);
		return;
	}
	append(r, d);
}

/* ---- sending ---- */

static void make_args(const struct link *l, const struct broker_declaration *what,
	amqp_table_entry_t *entries, amqp_table_t *out)
{
	for (size_t i = 0; i < what->args_len; i++) {
		const struct broker_arg *a = &what->args[i];

		entries[i].key = bytes_text(a->name);
		if (a->text) {
			entries[i].value.kind = AMQP_FIELD_KIND_UTF8;
			entries[i].value.value.bytes = bytes_text(a->text);
		} else {
			entries[i].value.kind = AMQP_FIELD_KIND_I64;
			entries[i].value.value.i64 = a->number;
		}
	}
	*out = (amqp_table_t){.num_entries = (int)what->args_len, .entries = entries};
}

static void send_exchange(struct link *l, const struct declaration *d)
{
	amqp_table_entry_t entries[ARGS_MAX];
	amqp_exchange_declare_t m = {
		.exchange = bytes_text(d->what.name),
		.type = bytes_text(d->what.type),
		.passive = d->is_passive,
		.durable = d->what.durable,
	};

	make_args(l, &d->what, entries, &m.arguments);
	link_send(l, CHANNEL_DECLARE, AMQP_EXCHANGE_DECLARE_METHOD, &m);
}

static void send_queue(struct link *l, const struct declaration *d)
{
	char name[SHORT_MAX + 1];
	amqp_table_entry_t entries[ARGS_MAX];
	amqp_queue_declare_t m = {
		.queue = link_name(l, d->what.name, name),
		.passive = d->is_passive,
		.durable = d->what.durable,
		.exclusive = d->what.exclusive,
	};

	make_args(l, &d->what, entries, &m.arguments);
	link_send(l, CHANNEL_DECLARE, AMQP_QUEUE_DECLARE_METHOD, &m);
}

static void send_binding(struct link *l, const struct declaration *d)
{
	char name[SHORT_MAX + 1], key[SHORT_MAX + 1];
	amqp_bytes_t queue = link_name(l, d->what.name, name);
	amqp_bytes_t exchange = bytes_text(d->what.source);
	amqp_bytes_t routing_key = link_name(l, d->what.key ? d->what.key : "", key);

	if (d->is_removal)
		link_send(l, CHANNEL_DECLARE, AMQP_QUEUE_UNBIND_METHOD,
			&(amqp_queue_unbind_t){
				.queue = queue, .exchange = exchange, .routing_key = routing_key});
	else
		link_send(l, CHANNEL_DECLARE, AMQP_QUEUE_BIND_METHOD,
			&(amqp_queue_bind_t){
				.queue = queue, .exchange = exchange, .routing_key = routing_key});
}

/* Nobody binds a queue under this key, so it comes back. */
static void send_permission(struct link *l, const struct declaration *d)
{
	int rc;

	if (l->is_lost)
		return;
	rc = amqp_basic_publish(l->conn, CHANNEL_DECLARE, bytes_text(d->what.name),
		bytes_text("postback.may-publish"), 1, 0, NULL, amqp_empty_bytes);
	if (rc != AMQP_STATUS_OK)
		link_lose(l, "the connection broke: %s", amqp_error_string2(rc));
}

static void declare_one(struct link *l, struct declaration *d)
{
	struct link_declarer *r = &l->declarer;

	if (!r->is_open)
		r->is_open = link_open_channel(l, CHANNEL_DECLARE);
	d->phase = DECLARE_SENT;
	r->sent = d;
	switch (d->what.kind) {
	case BROKER_EXCHANGE: send_exchange(l, d); break;
	case BROKER_QUEUE: send_queue(l, d); break;
	case BROKER_BINDING: send_binding(l, d); break;
	case BROKER_PERMISSION: send_permission(l, d); break;
	}
}

static struct declaration *next_todo(const struct link_declarer *r)
{
	for (struct declaration *d = r->first; d; d = d->next) {
		if (d->phase == DECLARE_TODO)
			return d;
	}
	return NULL;
}

static void reset(struct link_declarer *r)
{
	for (struct declaration *d = r->first; d; d = d->next) {
		if (d != r->sent) {
			d->phase = DECLARE_TODO;
			d->is_passive = d->what.passive;
		}
	}
}

void link_declare_again(struct link *l)
{
	l->declarer.is_stale = true;
}

void link_declare_run(struct link *l)
{
	struct link_declarer *r = &l->declarer;
	struct declaration *d;

	if (l->is_lost || r->sent)
		return;
	if (r->is_stale) {
		r->is_stale = r->is_ready = false;
		reset(r);
	}
	d = next_todo(r);
	if (d)
		declare_one(l, d);
	else
		r->is_ready = true;
}

/* ---- answers ---- */

static const char *kind_name(const struct declaration *d)
{
	switch (d->what.kind) {
	case BROKER_EXCHANGE: return "exchange";
	case BROKER_QUEUE: return "queue";
	case BROKER_BINDING: return "binding of queue";
	case BROKER_PERMISSION: return "exchange";
	}
	return "";
}

static void log_difference(struct link *l, struct declaration *d)
{
	if (!d->is_passive || d->what.passive || d->is_difference_logged)
		return;
	log_warn("broker_declare_differs", LOG_TEXT("connection", l->name), LOG_TEXT("kind", kind_name(d)),
		LOG_TEXT("name", d->what.name), LOG_TEXT("why", l->declarer.refusal_text));
	d->is_difference_logged = true;
}

/* Who waits for it waits in vain without memory, so the connection is made anew. */
static void tell_bound(struct link *l, const struct declaration *d)
{
	struct bound_notice *n = calloc(1, sizeof *n);

	if (!n) {
		link_lose(l, "out of memory");
		return;
	}
	n->parcel.kind = PARCEL_BOUND;
	snprintf(n->queue, sizeof n->queue, "%s", d->what.name);
	snprintf(n->key, sizeof n->key, "%s", d->what.key);
	link_send_home(l, &n->parcel);
}

static void answered(struct link *l)
{
	struct link_declarer *r = &l->declarer;
	struct declaration *d = r->sent;

	if (!d)
		return;
	r->sent = NULL;
	d->phase = DECLARE_DONE;
	log_difference(l, d);
	if (d->is_told && !d->is_dropped)
		tell_bound(l, d);
	if (d->is_removal || d->is_dropped)
		drop(r, d);
	link_declare_run(l);
}

static void lose_over(struct link *l, const struct declaration *d, uint16_t code, const char *text)
{
	static const enum refusal_act acts[] = {
		[BROKER_EXCHANGE] = REFUSAL_EXCHANGE,
		[BROKER_QUEUE] = REFUSAL_QUEUE,
		[BROKER_BINDING] = REFUSAL_BINDING,
		[BROKER_PERMISSION] = REFUSAL_PUBLISH,
	};
	bool is_missing = code == AMQP_NOT_FOUND && d->what.passive && strstr(text, " no ");

	link_lose(l, "cannot %s the %s %s: %s: %s",
		d->what.kind == BROKER_PERMISSION ? "publish to" : "declare", kind_name(d), d->what.name,
		text,
		is_missing ? "import the definitions (compose/definitions.json), or set amqp.declare"
			   : refusal_mend(acts[d->what.kind], code, text));
}

/* There with other arguments, or not ours to make: it will do if it exists at all. */
static bool can_check_instead(const struct declaration *d, uint16_t code)
{
	return d->what.kind != BROKER_BINDING && d->what.kind != BROKER_PERMISSION && !d->is_passive &&
	       (code == AMQP_PRECONDITION_FAILED || code == AMQP_ACCESS_REFUSED);
}

static void refused(struct link *l, struct declaration *d, uint16_t code, const char *text)
{
	if (d->is_dropped || d->is_removal) {
		answered(l);
		return;
	}
	/* Not ours to make and not there either: it is the making that wants mending. */
	if (d->is_passive && !d->what.passive) {
		lose_over(l, d, l->declarer.refusal_code, l->declarer.refusal_text);
		return;
	}
	if (!can_check_instead(d, code)) {
		lose_over(l, d, code, text);
		return;
	}
	l->declarer.refusal_code = code;
	snprintf(l->declarer.refusal_text, sizeof l->declarer.refusal_text, "%s", text);
	d->is_passive = true;
	declare_one(l, d);
}

static void on_close(struct link *l, const amqp_channel_close_t *m)
{
	struct link_declarer *r = &l->declarer;
	struct declaration *d = r->sent;
	char text[REPLY_TEXT_MAX];

	link_close_text(m->reply_code, m->reply_text, text, sizeof text);
	link_send(l, CHANNEL_DECLARE, AMQP_CHANNEL_CLOSE_OK_METHOD, &(amqp_channel_close_ok_t){0});
	r->is_open = false;
	if (d)
		refused(l, d, m->reply_code, text);
}

void link_declare_frame(struct link *l, const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD)
		return;
	switch (frame->payload.method.id) {
	case AMQP_CHANNEL_CLOSE_METHOD: on_close(l, frame->payload.method.decoded); break;
	case AMQP_EXCHANGE_DECLARE_OK_METHOD:
	case AMQP_QUEUE_DECLARE_OK_METHOD:
	case AMQP_QUEUE_BIND_OK_METHOD:
	case AMQP_BASIC_RETURN_METHOD:
	case AMQP_QUEUE_UNBIND_OK_METHOD: answered(l); break;
	default: break;
	}
}

void link_declare_lost(struct link *l)
{
	struct link_declarer *r = &l->declarer;

	r->sent = NULL;
	r->is_open = r->is_ready = r->is_stale = false;
	for (struct declaration **at = &r->first; *at;) {
		struct declaration *d = *at;

		if (d->is_removal || d->is_dropped) {
			unlink_at(r, at);
			free(d);
		} else {
			at = &d->next;
		}
	}
	reset(r);
}

void link_declare_done(struct link *l)
{
	for (struct declaration *d = l->declarer.first, *next; d; d = next) {
		next = d->next;
		free(d);
	}
}
