/* The thread of a connection: it dials, waits, hands frames and parcels to the parts, and redials. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "runtime/backoff.h"
#include "runtime/broker_internal.h"
#include "runtime/clock.h"

enum {
	FRAMES_AT_ONCE = 512,
	/* Deliveries on their way to the loop; a slow loop is answered by not reading the socket. */
	TRANSIT_LEN_MAX = 8192,
	TRANSIT_BYTES_MAX = 32 << 20,
	THROTTLED_MS = 5,
	HEARTBEAT_DIVISOR = 4,
	WAIT_MAX_MS = 60000,
	/* For a turn of the loop: what a parcel may write at most besides its body, what may still be unsent. */
	TURN_OVERHEAD = 512,
	KEY_OVERHEAD = 5,
	TURN_UNSENT_MAX = 8 << 10,
};

/* ---- parcels ---- */

void publish_free(struct publish *p)
{
	free(p->body_owned);
	free(p);
}

void consumer_free(struct broker_consumer *c)
{
	free(c->incoming.delivery);
	free(c->tag);
	free(c->queue);
	free(c);
}

void parcel_free(struct parcel *parcel)
{
	switch (parcel->kind) {
	case PARCEL_PUBLISH: publish_free((struct publish *)parcel); break;
	case PARCEL_CONSUMER: {
		struct broker_consumer *c = CONTAINER(parcel, struct broker_consumer, parcel);

		if (!c->is_known)
			consumer_free(c);
		break;
	}
	case PARCEL_DELIVERY:
	case PARCEL_QUERY:
	case PARCEL_DECLARE:
	case PARCEL_STATE:
	case PARCEL_CONSUMING:
	case PARCEL_BOUND: free(parcel); break;
	case PARCEL_STOP:
	case PARCEL_KINDS: break;
	}
}

void parcel_free_all(struct mail *mail)
{
	while (mail) {
		struct mail *next = mail->next;

		parcel_free((struct parcel *)mail);
		mail = next;
	}
}

static void free_mailbox(struct mailbox *m)
{
	if (m)
		parcel_free_all(mailbox_take(m));
	mailbox_free(m);
}

/* ---- the link ---- */

int link_new(const struct broker_options *opt, struct link **out)
{
	struct link *l = calloc(1, sizeof *l);
	int rc = -ENOMEM;

	if (!l)
		return rc;
	pthread_mutex_init(&l->wish_lock, NULL);
	pthread_mutex_init(&l->fd_lock, NULL);
	pthread_mutex_init(&l->turn_lock, NULL);
	atomic_init(&l->refs, 1);
	l->fd = -1;
	l->stop.kind = PARCEL_STOP;
	l->heartbeat_s = opt->heartbeat_s;
	l->connect_timeout_ms = opt->connect_timeout_ms;
	l->message_max = opt->message_max;
	l->home_end = &l->home;
	l->declarer.end = &l->declarer.first;
	l->querier.end = &l->querier.first;
	l->told_state = BROKER_DOWN;
	l->consume_ms = INT64_MAX;
	l->name = strdup(opt->name ? opt->name : "postback");
	if (!l->name)
		goto out;
	rc = link_parse_url(l, opt->url);
	if (rc < 0)
		goto out;
	rc = mailbox_new(&l->inbox);
	if (rc < 0)
		goto out;
	rc = mailbox_new(&l->outbox);
	if (rc < 0)
		goto out;
	*out = l;
	l = NULL;
out:
	link_unref(l);
	return rc;
}

void link_unref(struct link *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	*l->home_end = NULL;
	parcel_free_all(l->home);
	free_mailbox(l->inbox);
	free_mailbox(l->outbox);
	link_publish_done(l);
	link_declare_done(l);
	link_consume_done(l);
	for (struct query *q = l->querier.first, *next; q; q = next) {
		next = q->next;
		free(q);
	}
	pthread_mutex_destroy(&l->wish_lock);
	pthread_mutex_destroy(&l->fd_lock);
	pthread_mutex_destroy(&l->turn_lock);
	/* Holds the password. */
	if (l->url_copy)
		explicit_bzero(l->url_copy, strlen(l->url_copy));
	free(l->url_copy);
	free(l->name);
	free(l);
}

