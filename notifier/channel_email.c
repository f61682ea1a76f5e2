#include "notifier/channel_email.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "notifier/attempt.h"
#include "notifier/email_client.h"
#include "notifier/email_compose.h"
#include "notifier/quota.h"
#include "proto/name.h"
#include "runtime/clock.h"

enum {
	IN_HAND_EACH = 16,	   /* for each connection */
	BYTES_MAX = 64 << 20,	   /* of all messages in hand */
	ENVELOPE_BYTES = 64 << 10, /* taken by a message beside what is attached */
	MESSAGE_MAX = 32 << 20,
	QUEUED_MAX_MS = 15000, /* with the longest timeout still below the lease */
	AGAIN_MS = 1000,
	LOG_EVERY_MS = 10000,
};

struct email_channel {
	struct store *store;
	const struct email_options *options;
	struct email_client *client; /* NULL: no server is configured */
	struct quota *quota;
	struct schedule schedule;
	LIST_HEAD(, delivery) in_hand;
	size_t bytes;
	struct log_gate troubles[EMAIL_TROUBLE_TLS + 1];
	bool is_stopping;
};

/* A row in hand. */
struct delivery {
	struct email_job job; /* first */
	LIST_ENTRY(delivery) link;
	struct email_channel *channel;
	struct attempt attempt;
	struct email_texts texts;
	size_t bytes;
	struct buf message;
};

static const struct slice nothing;

/* ---- the end of a try ---- */

static void delivery_free(struct delivery *d)
{
	LIST_REMOVE(d, link);
	d->channel->bytes -= d->bytes;
	buf_done(&d->message);
	free(d);
}

static void end_later(struct delivery *d, int64_t wait_ms)
{
	attempt_later(&d->attempt, wait_ms);
	delivery_free(d);
}

static void end_dead(struct delivery *d, const char *error)
{
	attempt_dead(&d->attempt, 0, error, nothing);
	delivery_free(d);
}

/* Of what the operator has to see to, not of what is wrong with one mail. */
static void log_trouble(struct email_channel *c, const struct email_outcome *o)
{
	const char *url = c->options->url;
	unsigned suppressed;

	if (o->trouble == EMAIL_TROUBLE_NONE ||
		!log_gate_pass(&c->troubles[o->trouble], LOG_EVERY_MS, &suppressed))
		return;
	if (o->trouble == EMAIL_TROUBLE_LOGIN)
		log_warn("email_login_failed", LOG_TEXT("url", url), LOG_TEXT("error", o->error),
			LOG_INT("suppressed", suppressed));
	else
		log_warn("email_tls_failed", LOG_TEXT("url", url), LOG_TEXT("error", o->error),
			LOG_INT("suppressed", suppressed));
}

static void end_tried(struct delivery *d)
{
	const struct email_session *s = &d->job.session;
	const struct email_outcome *o = &d->job.outcome;
	struct slice reply = o->status ? slice_of(s->reply, s->reply_len) : nothing;

	ticket_began(d->attempt.ticket, d->job.began_ms);
	switch (o->verdict) {
	case EMAIL_DELIVERED: attempt_delivered(&d->attempt, o->status, reply); break;
	case EMAIL_AGAIN: attempt_failed(&d->attempt, o->status, o->error, reply, 0); break;
	case EMAIL_DEAD: attempt_dead(&d->attempt, o->status, o->error, reply); break;
	}
	log_trouble(d->channel, o);
	delivery_free(d);
}

static void on_done(struct email_job *job, void *arg)
{
	struct delivery *d = (struct delivery *)job;

	if (job->was_tried)
		end_tried(d);
	else
		end_later(d, d->channel->is_stopping ? 0 : AGAIN_MS);
}

/* ---- from a row to a message ---- */

static const struct option_strings *allowed_of(const struct email_options *o, struct slice tenant)
{
	const struct email_tenant *tenants = o->tenants.items;

	for (size_t i = 0; i < o->tenants.len; i++)
		if (slice_is_text(tenant, tenants[i].tenant))
			return &tenants[i].allow_to;
	return &o->allow_to;
}

