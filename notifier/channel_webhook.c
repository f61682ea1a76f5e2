#include "notifier/channel_webhook.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "notifier/attempt.h"
#include "notifier/hosts.h"
#include "notifier/message.h"
#include "notifier/metrics.h"
#include "runtime/address.h"
#include "runtime/clock.h"
#include "runtime/http_client.h"
#include "runtime/url.h"
#include "store/endpoint.h"

enum {
	IN_HAND_MAX = 2048,
	BYTES_MAX = 64 << 20,
	QUEUED_MAX_MS = 10000, /* with the longest timeout still below the lease */
	CONNECTIONS_MAX = 512,
	LOOK_EVERY_MS = 1000,
	AGAIN_MS = 1000,
	ENVELOPE_MAX = 4 << 20, /* what a status document may have beside its result */
	ORIGIN_MAX = 512,
	ERROR_MAX = 200,
	SECRET_MAX = 127,
};

static_assert(STORE_ENDPOINT_OLD_SECRETS_MAX < SIGNATURE_SECRETS_MAX, "");

struct tenant_keys {
	const char *tenant; /* of the options */
	struct signature_keys *keys;
};

struct webhook_channel {
	struct service *service;
	const struct webhook_options *options;
	struct http_client *client;
	struct hosts *hosts;
	struct event *timer; /* looks after what is queued */
	struct schedule schedule;
	struct signature_keys *keys;
	struct tenant_keys *tenants;
	size_t tenants_len;
	struct address_range *allow;
	size_t allow_len;
	struct delivery *first; /* all in hand */
	bool is_stopping;
};

/* A row in hand. */
struct delivery {
	struct visit visit; /* first */
	struct delivery *prev, *next;
	struct webhook_channel *channel;
	struct attempt attempt;
	const struct signature_keys *keys;
	struct signature_keys *own_keys; /* of its endpoint; NULL: those of the options */
	enum task_state state;
	int64_t finished_at_ms;
	uint32_t party; /* its tenant, to whom names that hang are put down */
	char url[URL_MAX + 1];
	struct buf body;
};

static const char *const wanted_headers[] = {"retry-after", NULL};

static const struct slice nothing;

/* ---- the end of a try ---- */

static void delivery_free(struct delivery *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		d->channel->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	buf_done(&d->body);
	signature_keys_free(d->own_keys);
	free(d);
}

static void end_dead(struct delivery *d, int32_t status, const char *error, struct slice response)
{
	attempt_dead(&d->attempt, status, error, response);
	delivery_free(d);
}

static void end_failed(
	struct delivery *d, int32_t status, const char *error, struct slice response, int64_t asked_ms)
{
	attempt_failed(&d->attempt, status, error, response, asked_ms);
	delivery_free(d);
}

static void end_later(struct delivery *d, int64_t wait_ms)
{
	attempt_later(&d->attempt, wait_ms);
	delivery_free(d);
}

/* Not all at the same moment when the circuit closes; and counted when the schedule has come to the next attempt. */
static void end_closed(struct delivery *d, int64_t wait_ms)
{
	int64_t next_ms = d->attempt.due_at_ms + schedule_offset(&d->channel->schedule, d->attempt.made + 2) -
			  clock_wall_ms();

	wait_ms += (int64_t)((double)wait_ms * 0.2 * random_u32() / UINT32_MAX);
	if (next_ms <= 0)
		end_failed(d, 0, "not tried: its host has not been answering", nothing, 0);
	else
		end_later(d, wait_ms < next_ms ? wait_ms : next_ms);
}

static void say_error(const struct http_response *r, char error[ERROR_MAX])
{
	if (r->result != HTTP_ANSWERED && r->result != HTTP_TOO_LARGE)
		snprintf(error, ERROR_MAX, "%s", r->error);
	else if (r->status >= 300 && r->status < 400)
		snprintf(error, ERROR_MAX, "the receiver redirects (%d), which is not followed", r->status);
	else
		snprintf(error, ERROR_MAX, "the receiver answered %d", r->status);
}

static void end_answered(struct delivery *d, const struct http_response *r)
{
	char error[ERROR_MAX];

	say_error(r, error);
	switch (response_verdict(r)) {
	case RESPONSE_DELIVERED:
		attempt_delivered(&d->attempt, r->status, r->body);
		delivery_free(d);
		break;
	case RESPONSE_GONE: end_dead(d, r->status, error, r->body); break;
	case RESPONSE_FAILED:
		end_failed(
			d, r->status, error, r->body, response_asked_ms(r, r->headers[0], clock_wall_ms()));
		break;
	}
}