void link_lose(struct link *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!l->is_lost)
		vsnprintf(l->why, sizeof l->why, format, args);
	va_end(args);
	l->is_lost = true;
}

void link_send_home(struct link *l, struct parcel *parcel)
{
	*l->home_end = &parcel->mail;
	l->home_end = &parcel->mail.next;
}

static void post_home(struct link *l)
{
	if (!l->home)
		return;
	link_publish_send_lazy(l);
	*l->home_end = NULL;
	mailbox_post_all(l->outbox, l->home, l->home_end);
	l->home = NULL;
	l->home_end = &l->home;
}

static void log_state(struct link *l)
{
	switch (l->told_state) {
	case BROKER_UP:
		log_info("broker_up", LOG_TEXT("connection", l->name), LOG_TEXT("host", l->host),
			LOG_TEXT("vhost", l->info.vhost));
		break;
	case BROKER_BLOCKED:
		log_warn("broker_blocked", LOG_TEXT("connection", l->name), LOG_TEXT("host", l->host),
			LOG_TEXT("why", l->told_why));
		break;
	case BROKER_DOWN:
		log_warn("broker_down", LOG_TEXT("connection", l->name), LOG_TEXT("host", l->host),
			LOG_TEXT("why", l->told_why));
		break;
	}
}

void link_set_state(struct link *l, enum broker_state state, const char *why)
{
	struct state_notice *n;

	if (l->told_state == state && strcmp(l->told_why, why) == 0)
		return;
	l->told_state = state;
	snprintf(l->told_why, sizeof l->told_why, "%s", why);
	log_state(l);
	n = malloc(sizeof *n);
	if (!n)
		return;
	n->parcel.kind = PARCEL_STATE;
	n->state = state;
	memcpy(n->why, l->told_why, sizeof n->why);
	link_send_home(l, &n->parcel);
}

bool link_send(struct link *l, uint16_t channel, amqp_method_number_t method, void *decoded)
{
	int rc;

	if (l->is_lost)
		return false;
	rc = amqp_send_method(l->conn, channel, method, decoded);
	if (rc != AMQP_STATUS_OK)
		link_lose(l, "the connection broke: %s", amqp_error_string2(rc));
	return !l->is_lost;
}

bool link_open_channel(struct link *l, uint16_t channel)
{
	return link_send(l, channel, AMQP_CHANNEL_OPEN_METHOD,
		&(amqp_channel_open_t){.out_of_band = amqp_empty_bytes});
}

void link_close_text(uint16_t code, amqp_bytes_t text, char *out, size_t len)
{
	snprintf(out, len, "%u %.*s", code, (int)text.len, (const char *)text.bytes);
}

amqp_bytes_t link_name(const struct link *l, const char *name, char *out)
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '%')
		snprintf(out, SHORT_MAX + 1, "%.*s%s", (int)len - 1, name, l->fresh);
	else
		snprintf(out, SHORT_MAX + 1, "%s", name);
	return bytes_text(out);
}

/* ---- what comes from the loop ---- */

static void take_parcels(struct link *l, struct mail *mail)
{
	while (mail) {
		struct parcel *parcel = (struct parcel *)mail;

		mail = mail->next;
		switch (parcel->kind) {
		case PARCEL_PUBLISH: link_publish_add(l, (struct publish *)parcel); break;
		case PARCEL_DELIVERY: link_consume_settle(l, (struct delivery *)parcel); break;
		case PARCEL_QUERY: link_query_add(l, (struct query *)parcel); break;
		case PARCEL_DECLARE: link_declare_add(l, (struct declaration *)parcel); break;
		case PARCEL_CONSUMER:
			link_consume_wish(l, CONTAINER(parcel, struct broker_consumer, parcel));
			break;
		case PARCEL_STOP: l->must_stop = true; break;
		case PARCEL_STATE:
		case PARCEL_CONSUMING:
		case PARCEL_BOUND:
		case PARCEL_KINDS: break;
		}
	}
}