static bool is_allowed(const struct option_strings *patterns, const char *address)
{
	for (size_t i = 0; i < patterns->len; i++)
		if (fnmatch(patterns->items[i], address, FNM_CASEFOLD | FNM_NOESCAPE) == 0)
			return true;
	return false;
}

/* 0, -EINVAL: no address stands there, -ENOMEM. */
static int read_to(struct slice target, char to[EMAIL_ADDRESS_MAX + 1])
{
	struct buf text;
	const char *why;
	int rc;

	buf_init(&text, EMAIL_ADDRESS_MAX);
	rc = attempt_target_text(target, "to", &text);
	if (rc == 0)
		rc = email_address_check(buf_slice(&text), &why);
	if (rc == 0) {
		memcpy(to, text.data, text.len);
		to[text.len] = '\0';
	}
	buf_done(&text);
	return rc == 0 || rc == -ENOMEM ? rc : -EINVAL;
}

/* 0, -EINVAL: there is no such template, -ENOMEM. */
static int find_template(const struct email_options *o, struct slice target, struct email_texts *out)
{
	struct buf name;
	int rc;

	buf_init(&name, NAME_MAX_LEN + 1);
	rc = attempt_target_text(target, "template", &name);
	if (rc == -ENOENT)
		rc = buf_append_text(&name, EMAIL_DEFAULT_TEMPLATE);
	if (rc == 0 && !buf_text(&name))
		rc = name.error;
	if (rc == 0 && !email_template_find(o, buf_text(&name), out))
		rc = -EINVAL;
	buf_done(&name);
	return rc == 0 || rc == -ENOMEM ? rc : -EINVAL;
}

/* 0; -EINVAL with *why: it can never be sent; -ENOMEM. */
static int prepare(struct delivery *d, const struct store_due *due, const char **why)
{
	const struct email_channel *c = d->channel;
	int rc;

	*why = "no mail server: set notifier.email.url";
	if (!c->client)
		return -EINVAL;
	*why = "its task is gone";
	if (due->task.presence != STORE_PRESENT)
		return -EINVAL;
	*why = "its target has no address";
	rc = read_to(due->target, d->job.to);
	if (rc < 0)
		return rc;
	*why = "its address is not among those that may be written to: see notifier.email.allow_to";
	if (!is_allowed(allowed_of(c->options, due->task.tenant), d->job.to))
		return -EINVAL;
	*why = "it names a template that notifier.email.templates has not";
	return find_template(c->options, due->target, &d->texts);
}

static void take_from(struct delivery *d)
{
	struct slice name, from;
	const char *why;

	/* Checked with the options. */
	if (email_mailbox_parse(slice_text(d->channel->options->from), &name, &from, &why) == 0)
		memcpy(d->job.from, from.data, from.len);
}

/* Composes the mail and hands it over. */
static void compose(struct delivery *d, const struct store_task *task)
{
	struct email_channel *c = d->channel;
	const struct email_wish wish = {
		.texts = d->texts,
		.row = d->attempt.row,
		.to = slice_text(d->job.to),
		.now_ms = clock_wall_ms(),
	};
	int rc = email_compose(c->options, &wish, task, &d->message);

	if (rc == -EMSGSIZE || rc == -EINVAL) {
		end_dead(d, rc == -EMSGSIZE ? "its message is too large" : "its message cannot be made");
	} else if (rc < 0) {
		end_later(d, AGAIN_MS);
	} else {
		take_from(d);
		d->job.message = buf_slice(&d->message);
		email_client_send(c->client, &d->job);
	}
}

static void on_result(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct delivery *d = arg;

	if (rc < 0 || d->channel->is_stopping)
		end_later(d, d->channel->is_stopping ? 0 : AGAIN_MS);
	else if (tasks[0].presence != STORE_PRESENT)
		end_dead(d, "its task is gone");
	else
		compose(d, &tasks[0]);
}