/* ---- calls ---- */

static void leave(struct delivery *d, enum response_host word)
{
	struct webhook_channel *c = d->channel;

	hosts_leave(c->hosts, &d->visit, word, clock_mono_ms());
	metrics_set(c->service->metrics, NOTIFIER_OPEN_CIRCUITS, (double)hosts_open_circuits(c->hosts));
}

static void pump(struct webhook_channel *c);

static void on_response(const struct http_response *r, void *arg)
{
	struct delivery *d = arg;
	struct webhook_channel *c = d->channel;

	leave(d, response_host(r));
	end_answered(d, r);
	pump(c);
}

static int start_call(struct delivery *d)
{
	const struct message m = {
		.id = d->attempt.row,
		.task_id = d->attempt.task_id,
		.state = d->state,
		.finished_at_ms = d->finished_at_ms,
		.body = buf_slice(&d->body),
	};
	struct http_request request = {
		.method = "POST",
		.url = d->url,
		.body = m.body,
		.timeout_ms = d->channel->options->timeout_ms,
		.response_max = CHANNEL_RESPONSE_MAX,
		.want_headers = wanted_headers,
		.party = d->party,
	};
	struct message_headers headers;
	struct http_call *call;
	int rc = message_make_headers(
		&m, d->keys, d->channel->options->cloudevents, clock_wall_ms(), &headers);

	request.headers = headers.lines;
	if (rc == 0)
		rc = http_call_start(d->channel->client, &request, on_response, d, &call);
	message_headers_done(&headers);
	return rc;
}

static void call(struct delivery *d)
{
	int rc;

	ticket_begin(d->attempt.ticket);
	rc = start_call(d);
	if (rc == 0)
		return;
	leave(d, RESPONSE_HOST_UNASKED);
	if (rc == -EINVAL)
		end_dead(d, 0, "its URL cannot be called", nothing);
	else
		end_later(d, AGAIN_MS);
}

static void take_turn(struct delivery *d, enum visit_turn turn, int64_t wait_ms)
{
	switch (turn) {
	case VISIT_GO: call(d); break;
	case VISIT_QUEUED:
		if (!event_pending(d->channel->timer, EV_TIMEOUT, NULL))
			timer_arm(d->channel->timer, LOOK_EVERY_MS);
		break;
	case VISIT_BUSY: end_later(d, wait_ms); break;
	case VISIT_CLOSED: end_closed(d, wait_ms); break;
	}
}

