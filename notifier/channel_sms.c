#include "notifier/channel_sms.h"

#include <errno.h>
#include <stdlib.h>

#include "notifier/attempt.h"
#include "notifier/quota.h"
#include "notifier/sms_provider.h"
#include "notifier/template.h"
#include "runtime/clock.h"
#include "runtime/e164.h"
#include "runtime/http_client.h"
#include "service/status.h"

enum {
	AGAIN_MS = 1000,
	ENVELOPE_MAX = 4 << 20,	 /* what a status document may have beside its result */
	FILLED_MAX = 4 << 20,	 /* the text before it is cut */
	VALUE_MAX = 16 << 10,	 /* of a placeholder in the text; far beyond what is ever sent */
	RESPONSE_MAX = 16 << 10, /* read for the provider's codes; less of it is kept */
	THROTTLED_MS = 1000,	 /* when it does not say for how long */
	THROTTLED_MAX_MS = 60000,
};

struct sms_channel {
	struct service *service;
	const struct sms_options *options;
	const struct sms_provider *provider;
	struct http_client *client;
	struct quota *quota;
	struct schedule schedule;
	struct text *first;	/* all in hand */
	int64_t quiet_until_ms; /* the provider has too much of us; monotonic */
	bool is_stopping;
};

/* A row in hand, while the provider is asked. */
struct text {
	struct text *prev, *next;
	struct sms_channel *channel;
	struct attempt attempt;
	struct sms_request request;
};

static const char *const wanted_headers[] = {"retry-after", NULL};

static const struct slice nothing;

/* ---- texts in hand ---- */

static struct text *text_new(struct sms_channel *c, const struct attempt *a)
{
	struct text *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->channel = c;
	t->attempt = *a;
	t->next = c->first;
	if (c->first)
		c->first->prev = t;
	c->first = t;
	return t;
}

static void text_free(struct text *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->channel->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	sms_request_done(&t->request);
	free(t);
}

/* ---- the provider's answer ---- */

static void keep_quiet(struct sms_channel *c, int64_t asked_ms)
{
	int64_t wait_ms = asked_ms > 0 ? asked_ms : THROTTLED_MS;

	c->quiet_until_ms = clock_mono_ms() + (wait_ms < THROTTLED_MAX_MS ? wait_ms : THROTTLED_MAX_MS);
}

static void end(struct text *t, const struct http_response *r, const struct sms_answer *answer)
{
	struct slice kept = slice_of(
		r->body.data, r->body.len < CHANNEL_RESPONSE_MAX ? r->body.len : CHANNEL_RESPONSE_MAX);

	switch (answer->verdict) {
	case SMS_DELIVERED: attempt_delivered(&t->attempt, r->status, kept); break;
	case SMS_AGAIN: attempt_failed(&t->attempt, r->status, answer->error, kept, answer->asked_ms); break;
	case SMS_DEAD: attempt_dead(&t->attempt, r->status, answer->error, kept); break;
	}
	text_free(t);
}

static void on_response(const struct http_response *r, void *arg)
{
	struct text *t = arg;
	struct sms_answer answer;

	sms_provider_judge(t->channel->provider, r, r->headers[0], clock_wall_ms(), &answer);
	if (answer.is_throttled)
		keep_quiet(t->channel, answer.asked_ms);
	end(t, r, &answer);
}

/* ---- from a row to a call ---- */

static bool is_allowed(const struct sms_options *o, struct slice to)
{
	for (size_t i = 0; i < o->allow_to.len; i++) {
		struct slice prefix = slice_text(o->allow_to.items[i]);

		if (to.len >= prefix.len && memcmp(to.data, prefix.data, prefix.len) == 0)
			return true;
	}
	return false;
}

/* What stands against sending it, ever; NULL: nothing. */
static const char *objection(const struct sms_channel *c, const struct store_due *due, struct slice to)
{
	const char *why;

	if (!*c->options->url)
		return "no provider to send it with: set notifier.sms.url";
	if (due->task.presence != STORE_PRESENT)
		return "its task is gone";
	if (e164_check(to, &why) < 0)
		return "its target has no telephone number";
	if (!is_allowed(c->options, to))
		return "its number is not among notifier.sms.allow_to";
	return NULL;
}

/* The text as it is sent: filled, cleaned, cut. It borrows `clean`. 0, -ENODATA (nothing is left), -EMSGSIZE, -ENOMEM. */
static int write_text(const struct sms_options *o, struct slice document, struct buf *filled,
	struct buf *clean, struct sms_text *out)
{
	const struct template_source source = {.document = document, .value_max = VALUE_MAX};
	int rc = template_render(slice_text(o->text), TEMPLATE_TEXT, &source, filled);

	if (rc == 0)
		rc = sms_text_clean(buf_slice(filled), clean);
	if (rc < 0)
		return rc;
	*out = sms_text_fit(buf_slice(clean), (size_t)o->segments);
	return out->segments > 0 ? 0 : -ENODATA;
}

static int build_with(const struct sms_channel *c, const struct store_due *due, struct slice to,
	struct slice document, struct sms_request *out)
{
	char delivery[ID_TEXT_LEN + 1];
	struct sms_text fit;
	struct buf filled, clean;
	int rc;