static void take_mail(struct link *l)
{
	take_parcels(l, mailbox_take(l->inbox));
}

/* ---- what comes from RabbitMQ ---- */

static void on_connection_close(struct link *l, const amqp_connection_close_t *m)
{
	char text[REPLY_TEXT_MAX];

	link_close_text(m->reply_code, m->reply_text, text, sizeof text);
	link_send(l, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &(amqp_connection_close_ok_t){0});
	link_lose(l, "RabbitMQ closed the connection: %s", text);
}

static void on_blocked(struct link *l, const amqp_connection_blocked_t *m)
{
	char why[WHY_MAX];

	snprintf(why, sizeof why, "RabbitMQ takes no messages: alarm (%.*s)", (int)m->reason.len,
		(const char *)m->reason.bytes);
	l->is_blocked = true;
	link_publish_withdraw(l);
	/* Or before it came up: then it is the permission to publish that the alarm leaves without an answer. */
	if (l->told_state != BROKER_BLOCKED)
		link_set_state(l, BROKER_BLOCKED, why);
}

static void on_unblocked(struct link *l)
{
	l->is_blocked = false;
	if (l->told_state == BROKER_BLOCKED)
		link_set_state(l, BROKER_UP, "the alarm is over");
}

static void on_connection_frame(struct link *l, const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD)
		return;
	if (frame->payload.method.id == AMQP_CONNECTION_CLOSE_METHOD)
		on_connection_close(l, frame->payload.method.decoded);
	else if (frame->payload.method.id == AMQP_CONNECTION_BLOCKED_METHOD)
		on_blocked(l, frame->payload.method.decoded);
	else if (frame->payload.method.id == AMQP_CONNECTION_UNBLOCKED_METHOD)
		on_unblocked(l);
}

static void on_frame(struct link *l, const amqp_frame_t *frame)
{
	switch (frame->channel) {
	case 0: on_connection_frame(l, frame); break;
	case CHANNEL_DECLARE: link_declare_frame(l, frame); break;
	case CHANNEL_PUBLISH: link_publish_frame(l, frame); break;
	case CHANNEL_QUERY: link_query_frame(l, frame); break;
	default: link_consume_frame(l, frame); break;
	}
	/* All that was wanted of the frame is copied, so its memory can go at once. */
	amqp_maybe_release_buffers_on_channel(l->conn, frame->channel);
}

static bool is_throttled(const struct link *l)
{
	return atomic_load(&l->transit_len) >= TRANSIT_LEN_MAX ||
	       atomic_load(&l->transit_bytes) >= TRANSIT_BYTES_MAX;
}

/* Frames that rabbitmq-c has read already: poll does not know of them. */
static bool has_buffered(const struct link *l)
{
	return amqp_frames_enqueued(l->conn) || amqp_data_in_buffer(l->conn);
}

static void read_frames(struct link *l)
{
	for (int i = 0; i < FRAMES_AT_ONCE && !l->is_lost; i++) {
		amqp_frame_t frame;
		int rc;

		if ((i > 0 && !has_buffered(l)) || is_throttled(l))
			return;
		rc = amqp_simple_wait_frame_noblock(l->conn, &frame, &(struct timeval){0});
		if (rc == AMQP_STATUS_TIMEOUT)
			return;
		if (rc != AMQP_STATUS_OK)
			link_lose(l, "the connection broke: %s", amqp_error_string2(rc));
		else
			on_frame(l, &frame);
	}
}

