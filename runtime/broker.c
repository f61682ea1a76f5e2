/* The loop side: what a service calls, and what it is told. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/broker_internal.h"
#include "runtime/clock.h"

enum {
	QUERY_TIMEOUT_MS = 5000,
	QUERIES_MAX = 256,
	/* Together "within about a second": to settle and say goodbye, then to notice that the socket is shut. */
	FREE_POLITE_MS = 700,
	FREE_FORCED_MS = 400,
};
#define BYTES_MAX_DEFAULT ((size_t)256 << 20)
#define HEADERS_BYTES_MAX ((size_t)32 << 10)

struct broker {
	struct loop *loop;
	struct link *link;
	struct loop_mail *mail;
	struct event *unheld; /* delivers what came during a pause */
	pthread_t thread;
	bool is_started;
	size_t message_max, queue_max, bytes_max;
	void (*on_state)(enum broker_state state, const char *why, void *arg);
	void *arg;
	enum broker_state state;
	struct publish *publishes; /* the newest of those not home; each has its timer */
	size_t publishes_len, publishes_bytes;
	struct query *queries;
	size_t queries_len;
	struct broker_consumer *consumers;
	size_t deliveries_out; /* in the service's hands; they keep the broker's memory */
	struct broker_stats stats;
	unsigned depth; /* callbacks on the stack */
	bool is_freed;
};

static void dispose(struct broker *b)
{
	if (b->is_freed && b->depth == 0 && b->deliveries_out == 0)
		free(b);
}

static void enter(struct broker *b)
{
	b->depth++;
}

static void leave(struct broker *b)
{
	b->depth--;
	dispose(b);
}

static void post(struct broker *b, struct parcel *parcel)
{
	mailbox_post(b->link->inbox, &parcel->mail);
}

/* ---- publishing ---- */

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
	int phase = PUBLISH_WAITING;
	bool is_withdrawn = atomic_compare_exchange_strong(&p->phase, &phase, PUBLISH_ENDED);

	if (!is_withdrawn)
		atomic_store(&p->phase, PUBLISH_ENDED);
	enter(b);
	publish_tell(b, p, is_withdrawn ? BROKER_WITHDRAWN : BROKER_UNKNOWN);
	leave(b);
}

static void publish_home(struct broker *b, struct parcel *parcel)
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

	assert(m->headers_len <= BROKER_HEADERS_MAX);
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
	if (headers_bytes > HEADERS_BYTES_MAX)
		return -EMSGSIZE;
	if (!m->until_confirmed && b->state != BROKER_UP)
		return -ENOTCONN;
	if (b->publishes_len >= b->queue_max || m->body.len > b->bytes_max - b->publishes_bytes)
		return -EAGAIN;
	return 0;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static size_t publish_size(const struct broker_message *m)
{
	size_t size = sizeof(struct publish) + text_size(m->exchange) + m->routing_key.len +
		      text_size(m->content_type) + m->correlation_id.len + m->reply_to.len + m->type.len +
		      text_size(m->app_id);

	for (size_t i = 0; i < m->headers_len; i++)
		size += text_size(m->headers[i].name) + m->headers[i].value.len;
	return m->body_owned ? size : size + m->body.len;
}

static struct slice keep(uint8_t **at, struct slice s)
{
	struct slice kept = {.data = slice_is_set(s) ? *at : NULL, .len = s.len};

	if (s.len > 0)
		memcpy(*at, s.data, s.len);
	*at += s.len;
	return kept;
}

static const char *keep_text(uint8_t **at, const char *text)
{
	return (const char *)keep(at, slice_of(text, strlen(text) + 1)).data;
}