	id_format(&due->row, delivery);
	buf_init(&filled, FILLED_MAX);
	buf_init(&clean, FILLED_MAX);
	rc = write_text(c->options, document, &filled, &clean, &fit);
	if (rc == 0) {
		const struct sms_message m = {
			.to = to,
			.text = fit.text,
			.alphabet = fit.alphabet,
			.delivery = slice_text(delivery),
			.document = document,
		};

		rc = sms_provider_build(c->options, &m, out);
	}
	buf_done(&filled);
	buf_done(&clean);
	return rc;
}

/* 0; -ENODATA, -EINVAL or -EMSGSIZE: never; -ENOMEM. */
static int build(
	const struct sms_channel *c, const struct store_due *due, struct slice to, struct sms_request *out)
{
	struct buf document;
	int rc;

	buf_init(&document, (size_t)c->service->options->amqp.max_message + ENVELOPE_MAX);
	status_render(&due->task, &document);
	rc = document.error ? document.error : build_with(c, due, to, buf_slice(&document), out);
	buf_done(&document);
	return rc;
}

static int start_call(struct text *t)
{
	const struct http_request request = {
		.method = t->request.method,
		.url = (const char *)t->request.url.data,
		.headers = t->request.lines,
		.body = buf_slice(&t->request.body),
		.timeout_ms = t->channel->options->timeout_ms,
		.response_max = RESPONSE_MAX,
		.want_headers = wanted_headers,
	};
	struct http_call *call;

	ticket_begin(t->attempt.ticket);
	return http_call_start(t->channel->client, &request, on_response, t, &call);
}

static void send_text(
	struct sms_channel *c, const struct store_due *due, struct slice to, const struct attempt *a)
{
	struct text *t = text_new(c, a);
	int rc = t ? build(c, due, to, &t->request) : -ENOMEM;

	if (rc == 0)
		rc = start_call(t);
	if (rc == 0)
		return;
	if (rc == -ENOMEM)
		attempt_later(a, AGAIN_MS);
	else
		attempt_dead(a, 0,
			rc == -ENODATA ? "its text is empty"
				       : "it cannot be put as the provider wants it: see notifier.sms",
			nothing);
	if (t)
		text_free(t);
}

static void consider(
	struct sms_channel *c, const struct store_due *due, struct slice to, const struct attempt *a)
{
	const char *why = objection(c, due, to);
	int64_t early_ms = attempt_early_ms(a, clock_wall_ms());
	int64_t wait_ms;

	if (why)
		attempt_dead(a, 0, why, nothing);
	else if (early_ms > 0)
		attempt_later(a, early_ms);
	else if (!quota_take(c->quota, due->task.tenant, clock_mono_ms(), &wait_ms))
		attempt_later(a, wait_ms);
	else
		send_text(c, due, to, a);
}

static void send_due(void *self, const struct store_due *due, struct ticket *ticket)
{
	struct sms_channel *c = self;
	struct attempt a = attempt_of(channel_sms.name, &c->schedule, due, ticket);
	struct buf to;

	if (c->is_stopping) {
		attempt_later(&a, 0);
		return;
	}
	buf_init(&to, E164_TEXT_MAX);
	if (attempt_target_text(due->target, "to", &to) == -ENOMEM)
		attempt_later(&a, AGAIN_MS);
	else
		consider(c, due, buf_slice(&to), &a);
	buf_done(&to);
}

static size_t capacity(void *self)
{
	const struct sms_channel *c = self;

	return c->is_stopping || clock_mono_ms() < c->quiet_until_ms ? 0 : (size_t)c->options->concurrency;
}

static void stop(void *self)
{
	struct sms_channel *c = self;

	c->is_stopping = true;
}

/* ---- life ---- */

/* No guard: scheme, host and port are the configuration's, whatever a task holds, and no redirect is followed. */
static int make_client(struct sms_channel *c)
{
	const struct sms_options *o = c->options;
	const struct http_client_options options = {
		.user_agent = "Postback/" POSTBACK_VERSION,
		.connections_max = o->concurrency,
		.proxy = *o->proxy ? o->proxy : NULL,
		.ca_file = *o->ca_file ? o->ca_file : NULL,
	};

	return http_client_new(c->service->loop, &options, &c->client);
}

static void sms_free(void *self)
{
	struct sms_channel *c = self;

	if (!c)
		return;
	http_client_free(c->client);
	while (c->first) {
		attempt_later(&c->first->attempt, 0);
		text_free(c->first);
	}
	quota_free(c->quota);
	free(c);
}

static int start(struct service *s, const struct notifier_options *options, struct store *store, void **self)
{
	struct sms_channel *c = calloc(1, sizeof *c);
	const struct option_strings *schedule = &options->sms.schedule;
	int rc;

	if (!c)
		return -ENOMEM;
	c->service = s;
	c->options = &options->sms;
	c->provider = sms_provider_of(c->options->provider);
	rc = schedule_parse(schedule->items, schedule->len, &c->schedule);
	if (rc == 0)
		rc = quota_new((double)c->options->rate, &c->quota);
	if (rc == 0)
		rc = make_client(c);
	if (rc < 0)
		sms_free(c);
	else
		*self = c;
	return rc;
}

const struct channel channel_sms = {
	.name = "sms",
	.delivers = true,
	.start = start,
	.free = sms_free,
	.capacity = capacity,
	.send = send_due,
	.stop = stop,
};