static struct delivery *delivery_new(
	struct email_channel *c, const struct store_due *due, struct ticket *ticket)
{
	struct delivery *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->channel = c;
	LIST_INSERT_HEAD(&c->in_hand, d, link);
	d->attempt = attempt_of("email", &c->schedule, due, ticket);
	d->job.begin_by_ms = clock_mono_ms() + QUEUED_MAX_MS;
	buf_init(&d->message, MESSAGE_MAX);
	return d;
}

/* True when it has to wait, *wait_ms long: for the schedule, for room, for its tenant's rate, in this order. */
static bool must_wait(struct delivery *d, const struct store_due *due, int64_t *wait_ms)
{
	struct email_channel *c = d->channel;
	size_t bytes = ENVELOPE_BYTES;

	*wait_ms = attempt_early_ms(&d->attempt, clock_wall_ms());
	if (*wait_ms > 0)
		return true;
	if (email_attaches(c->options, &due->task))
		bytes += (size_t)due->task.result_len * 2;
	*wait_ms = AGAIN_MS;
	if (c->bytes > 0 && c->bytes + bytes > BYTES_MAX)
		return true;
	if (!quota_take(c->quota, due->task.tenant, clock_mono_ms(), wait_ms))
		return true;
	d->bytes = bytes;
	c->bytes += bytes;
	return false;
}

static void enter(struct delivery *d, const struct store_due *due)
{
	struct email_channel *c = d->channel;
	int64_t wait_ms;

	if (must_wait(d, due, &wait_ms))
		end_later(d, wait_ms);
	else if (!email_attaches(c->options, &due->task))
		compose(d, &due->task);
	else if (store_tasks_get(c->store, &due->task_id, 1, STORE_WITH_RESULT, on_result, d) < 0)
		end_later(d, AGAIN_MS);
}

static void send_due(void *self, const struct store_due *due, struct ticket *ticket)
{
	struct email_channel *c = self;
	struct delivery *d = c->is_stopping ? NULL : delivery_new(c, due, ticket);
	const char *why;
	int rc;

	if (!d) {
		ticket_end(ticket, STORE_DUE_LATER, c->is_stopping ? 0 : AGAIN_MS, 0, NULL, nothing);
		return;
	}
	rc = prepare(d, due, &why);
	if (rc == -EINVAL)
		end_dead(d, why);
	else if (rc < 0)
		end_later(d, AGAIN_MS);
	else
		enter(d, due);
}

static size_t capacity(void *self)
{
	const struct email_channel *c = self;

	return c->is_stopping || c->bytes >= BYTES_MAX ? 0 : (size_t)c->options->concurrency * IN_HAND_EACH;
}

static void stop(void *self)
{
	struct email_channel *c = self;
	struct email_job *job;

	c->is_stopping = true;
	while (c->client && (job = email_client_take_back(c->client)))
		end_later((struct delivery *)job, 0);
}

/* ---- life ---- */

static void email_free(void *self)
{
	struct email_channel *c = self;

	if (!c)
		return;
	email_client_free(c->client);
	while (!LIST_EMPTY(&c->in_hand))
		end_later(LIST_FIRST(&c->in_hand), 0);
	quota_free(c->quota);
	free(c);
}

static int start(struct service *s, const struct notifier_options *options, struct store *store, void **self)
{
	struct email_channel *c = calloc(1, sizeof *c);
	const struct email_options *o = &options->email;
	int rc;

	if (!c)
		return -ENOMEM;
	c->store = store;
	c->options = o;
	rc = schedule_parse(o->schedule.items, o->schedule.len, &c->schedule);
	if (rc == 0)
		rc = quota_new((double)o->rate, &c->quota);
	if (rc == 0 && *o->url)
		rc = email_client_new(s->loop, o, on_done, c, &c->client);
	if (rc < 0)
		email_free(c);
	else
		*self = c;
	return rc;
}

const struct channel channel_email = {
	.name = "email",
	.delivers = true,
	.start = start,
	.free = email_free,
	.capacity = capacity,
	.send = send_due,
	.stop = stop,
};