static void publish_fill(struct publish *p, const struct broker_message *m)
{
	uint8_t *at = p->storage;

	p->exchange = keep(&at, slice_text(m->exchange ? m->exchange : ""));
	p->routing_key = keep(&at, m->routing_key);
	p->content_type = keep(&at, slice_text(m->content_type));
	p->correlation_id = keep(&at, m->correlation_id);
	p->reply_to = keep(&at, m->reply_to);
	p->type = keep(&at, m->type);
	p->app_id = keep(&at, slice_text(m->app_id));
	for (size_t i = 0; i < m->headers_len; i++) {
		p->headers[i].name = keep_text(&at, m->headers[i].name);
		p->headers[i].value = keep(&at, m->headers[i].value);
	}
	p->headers_len = m->headers_len;
	p->body = m->body_owned ? m->body : keep(&at, m->body);
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
	post(b, &p->parcel);
	return 0;
}

/* ---- consuming ---- */

static char *copy_text(const char *text)
{
	return text ? strdup(text) : NULL;
}

static void consumer_wish(struct broker_consumer *c, bool is_wanted, uint16_t prefetch)
{
	struct link *l = c->broker->link;
	bool must_post;

	pthread_mutex_lock(&l->wish_lock);
	c->wish.is_wanted = is_wanted;
	c->wish.prefetch = prefetch;
	must_post = !c->wish.is_posted;
	c->wish.is_posted = true;
	pthread_mutex_unlock(&l->wish_lock);
	if (must_post)
		post(c->broker, &c->parcel);
}

int broker_consume(struct broker *b, const struct broker_consumer_options *opt, struct broker_consumer **out)
{
	struct broker_consumer *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	*c = (struct broker_consumer){
		.broker = b,
		.on_delivery = opt->on_delivery,
		.on_change = opt->on_change,
		.arg = opt->arg,
		.parcel.kind = PARCEL_CONSUMER,
		.tag = copy_text(opt->tag ? opt->tag : ""),
		.queue = copy_text(opt->queue),
		.exclusive = opt->exclusive,
		.no_ack = opt->no_ack,
		.stream_from_first = opt->stream_from_first,
		.link = b->link,
		.last_offset = -1,
	};
	c->held_end = &c->held;
	if (!c->tag || !c->queue) {
		consumer_free(c);
		return -ENOMEM;
	}
	c->loop_next = b->consumers;
	b->consumers = c;
	consumer_wish(c, true, opt->prefetch);
	*out = c;
	return 0;
}

/* Back to where it came from, unseen. */
static void delivery_give_back(struct delivery *v)
{
	if (v->no_ack) {
		free(v);
		return;
	}
	v->settlement = SETTLE_REQUEUE;
	mailbox_post(v->public.consumer->link->inbox, &v->parcel.mail);
}

static void delivery_hand_over(struct broker *b, struct delivery *v)
{
	struct broker_consumer *c = v->public.consumer;

	b->stats.delivered++;
	b->deliveries_out++;
	v->broker = b;
	v->public.consumer_arg = c->arg;
	c->on_delivery(&v->public, c->arg);
}

static void delivery_home(struct broker *b, struct parcel *parcel)
{
	struct delivery *v = (struct delivery *)parcel;
	struct broker_consumer *c = v->public.consumer;

	atomic_fetch_sub(&b->link->transit_len, 1);
	atomic_fetch_sub(&b->link->transit_bytes, v->bytes);
	if (c->is_stopped) {
		delivery_give_back(v);
	} else if (c->is_paused || c->held) {
		v->parcel.mail.next = NULL;
		*c->held_end = &v->parcel.mail;
		c->held_end = &v->parcel.mail.next;
	} else {
		delivery_hand_over(b, v);
	}
}

static struct delivery *held_take(struct broker_consumer *c)
{
	struct mail *mail = c->held;

	if (!mail)
		return NULL;
	c->held = mail->next;
	if (!c->held)
		c->held_end = &c->held;
	return (struct delivery *)mail;
}

