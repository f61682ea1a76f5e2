/* The connection, the loop side: its thread is started, heard and ended here. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "runtime/broker_loop.h"

/* Together "within about a second": to settle and say goodbye, then to notice that the socket is shut. */
enum { FREE_POLITE_MS = 700, FREE_FORCED_MS = 400 };
#define BYTES_MAX_DEFAULT ((size_t)256 << 20)

void broker_dispose(struct broker *b)
{
	if (b->is_freed && b->depth == 0 && b->deliveries_out == 0)
		free(b);
}

void broker_enter(struct broker *b)
{
	b->depth++;
}

void broker_leave(struct broker *b)
{
	b->depth--;
	broker_dispose(b);
}

/* Many callbacks post in one go of the loop; all that goes over together, and is written together. */
void broker_post(struct broker *b, struct parcel *parcel)
{
	if (!b->posted)
		event_active(b->flush, EV_TIMEOUT, 0);
	*b->posted_end = &parcel->mail;
	b->posted_end = &parcel->mail.next;
	parcel->mail.next = NULL;
}

static struct mail *take_posted(struct broker *b, struct mail ***end)
{
	struct mail *first = b->posted;

	*end = b->posted_end;
	b->posted = NULL;
	b->posted_end = &b->posted;
	return first;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct broker *b = arg;
	struct mail **end;
	struct mail *first = take_posted(b, &end);

	if (first)
		link_hand_over(b->link, first, end);
}

struct slice broker_keep(uint8_t **at, struct slice s)
{
	struct slice kept = {.data = slice_is_set(s) ? *at : NULL, .len = s.len};

	if (s.len > 0)
		memcpy(*at, s.data, s.len);
	*at += s.len;
	return kept;
}

const char *broker_keep_text(uint8_t **at, const char *text)
{
	return (const char *)broker_keep(at, slice_of(text, strlen(text) + 1)).data;
}

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
		[PARCEL_PUBLISH] = broker_publish_home,
		[PARCEL_DELIVERY] = broker_delivery_home,
		[PARCEL_QUERY] = broker_query_home,
		[PARCEL_STATE] = state_home,
		[PARCEL_CONSUMING] = broker_consuming_home,
		[PARCEL_BOUND] = broker_bound_home,
	};
	struct broker *b = arg;

	broker_enter(b);
	while (batch && !b->is_freed) {
		struct parcel *parcel = (struct parcel *)batch;

		batch = batch->next;
		home[parcel->kind](b, parcel);
	}
	parcel_free_all(batch);
	broker_leave(b);
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
	b->posted_end = &b->posted;
	rc = link_new(opt, &b->link);
	if (rc < 0)
		goto out;
	rc = loop_mail_new(loop, b->link->outbox, on_mail, b, &b->mail);
	if (rc < 0)
		goto out;
	b->unheld = loop_timer(loop, broker_on_unheld, b);
	b->flush = loop_timer(loop, on_flush, b);
	if (!b->unheld || !b->flush) {
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
	struct mail **end;
	struct mail *first = take_posted(b, &end);

	if (first)
		mailbox_post_all(b->link->inbox, first, end);
	if (!b->is_started)
		return;
	atomic_store(&b->link->is_stopping, true);
	mailbox_post(b->link->inbox, &b->link->stop.mail);
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
		parcel_free_all(c->held);
		c->held = NULL;
	}
	loop_mail_free(b->mail);
	if (b->unheld)
		event_free(b->unheld);
	if (b->flush)
		event_free(b->flush);
	link_unref(b->link);
	broker_dispose(b);
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
