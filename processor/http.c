/*
 * http: an upstream that does the work, such as an existing web application. The payload is the request's body, the
 * answer's body the result.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor/kind.h"
#include "processor/upstream.h"
#include "processor/url_fill.h"
#include "proto/wire.h"
#include "runtime/clock.h"
#include "runtime/http_client.h"

enum {
	REDIRECTS_MAX = 3,
	URL_MAX = 16384,
	HEADER_MAX = 1024,
	OWN_HEADERS_MAX = 5,
	DATA_MAX = 1024 * 1024, /* of an error's body; a longer one is left out */
};

struct http_handler {
	const struct handler_options *options;
	struct http_client *client;
	struct http_work *first;
};

/* One job and its calls, one after the other. */
struct http_work {
	struct http_handler *handler;
	struct http_work *prev, *next;
	struct job *job;
	struct http_call *call;
	char *url;
	unsigned redirects;
	int64_t end_ms; /* monotonic */
};

static bool is_chosen(const struct handler_options *o)
{
	return o->http.url;
}

static bool is_header(const char *line)
{
	size_t name = strcspn(line, ": ");

	return name > 0 && line[name] == ':' && !strpbrk(line, "\r\n");
}

static bool is_method(const char *method)
{
	return *method && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(method);
}

static void check(const struct handler_options *o, struct complaints *c)
{
	const char *why;

	if (url_template_check(o->http.url, &why) < 0)
		complain(c, "http.url", "%s", why);
	if (!is_method(o->http.method))
		complain(c, "http.method", "is not an HTTP method in capitals");
	for (size_t i = 0; i < o->http.headers.len; i++)
		if (!is_header(o->http.headers.items[i]))
			complain(c, "http.headers", "entry %zu is not \"Name: value\"", i);
}

static int start(const struct kind_env *env, const struct handler_options *o, void **self)
{
	struct http_client_options opt = {
		.user_agent = "postback-processor/" POSTBACK_VERSION,
		.connections_max = o->http.connections ? o->http.connections : o->concurrency,
	};
	struct http_handler *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return -ENOMEM;
	h->options = o;
	rc = http_client_new(env->loop, &opt, &h->client);
	if (rc < 0)
		free(h);
	else
		*self = h;
	return rc;
}

static void work_free(struct http_work *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->handler->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	free(w->url);
	free(w);
}

static void work_end(struct http_work *w, const struct outcome *outcome)
{
	struct job *job = w->job;

	work_free(w);
	job_done(job, outcome);
}

/* ---- the request ---- */

struct header_lines {
	char text[OWN_HEADERS_MAX][HEADER_MAX];
	size_t len;
};

static void add_header(struct header_lines *h, const char *name, struct slice value)
{
	if (!value.len || memchr(value.data, '\r', value.len) || memchr(value.data, '\n', value.len) ||
		memchr(value.data, '\0', value.len) || h->len == OWN_HEADERS_MAX)
		return;
	if (snprintf(h->text[h->len], HEADER_MAX, "%s: %.*s", name, SLICE_ARG(value)) < HEADER_MAX)
		h->len++;
}

static void describe(const struct job *job, struct header_lines *h)
{
	char number[16];
	char id[ID_TEXT_LEN + 1];

	id_format(&job->request->id, id);
	snprintf(number, sizeof number, "%u", job->request->attempt);
	h->len = 0;
	add_header(h, "Content-Type", job->request->content_type);
	add_header(h, "Idempotency-Key", slice_text(id));
	add_header(h, "Postback-Attempt", slice_text(number));
	add_header(h, "traceparent", job->traceparent);
	add_header(h, "tracestate", job->tracestate);
}

static void on_answer(const struct http_response *r, void *arg);

static int call(struct http_work *w)
{
	static const char *const wanted[] = {"retry-after", "location", NULL};
	const struct handler_options *o = w->handler->options;
	int64_t left_ms = w->end_ms - clock_mono_ms();
	struct header_lines own;
	const char **headers;
	size_t len = 0;
	int rc;

	describe(w->job, &own);
	headers = calloc(own.len + o->http.headers.len + 1, sizeof *headers);
	if (!headers)
		return -ENOMEM;
	for (size_t i = 0; i < own.len; i++)
		headers[len++] = own.text[i];
	for (size_t i = 0; i < o->http.headers.len; i++)
		headers[len++] = o->http.headers.items[i];
	rc = http_call_start(w->handler->client,
		&(struct http_request){
			.method = o->http.method,
			.url = w->url,
			.headers = headers,
			.body = w->job->request->payload,
			.timeout_ms = left_ms > 1 ? left_ms : 1,
			.response_max = (size_t)o->output_limit,
			.want_headers = wanted,
		},
		on_answer, w, &w->call);
	free(headers);
	return rc;
}

/* ---- the answer ---- */

static void fail(struct http_work *w, enum outcome_kind kind, const char *type, const char *message)
{
	struct outcome outcome = {
		.kind = kind, .error_type = slice_text(type), .message = slice_text(message)};

	work_end(w, &outcome);
}