static void on_unheld(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;
	struct delivery *v;

	enter(b);
	for (struct broker_consumer *c = b->consumers; c && !b->is_freed;) {
		while (!b->is_freed && !c->is_paused && (v = held_take(c)))
			delivery_hand_over(b, v);
		if (!b->is_freed)
			c = c->loop_next;
	}
	leave(b);
}

void broker_consumer_stop(struct broker_consumer *c)
{
	struct delivery *v;

	if (c->is_stopped)
		return;
	c->is_stopped = true;
	while ((v = held_take(c)))
		delivery_give_back(v);
	consumer_wish(c, false, c->wish.prefetch);
}

void broker_consumer_set_prefetch(struct broker_consumer *c, uint16_t prefetch)
{
	consumer_wish(c, c->wish.is_wanted, prefetch);
}

void broker_consumer_pause(struct broker_consumer *c)
{
	if (c->is_stopped || c->is_paused)
		return;
	c->is_paused = true;
	consumer_wish(c, false, c->wish.prefetch);
}

void broker_consumer_resume(struct broker_consumer *c)
{
	if (c->is_stopped || !c->is_paused)
		return;
	c->is_paused = false;
	if (c->held)
		timer_arm(c->broker->unheld, 0);
	consumer_wish(c, true, c->wish.prefetch);
}

const char *broker_consumer_queue(const struct broker_consumer *c)
{
	return c->actual[0] ? c->actual : NULL;
}

static void consuming_home(struct broker *b, struct parcel *parcel)
{
	struct consuming_notice *n = (struct consuming_notice *)parcel;
	struct broker_consumer *c = n->consumer;

	c->loop_incarnation = n->incarnation;
	memcpy(c->actual, n->queue, sizeof c->actual);
	if (n->is_told && c->on_change && !c->is_stopped)
		c->on_change(n->is_consuming, n->why, c->arg);
	free(n);
}

static void settle(struct broker_delivery *d, enum settlement settlement)
{
	struct delivery *v = CONTAINER(d, struct delivery, public);
	struct broker *b = v->broker;

	b->deliveries_out--;
	if (b->is_freed || v->no_ack) {
		free(v);
	} else {
		v->settlement = settlement;
		post(b, &v->parcel);
	}
	dispose(b);
}

void broker_ack(struct broker_delivery *d)
{
	CONTAINER(d, struct delivery, public)->broker->stats.acked++;
	settle(d, SETTLE_ACK);
}

void broker_reject(struct broker_delivery *d, bool requeue)
{
	CONTAINER(d, struct delivery, public)->broker->stats.rejected++;
	settle(d, requeue ? SETTLE_REQUEUE : SETTLE_REJECT);
}

void broker_drop(struct broker_delivery *d)
{
	settle(d, SETTLE_DROP);
}

bool broker_delivery_is_live(const struct broker_delivery *d)
{
	const struct delivery *v = CONTAINER(d, const struct delivery, public);

	return !v->broker->is_freed && v->incarnation == d->consumer->loop_incarnation;
}

/* ---- declarations ---- */

static struct declaration *declaration_new(const struct broker_declaration *d)
{
	const char *texts[] = {d->name, d->source, d->key, d->type};
	const char **kept[4];
	size_t size = sizeof(struct declaration) + d->args_len * sizeof(struct broker_arg);
	struct declaration *n;
	struct broker_arg *args;
	uint8_t *at;

	for (size_t i = 0; i < 4; i++)
		size += text_size(texts[i]);
	for (size_t i = 0; i < d->args_len; i++)
		size += text_size(d->args[i].name) + text_size(d->args[i].text);
	n = calloc(1, size);
	if (!n)
		return NULL;
	n->parcel.kind = PARCEL_DECLARE;
	n->what = *d;
	args = (struct broker_arg *)n->storage;
	at = (uint8_t *)(args + d->args_len);
	kept[0] = &n->what.name;
	kept[1] = &n->what.source;
	kept[2] = &n->what.key;
	kept[3] = &n->what.type;
	for (size_t i = 0; i < 4; i++)
		*kept[i] = texts[i] ? keep_text(&at, texts[i]) : NULL;
	for (size_t i = 0; i < d->args_len; i++) {
		args[i].name = keep_text(&at, d->args[i].name);
		args[i].text = d->args[i].text ? keep_text(&at, d->args[i].text) : NULL;
		args[i].number = d->args[i].number;
	}
	n->what.args = args;
	return n;
}