static void pump(struct webhook_channel *c)
{
	enum visit_turn turn;
	int64_t wait_ms;
	struct visit *v;

	while ((v = hosts_next(c->hosts, clock_mono_ms(), &turn, &wait_ms)))
		take_turn((struct delivery *)v, turn, wait_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct webhook_channel *c = arg;

	pump(c);
	if (hosts_queued(c->hosts) > 0)
		timer_arm(c->timer, LOOK_EVERY_MS);
}

/* ---- from a row to a delivery ---- */

static const struct signature_keys *keys_of(const struct webhook_channel *c, struct slice tenant)
{
	for (size_t i = 0; i < c->tenants_len; i++)
		if (slice_is_text(tenant, c->tenants[i].tenant))
			return c->tenants[i].keys;
	return c->keys;
}

/* The member "url" of the target, and its origin. 0, -EINVAL with *why, -ENOMEM. */
static int read_url(struct slice target, char url[URL_MAX + 1], struct buf *origin, const char **why)
{
	struct buf text;
	int rc;

	buf_init(&text, URL_MAX);
	rc = attempt_target_text(target, "url", &text);
	*why = rc == -EMSGSIZE ? "its URL is longer than 2048 bytes" : "its target has no URL";
	if (rc == 0)
		rc = url_check_origin(buf_slice(&text), origin, why);
	if (rc == 0) {
		memcpy(url, text.data, text.len);
		url[text.len] = '\0';
	}
	buf_done(&text);
	return rc == -ENOMEM ? rc : rc < 0 ? -EINVAL : 0;
}

static int add_secret(struct signature_keys *keys, struct slice secret)
{
	char text[SECRET_MAX + 1];

	if (secret.len > SECRET_MAX)
		return -EINVAL;
	memcpy(text, secret.data, secret.len);
	text[secret.len] = '\0';
	return signature_add_secret(keys, text);
}

/* What an endpoint shares with us is its own; the ed25519 key says who we are, to everybody the same. */
static int make_own_keys(struct delivery *d, const struct store_due *due)
{
	struct slice rest = due->old_secrets, old;
	int64_t now_ms = clock_wall_ms(), until_ms;
	int rc = signature_keys_new(&d->own_keys);

	if (rc == 0)
		rc = add_secret(d->own_keys, due->secret);
	while (rc == 0 && endpoint_next_old_secret(&rest, &old, &until_ms))
		if (until_ms > now_ms)
			rc = add_secret(d->own_keys, old);
	if (rc == 0)
		signature_share_ed25519(d->own_keys, d->channel->keys);
	return rc;
}

/* As prepare. */
static int choose_keys(struct delivery *d, const struct store_due *due, const char **why)
{
	int rc;

	if (!id_is_zero(&due->endpoint)) {
		*why = "the secret of its endpoint cannot be used";
		rc = make_own_keys(d, due);
		d->keys = d->own_keys;
		return rc;
	}
	*why = "no secret to sign with: set notifier.webhook.secrets";
	d->keys = keys_of(d->channel, due->task.tenant);
	return signature_keys_is_empty(d->keys) ? -EINVAL : 0;
}

/* 0; -EINVAL with *why: it can never be sent; -ENOMEM. */
static int prepare(struct delivery *d, const struct store_due *due, struct buf *origin, const char **why)
{
	int rc = read_url(due->target, d->url, origin, why);

	if (rc < 0)
		return rc;
	*why = "its task is gone";
	if (due->task.presence != STORE_PRESENT)
		return -EINVAL;
	rc = choose_keys(d, due, why);
	if (rc < 0)
		return rc;
	*why = "its message is too large";
	d->state = due->task.state;
	d->finished_at_ms = due->task.finished_at_ms;
	d->party = slice_hash(due->task.tenant);
	rc = message_render(&due->task, &d->body);
	return rc == -EMSGSIZE ? -EINVAL : rc;
}

static struct delivery *delivery_new(
	struct webhook_channel *c, const struct store_due *due, struct ticket *ticket)
{
	struct delivery *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->channel = c;
	d->next = c->first;
	if (c->first)
		c->first->prev = d;
	c->first = d;
	d->attempt = attempt_of(channel_webhook.name, &c->schedule, due, ticket);
	buf_init(&d->body, (size_t)c->service->options->amqp.max_message + ENVELOPE_MAX);
	return d;
}

static void enter(struct delivery *d, struct slice origin)
{
	int64_t early_ms = attempt_early_ms(&d->attempt, clock_wall_ms());
	enum visit_turn turn;
	int64_t wait_ms;

	if (early_ms > 0) {
		end_later(d, early_ms);
		return;
	}
	turn = hosts_enter(d->channel->hosts, origin, &d->visit, d->body.cap, clock_mono_ms(), &wait_ms);
	take_turn(d, turn, wait_ms);
}

static void send_due(void *self, const struct store_due *due, struct ticket *ticket)
{
	struct webhook_channel *c = self;
	struct delivery *d = c->is_stopping ? NULL : delivery_new(c, due, ticket);
	struct buf origin;
	const char *why;
	int rc;

	if (!d) {
		ticket_end(ticket, STORE_DUE_LATER, c->is_stopping ? 0 : AGAIN_MS, 0, NULL, nothing);
		return;
	}
	buf_init(&origin, ORIGIN_MAX);
	rc = prepare(d, due, &origin, &why);
	if (rc == -EINVAL)
		end_dead(d, 0, why, nothing);
	else if (rc < 0)
		end_later(d, AGAIN_MS);
	else
		enter(d, buf_slice(&origin));
	buf_done(&origin);
}

static size_t capacity(void *self)
{
	const struct webhook_channel *c = self;

	return c->is_stopping || hosts_bytes(c->hosts) >= BYTES_MAX ? 0 : IN_HAND_MAX;
}

static void stop(void *self)
{
	struct webhook_channel *c = self;
	struct visit *v;

	c->is_stopping = true;
	while ((v = hosts_drain(c->hosts)))
		end_later((struct delivery *)v, 0);
}

/* ---- life ---- */

static bool may_connect(const struct sockaddr *addr, void *arg)
{
	const struct webhook_channel *c = arg;

	return address_may_be_called(addr, c->allow, c->allow_len);
}

static int make_client(struct webhook_channel *c)
{
	const struct webhook_options *o = c->options;
	bool has_proxy = *o->proxy != '\0';
	const struct http_client_options options = {
		.user_agent = "Postback/" POSTBACK_VERSION,
		.connections_max = CONNECTIONS_MAX,
		.may_connect = has_proxy ? NULL : may_connect,
		.may_connect_arg = c,
		.is_verdict_lasting = true,
		.proxy = has_proxy ? o->proxy : NULL,
		.ca_file = *o->ca_file ? o->ca_file : NULL,
	};

	return http_client_new(c->service->loop, &options, &c->client);
}

static int make_hosts(struct webhook_channel *c)
{
	const struct webhook_options *o = c->options;
	const struct hosts_policy policy = {
		.circuit = {o->circuit.failures, o->circuit.open_ms, o->circuit.open_max_ms},
		.calls_max = (size_t)o->concurrency,
		.host_calls_max = (size_t)o->host_concurrency,
		.visits_max = IN_HAND_MAX,
		.bytes_max = BYTES_MAX,
		.queued_max_ms = QUEUED_MAX_MS,
	};

	return hosts_new(&policy, &c->hosts);
}

static int make_keys(
	const struct webhook_options *o, const struct option_list *secrets, struct signature_keys **out)
{
	const struct webhook_secret *items = secrets->items;
	int rc = signature_keys_new(out);

	for (size_t i = 0; i < secrets->len && rc == 0; i++)
		rc = signature_add_secret(*out, items[i].secret);
	if (rc == 0 && *o->signing_key)
		rc = signature_set_ed25519(*out, o->signing_key);
	return rc;
}

static int make_all_keys(struct webhook_channel *c)
{
	const struct webhook_tenant *tenants = c->options->tenants.items;
	int rc = make_keys(c->options, &c->options->secrets, &c->keys);

	c->tenants = calloc(c->options->tenants.len + 1, sizeof *c->tenants);
	if (!c->tenants)
		return -ENOMEM;
	for (size_t i = 0; i < c->options->tenants.len && rc == 0; i++) {
		c->tenants[i].tenant = tenants[i].tenant;
		c->tenants_len++;
		rc = make_keys(c->options, &tenants[i].secrets, &c->tenants[i].keys);
	}
	return rc;
}

static int make_allow(struct webhook_channel *c)
{
	const struct option_strings *allow = &c->options->allow;
	int rc = 0;

	c->allow = calloc(allow->len + 1, sizeof *c->allow);
	if (!c->allow)
		return -ENOMEM;
	for (size_t i = 0; i < allow->len && rc == 0; i++)
		rc = address_range_parse(allow->items[i], &c->allow[i]);
	c->allow_len = allow->len;
	return rc;
}

static void webhook_free(void *self)
{
	struct webhook_channel *c = self;

	if (!c)
		return;
	http_client_free(c->client);
	while (c->first)
		end_later(c->first, 0);
	hosts_free(c->hosts);
	if (c->timer)
		event_free(c->timer);
	for (size_t i = 0; i < c->tenants_len; i++)
		signature_keys_free(c->tenants[i].keys);
	free(c->tenants);
	signature_keys_free(c->keys);
	free(c->allow);
	free(c);
}

static int start(struct service *s, const struct notifier_options *options, struct store *store, void **self)
{
	struct webhook_channel *c = calloc(1, sizeof *c);
	const struct option_strings *schedule = &options->webhook.schedule;
	int rc = -ENOMEM;

	if (!c)
		return rc;
	c->service = s;
	c->options = &options->webhook;
	c->timer = loop_timer(s->loop, on_timer, c);
	if (c->timer)
		rc = schedule_parse(schedule->items, schedule->len, &c->schedule);
	if (rc == 0)
		rc = make_all_keys(c);
	if (rc == 0)
		rc = make_allow(c);
	if (rc == 0)
		rc = make_hosts(c);
	if (rc == 0)
		rc = make_client(c);
	if (rc < 0)
		webhook_free(c);
	else
		*self = c;
	return rc;
}

const struct channel channel_webhook = {
	.name = "webhook",
	.delivers = true,
	.start = start,
	.free = webhook_free,
	.capacity = capacity,
	.send = send_due,
	.stop = stop,
};