static void redirect(struct http_work *w, struct slice location)
{
	char *url = NULL;
	int rc;

	if (w->redirects++ == REDIRECTS_MAX) {
		fail(w, OUTCOME_FAILED, "upstream_redirect", "the upstream redirects more than three times");
		return;
	}
	rc = upstream_redirect(w->url, location, &url);
	if (rc < 0) {
		fail(w, rc == -ENOMEM ? OUTCOME_RETRY : OUTCOME_FAILED, "upstream_redirect",
			rc == -EXDEV ? "the upstream redirects to another origin"
				     : "the upstream redirects to nowhere");
		return;
	}
	free(w->url);
	w->url = url;
	if (call(w) < 0)
		fail(w, OUTCOME_RETRY, "upstream_unreachable", "the call could not be made");
}

static void refused(struct http_work *w, const struct http_response *r)
{
	char message[160];
	struct buf data;
	struct outcome o = {
		.kind = upstream_outcome(r->status),
		.error_type = slice_text("upstream_status"),
		.status = r->status,
		.message = slice_of(message, 0),
		.content_type = r->content_type,
	};

	buf_init(&data, DATA_MAX + 16);
	snprintf(message, sizeof message, "the upstream answered %d", r->status);
	o.message = slice_text(message);
	if (o.kind == OUTCOME_RETRY)
		o.retry_after_ms = http_retry_after_ms(r->headers[0], clock_wall_ms());
	if (r->body.len && r->body.len <= DATA_MAX && wire_bin(r->body, &data) == 0)
		o.data = buf_slice(&data);
	work_end(w, &o);
	buf_done(&data);
}

static void succeeded(struct http_work *w, const struct http_response *r)
{
	const char *own = w->handler->options->content_type;
	struct outcome o = {
		.kind = OUTCOME_SUCCEEDED,
		.result = r->body,
		.content_type = own		      ? slice_text(own)
				: r->content_type.len ? r->content_type
						      : slice_text("application/octet-stream"),
	};

	work_end(w, &o);
}

static void answered(struct http_work *w, const struct http_response *r)
{
	if (upstream_is_redirect(r->status) && r->headers[1].len)
		redirect(w, r->headers[1]);
	else if (upstream_outcome(r->status) == OUTCOME_SUCCEEDED)
		succeeded(w, r);
	else
		refused(w, r);
}

static void on_answer(const struct http_response *r, void *arg)
{
	struct http_work *w = arg;

	w->call = NULL;
	switch (r->result) {
	case HTTP_ANSWERED: answered(w, r); return;
	case HTTP_TOO_LARGE:
		fail(w, OUTCOME_FAILED, "output_too_large", "the upstream's answer is over the output limit");
		return;
	case HTTP_TIMED_OUT: fail(w, OUTCOME_RETRY, "timeout", "the upstream did not answer in time"); return;
	case HTTP_REFUSED:
	case HTTP_FAILED: fail(w, OUTCOME_RETRY, "upstream_unreachable", r->error); return;
	}
}

/* ---- the kind ---- */

static int make_url(struct http_work *w, char *why, size_t why_len)
{
	struct buf url;
	size_t len;
	uint8_t *text;
	int rc;

	buf_init(&url, URL_MAX);
	rc = url_fill(w->handler->options->http.url, w->job->request->payload, &url, why, why_len);
	if (rc == 0)
		rc = buf_append_byte(&url, '\0');
	if (rc == 0)
		rc = buf_take(&url, &text, &len);
	if (rc == 0)
		w->url = (char *)text;
	if (rc == -EMSGSIZE)
		snprintf(why, why_len, "the URL would be longer than %d bytes", URL_MAX);
	buf_done(&url);
	return rc;
}

static int run_job(void *self, struct job *job)
{
	struct http_handler *h = self;
	struct http_work *w = calloc(1, sizeof *w);
	char why[400] = "";
	int rc;

	if (!w)
		return -ENOMEM;
	*w = (struct http_work){
		.handler = h, .next = h->first, .job = job, .end_ms = clock_mono_ms() + job->timeout_ms};
	if (h->first)
		h->first->prev = w;
	h->first = w;
	job->state = w;
	rc = make_url(w, why, sizeof why);
	if (rc == -EINVAL || rc == -EMSGSIZE) {
		fail(w, OUTCOME_FAILED, "bad_payload", why);
		return 0;
	}
	if (rc == 0)
		rc = call(w);
	if (rc < 0)
		work_free(w);
	return rc;
}

static void cancel(void *self, struct job *job)
{
	struct http_work *w = job->state;

	if (w->call)
		http_call_cancel(w->call);
	fail(w, OUTCOME_RETRY, "interrupted", "the call was given up");
}

static void free_handler(void *self)
{
	struct http_handler *h = self;

	if (!h)
		return;
	while (h->first) {
		if (h->first->call)
			http_call_cancel(h->first->call);
		work_free(h->first);
	}
	http_client_free(h->client);
	free(h);
}

const struct handler_kind kind_http = {
	.name = "http",
	.is_chosen = is_chosen,
	.check = check,
	.start = start,
	.run = run_job,
	.cancel = cancel,
	.free = free_handler,
};