static void free_chain(struct mail *mail)
{
	while (mail) {
		struct mail *next = mail->next;

		parcel_free((struct parcel *)mail);
		mail = next;
	}
}

int broker_declare(struct broker *b, const struct broker_declaration *d, size_t len)
{
	struct mail *first = NULL;
	struct mail **end = &first;

	for (size_t i = 0; i < len; i++) {
		struct declaration *n = declaration_new(&d[i]);

		if (!n) {
			free_chain(first);
			return -ENOMEM;
		}
		*end = &n->parcel.mail;
		end = &n->parcel.mail.next;
	}
	if (first)
		mailbox_post_all(b->link->inbox, first, end);
	return 0;
}

static int bind_post(
	struct broker *b, const char *queue, const char *exchange, const char *key, bool is_removal)
{
	struct broker_declaration d = {.kind = BROKER_BINDING, .name = queue, .source = exchange, .key = key};
	struct declaration *n = declaration_new(&d);

	if (!n)
		return -ENOMEM;
	n->is_removal = is_removal;
	post(b, &n->parcel);
	return 0;
}

int broker_bind(struct broker *b, const char *queue, const char *exchange, const char *key)
{
	return bind_post(b, queue, exchange, key, false);
}

int broker_unbind(struct broker *b, const char *queue, const char *exchange, const char *key)
{
	return bind_post(b, queue, exchange, key, true);
}

/* ---- questions ---- */

static void query_link(struct broker *b, struct query *q)
{
	q->older = b->queries;
	if (q->older)
		q->older->newer = q;
	b->queries = q;
	b->queries_len++;
}

static void query_unlink(struct broker *b, struct query *q)
{
	if (q->newer)
		q->newer->older = q->older;
	else
		b->queries = q->older;
	if (q->older)
		q->older->newer = q->newer;
	b->queries_len--;
}

static void query_tell(struct query *q, int rc, const struct broker_queue_info *info)
{
	broker_queue_cb *cb = q->cb;

	if (!cb)
		return;
	q->cb = NULL;
	event_del(&q->timeout);
	cb(rc, info, q->arg);
}

static void on_query_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;
	struct broker *b = q->broker;

	enter(b);
	query_tell(q, -ETIMEDOUT, &(struct broker_queue_info){0});
	leave(b);
}

static void query_home(struct broker *b, struct parcel *parcel)
{
	struct query *q = (struct query *)parcel;

	query_unlink(b, q);
	query_tell(q, q->rc, &q->info);
	free(q);
}

int broker_queue_info(struct broker *b, const char *queue, broker_queue_cb *cb, void *arg)
{
	struct query *q;

	if (b->state == BROKER_DOWN)
		return -ENOTCONN;
	if (b->queries_len >= QUERIES_MAX)
		return -EAGAIN;
	q = calloc(1, sizeof *q + strlen(queue) + 1);
	if (!q)
		return -ENOMEM;
	q->parcel.kind = PARCEL_QUERY;
	q->broker = b;
	q->cb = cb;
	q->arg = arg;
	memcpy(q->queue, queue, strlen(queue));
	evtimer_assign(&q->timeout, loop_base(b->loop), on_query_timeout, q);
	timer_arm(&q->timeout, QUERY_TIMEOUT_MS);
	query_link(b, q);
	post(b, &q->parcel);
	return 0;
}

/* ---- the connection ---- */

