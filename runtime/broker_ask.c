/* Declarations, bindings and questions, the loop side. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/broker_loop.h"

enum { QUERY_TIMEOUT_MS = 5000, QUERIES_MAX = 256 };

static struct declaration *declaration_new(const struct broker_declaration *d)
{
	const char *texts[] = {d->name, d->source, d->key, d->type};
	const char **kept[4];
	size_t size = sizeof(struct declaration) + d->args_len * sizeof(struct broker_arg);
	struct declaration *n;
	struct broker_arg *args;
	uint8_t *at;

	assert(d->args_len <= ARGS_MAX);
	for (size_t i = 0; i < 4; i++) {
		assert(text_size(texts[i]) <= SHORT_MAX + 1);
		size += text_size(texts[i]);
	}
	for (size_t i = 0; i < d->args_len; i++)
		size += text_size(d->args[i].name) + text_size(d->args[i].text);
	n = calloc(1, size);
	if (!n)
		return NULL;
	n->parcel.kind = PARCEL_DECLARE;
	n->what = *d;
	n->is_passive = d->passive;
	args = (struct broker_arg *)n->storage;
	at = (uint8_t *)(args + d->args_len);
	kept[0] = &n->what.name;
	kept[1] = &n->what.source;
	kept[2] = &n->what.key;
	kept[3] = &n->what.type;
	for (size_t i = 0; i < 4; i++)
		*kept[i] = texts[i] ? broker_keep_text(&at, texts[i]) : NULL;
	for (size_t i = 0; i < d->args_len; i++) {
		args[i].name = broker_keep_text(&at, d->args[i].name);
		args[i].text = d->args[i].text ? broker_keep_text(&at, d->args[i].text) : NULL;
		args[i].number = d->args[i].number;
	}
	n->what.args = args;
	return n;
}

int broker_declare(struct broker *b, const struct broker_declaration *d, size_t len)
{
	struct mail *first = NULL;
	struct mail **end = &first;

	for (size_t i = 0; i < len; i++) {
		struct declaration *n = declaration_new(&d[i]);

		if (!n) {
			parcel_free_all(first);
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
	n->is_told = !is_removal;
	broker_post(b, &n->parcel);
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

void broker_on_bound(struct broker *b, broker_bound_cb *cb, void *arg)
{
	b->on_bound = cb;
	b->on_bound_arg = arg;
}

void broker_bound_home(struct broker *b, struct parcel *parcel)
{
	struct bound_notice *n = (struct bound_notice *)parcel;

	if (b->on_bound)
		b->on_bound(n->queue, n->key, b->on_bound_arg);
	free(n);
}

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

	broker_enter(b);
	query_tell(q, -ETIMEDOUT, &(struct broker_queue_info){0});
	broker_leave(b);
}

void broker_query_home(struct broker *b, struct parcel *parcel)
{
	struct query *q = (struct query *)parcel;

	query_unlink(b, q);
	query_tell(q, q->rc, &q->info);
	free(q);
}

int broker_queue_info(struct broker *b, const char *queue, broker_queue_cb *cb, void *arg)
{
	struct query *q;

	assert(strlen(queue) <= SHORT_MAX);
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
	broker_post(b, &q->parcel);
	return 0;
}