/* ---- the thread ---- */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t beat_every_ms(const struct link *l)
{
	return l->heartbeat_s > 0 ? l->heartbeat_s * INT64_C(1000) / HEARTBEAT_DIVISOR : WAIT_MAX_MS;
}

static int wait_ms(const struct link *l, bool must_write, int64_t now_ms)
{
	int64_t due = earlier(l->beat_ms, link_publish_due(l));

	if (must_write || l->must_stop)
		return 0;
	if (is_throttled(l))
		return THROTTLED_MS;
	if (has_buffered(l))
		return 0;
	if (l->declarer.is_ready)
		due = earlier(due, l->consume_ms);
	return due > now_ms ? (int)(due - now_ms) : 0;
}

struct woken {
	bool by_mail, by_socket;
};

/* Lets the turn go while it sleeps. */
static struct woken wait_for_work(struct link *l, bool must_write)
{
	int ms = wait_ms(l, must_write, clock_mono_ms());
	int heard = is_throttled(l) ? 0 : POLLIN;
	struct pollfd fds[] = {
		{.fd = mailbox_fd(l->inbox), .events = POLLIN},
		{.fd = amqp_get_sockfd(l->conn),
			.events = (short)(heard | (l->publisher.is_stuck ? POLLOUT : 0))},
	};

	pthread_mutex_unlock(&l->turn_lock);
	poll(fds, 2, ms);
	pthread_mutex_lock(&l->turn_lock);
	if (fds[1].revents & POLLOUT)
		l->publisher.is_stuck = false;
	return (struct woken){
		.by_mail = fds[0].revents & POLLIN,
		.by_socket = fds[1].revents & ~POLLOUT,
	};
}

/* Even with nothing readable now and then: heartbeats are sent, and missing ones noticed, inside the call. */
static void read_if_due(struct link *l, bool is_readable, int64_t now_ms)
{
	if (!is_readable && !has_buffered(l) && now_ms < l->beat_ms)
		return;
	l->beat_ms = now_ms + beat_every_ms(l);
	read_frames(l);
}

static void announce(struct link *l)
{
	if (l->is_lost || l->told_state != BROKER_DOWN || !l->declarer.is_ready ||
		!link_consume_is_answered(l))
		return;
	link_set_state(l, l->is_blocked ? BROKER_BLOCKED : BROKER_UP, "connected");
}

/* What is to be done after parcels or frames came. True: there is more to write at once. */
static bool work(struct link *l, int64_t now_ms)
{
	bool must_write;

	link_declare_run(l);
	link_consume_run(l, now_ms);
	link_query_run(l);
	link_publish_run(l, now_ms);
	announce(l);
	/* Before writing, which may take long. */
	post_home(l);
	link_consume_flush(l);
	must_write = link_publish_write(l, now_ms);
	post_home(l);
	return must_write;
}

static void serve(struct link *l)
{
	bool must_write = true; /* the first round waits for nothing: all is still to be declared */

	pthread_mutex_lock(&l->turn_lock);
	l->is_serving = true;
	while (!l->is_lost && !l->must_stop) {
		struct woken woken = wait_for_work(l, must_write);
		int64_t now_ms = clock_mono_ms();

		if (woken.by_mail)
			take_mail(l);
		read_if_due(l, woken.by_socket, now_ms);
		must_write = work(l, now_ms);
	}
	l->is_serving = false;
	pthread_mutex_unlock(&l->turn_lock);
}

/* ---- a turn of the loop ---- */

/* Bytes on the socket that this parcel may lead to, at most. */
static size_t parcel_bytes(const struct parcel *parcel)
{
	const struct publish *p = (const struct publish *)parcel;
	size_t bytes = TURN_OVERHEAD;

	if (parcel->kind != PARCEL_PUBLISH)
		return bytes;
	bytes += p->body.len + p->exchange.len + p->routing_key.len + p->content_type.len +
		 p->correlation_id.len + p->reply_to.len + p->type.len + p->app_id.len;
	for (size_t i = 0; i < p->headers_len; i++)
		bytes += strlen(p->headers[i].name) + p->headers[i].value.len;
	for (size_t i = 0; i < p->more_keys_len; i++)
		bytes += p->more_keys[i].value.bytes.len + KEY_OVERHEAD;
	return bytes;
}