static void state_home(struct broker *b, struct parcel *parcel)
{
	struct state_notice *n = (struct state_notice *)parcel;

	if (n->state == BROKER_UP && b->state == BROKER_DOWN)
		b->stats.connects++;
	b->state = n->state;
	if (b->on_state)
		b->on_state(n->state, n->why, b->arg);
	free(n);
}

static void on_mail(struct mail *batch, void *arg)
{
	static void (*const home[PARCEL_KINDS])(struct broker * b, struct parcel * parcel) = {
		[PARCEL_PUBLISH] = publish_home,
		[PARCEL_DELIVERY] = delivery_home,
		[PARCEL_QUERY] = query_home,
		[PARCEL_STATE] = state_home,
		[PARCEL_CONSUMING] = consuming_home,
	};
	struct broker *b = arg;

	enter(b);
	while (batch && !b->is_freed) {
		struct parcel *parcel = (struct parcel *)batch;

		batch = batch->next;
		home[parcel->kind](b, parcel);
	}
	free_chain(batch);
	leave(b);
}

int broker_new(struct loop *loop, const struct broker_options *opt, struct broker **out)
{
	struct broker *b = calloc(1, sizeof *b);
	int rc = -ENOMEM;

	if (!b)
		return rc;
	b->loop = loop;
	b->message_max = opt->message_max;
	b->queue_max = opt->queue_max;
	b->bytes_max = opt->bytes_max ? opt->bytes_max : BYTES_MAX_DEFAULT;
	b->on_state = opt->on_state;
	b->arg = opt->arg;
	rc = link_new(opt, &b->link);
	if (rc < 0)
		goto out;
	rc = loop_mail_new(loop, b->link->outbox, on_mail, b, &b->mail);
	if (rc < 0)
		goto out;
	b->unheld = loop_timer(loop, on_unheld, b);
	if (!b->unheld) {
		rc = -ENOMEM;
		goto out;
	}
	*out = b;
	b = NULL;
out:
	broker_free(b);
	return rc;
}

/* Signals belong to the loop, so the thread has them all blocked. */
int broker_start(struct broker *b)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&b->link->refs, 1);
	rc = pthread_create(&b->thread, NULL, link_run, b->link);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		atomic_fetch_sub(&b->link->refs, 1);
		return -rc;
	}
	b->is_started = true;
	return 0;
}

static bool join_within(pthread_t thread, int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

static void shut_socket(struct link *l)
{
	pthread_mutex_lock(&l->fd_lock);
	if (l->fd >= 0)
		shutdown(l->fd, SHUT_RDWR);
	pthread_mutex_unlock(&l->fd_lock);
}

/* A thread that hangs in DNS or in a TLS handshake is left behind: it ends by itself and holds its own reference. */
static void stop_thread(struct broker *b)
{
	if (!b->is_started)
		return;
	atomic_store(&b->link->is_stopping, true);
	post(b, &b->link->stop);
	if (join_within(b->thread, FREE_POLITE_MS))
		return;
	shut_socket(b->link);
	if (!join_within(b->thread, FREE_FORCED_MS))
		pthread_detach(b->thread);
}

void broker_free(struct broker *b)
{
	if (!b || b->is_freed)
		return;
	b->is_freed = true;
	if (b->link)
		stop_thread(b);
	for (struct publish *p = b->publishes; p; p = p->older)
		event_del(&p->timeout);
	for (struct query *q = b->queries; q; q = q->older)
		event_del(&q->timeout);
	for (struct broker_consumer *c = b->consumers; c; c = c->loop_next) {
		free_chain(c->held);
		c->held = NULL;
	}
	loop_mail_free(b->mail);
	if (b->unheld)
		event_free(b->unheld);
	link_unref(b->link);
	dispose(b);
}

enum broker_state broker_state(const struct broker *b)
{
	return b->state;
}

void broker_stats(const struct broker *b, struct broker_stats *out)
{
	*out = b->stats;
	out->publishes_waiting = b->publishes_len;
}