/* Messages out and acks, not too many: what else there is may have to be done again later, and the thread keeps time. */
static bool is_turn_sized(const struct mail *mail)
{
	size_t bytes = 0;

	for (; mail; mail = mail->next) {
		const struct parcel *parcel = (const struct parcel *)mail;

		bytes += parcel_bytes(parcel);
		if (bytes > LINK_TURN_BYTES ||
			(parcel->kind != PARCEL_PUBLISH && parcel->kind != PARCEL_DELIVERY))
			return false;
	}
	return true;
}

/* Sure not to wait: nothing is left over from before, and the kernel has sent nearly all that it was given. */
static bool may_take_turn(const struct link *l, const struct mail *mail)
{
	int unsent;

	return l->is_serving && l->is_roomy && !l->is_lost && !l->must_stop && !l->publisher.is_stuck &&
	       !l->publisher.ready.first && is_turn_sized(mail) &&
	       ioctl(amqp_get_sockfd(l->conn), SIOCOUTQ, &unsent) == 0 && unsent <= TURN_UNSENT_MAX;
}

static bool take_turn(struct link *l, struct mail *first, struct mail **end)
{
	*end = NULL;
	if (!mailbox_is_empty(l->inbox) || !may_take_turn(l, first))
		return false;
	take_parcels(l, first);
	/* What is left for the thread, it must hear of. */
	if (work(l, clock_mono_ms()) || l->is_lost || l->publisher.is_stuck || l->publisher.ready.first)
		mailbox_wake(l->inbox);
	return true;
}

void link_hand_over(struct link *l, struct mail *first, struct mail **end)
{
	bool is_done = false;

	if (pthread_mutex_trylock(&l->turn_lock) == 0) {
		is_done = take_turn(l, first, end);
		pthread_mutex_unlock(&l->turn_lock);
	}
	if (!is_done)
		mailbox_post_all(l->inbox, first, end);
}

static void lost(struct link *l)
{
	link_set_state(l, BROKER_DOWN, l->why);
	link_declare_lost(l);
	link_consume_lost(l);
	link_query_lost(l);
	link_publish_lost(l);
	l->is_blocked = false;
	link_hang_up(l);
	post_home(l);
}

/* Waits until the next dial; what is at most once is told at once that it has no chance. */
static void pause_for(struct link *l, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;

	for (int64_t now = until - ms; !l->must_stop && now < until; now = clock_mono_ms()) {
		struct pollfd fd = {.fd = mailbox_fd(l->inbox), .events = POLLIN};

		if (poll(&fd, 1, (int)(until - now)) > 0)
			take_mail(l);
		link_publish_withdraw(l);
		link_query_lost(l);
		post_home(l);
	}
}

void *link_run(void *arg)
{
	struct link *l = arg;
	uint32_t failures = 0;

	pthread_setname_np(pthread_self(), "broker");
	while (!l->must_stop && !atomic_load(&l->is_stopping)) {
		l->is_lost = false;
		snprintf(l->fresh, sizeof l->fresh, "%08x", random_u32());
		take_mail(l);
		if (link_dial(l) == 0) {
			serve(l);
			/* A connection that could not be made ready is as good as none. */
			failures = l->told_state == BROKER_DOWN ? failures + 1 : 1;
		} else {
			l->is_lost = true;
			failures++;
		}
		if (l->is_lost) {
			lost(l);
			pause_for(l, backoff_ms(BACKOFF_FIRST_MS, BACKOFF_CAP_MS, failures, random_u32()));
		}
	}
	link_hang_up(l);
	link_unref(l);
	return NULL;
}
