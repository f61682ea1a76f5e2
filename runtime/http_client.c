#include "runtime/http_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/quote.h"

enum { METHOD_MAX = 16, HOST_MAX = 255, RETRY_AFTER_TEXT_MAX = 64, DAY_MS = 24 * 3600 * 1000, IDLE_MAX = 64 };

/* Where a call is: queued for a look-up, in curl's hands, or over with its callback on the stack. */
enum call_state { CALL_QUEUED, CALL_RUNNING, CALL_DONE };

struct http_call {
	struct http_call *prev, *next; /* all calls of the client, oldest first */
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	size_t head_len; /* bytes of response heads so far */
	http_done_cb *cb;
	void *arg;
	char want[HTTP_WANT_MAX][HTTP_WANT_NAME_MAX + 1];
	char host[HOST_MAX + 1]; /* for messages */
	char curl_error[CURL_ERROR_SIZE];
	int64_t started_ms, timeout_ms;
	enum call_state state;
	bool is_name;	    /* the host is to be looked up */
	bool has_user;	    /* in its URL */
	bool is_looking_up; /* counts in client->lookups */
	struct lookup lookup;
	bool is_refused; /* by may_connect */
	bool is_allowed; /* by may_connect, for one address at least */
	bool is_too_large;
};

struct http_client {
	struct event_base *base;
	struct event *timer; /* curl's one */
	struct event *queue; /* sees to the calls that wait for a look-up */
	CURLM *multi;
	CURL *idle[IDLE_MAX]; /* to make one costs about as much as a call */
	size_t idle_len;
	struct http_call *first, *last;
	struct lookups lookups;
	size_t queued;
	unsigned depth; /* of our functions on the stack that call users or still use the client afterwards */
	bool is_freed;
	bool (*may_connect)(const struct sockaddr *addr, void *arg);
	void *may_connect_arg;
	bool is_verdict_lasting;
	char *user_agent;
	char *proxy;
	char *ca_file;
};

const char *http_result_name(enum http_result result)
{
	switch (result) {
	case HTTP_ANSWERED: return "answered";
	case HTTP_TOO_LARGE: return "too_large";
	case HTTP_TIMED_OUT: return "timed_out";
	case HTTP_REFUSED: return "refused";
	case HTTP_FAILED: return "failed";
	}
	return "?";
}

static uint32_t at_most_a_day(int64_t ms)
{
	return ms < 0 ? 0 : ms > DAY_MS ? DAY_MS : (uint32_t)ms;
}

uint32_t http_retry_after_ms(struct slice value, int64_t now_ms)
{
	char text[RETRY_AFTER_TEXT_MAX];
	char *end;
	time_t date;
	long seconds;

	if (value.len == 0 || value.len >= sizeof text)
		return 0;
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	seconds = strtol(text, &end, 10);
	if (end != text && *end == '\0')
		return seconds < 0
			       ? 0
			       : at_most_a_day(seconds > DAY_MS / 1000 ? DAY_MS : (int64_t)seconds * 1000);
	date = curl_getdate(text, NULL);
	return date < 0 ? 0 : at_most_a_day((int64_t)date * 1000 - now_ms);
}

/* ---- the list of calls ---- */

static void link_call(struct http_call *call)
{
	struct http_client *c = call->client;

	call->prev = c->last;
	if (c->last)
		c->last->next = call;
	else
		c->first = call;
	c->last = call;
}

static void unlink_call(struct http_call *call)
{
	struct http_client *c = call->client;

	if (call->prev)
		call->prev->next = call->next;
	else
		c->first = call->next;
	if (call->next)
		call->next->prev = call->prev;
	else
		c->last = call->prev;
}

static void free_call(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	buf_done(&call->body);
	explicit_bzero(call->curl_error, sizeof call->curl_error);
	free(call);
}

/* ---- look-ups: curl takes a thread for each, and one may hang for minutes ---- */

static void end_lookup(struct http_call *call)
{
	if (!call->is_looking_up)
		return;
	call->is_looking_up = false;
	lookups_remove(&call->client->lookups, &call->lookup);
	/* Not here: this may be inside curl. */
	if (call->client->queued > 0)
		timer_arm(call->client->queue, 0);
}

static bool may_run(const struct http_call *call)
{
	return !call->is_name || lookups_has_room(&call->client->lookups, &call->lookup);
}

static int run_call(struct http_call *call)
{
	int64_t left = call->started_ms + call->timeout_ms - clock_mono_ms();

	curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	if (curl_multi_add_handle(call->client->multi, call->easy) != CURLM_OK)
		return -ENOMEM;
	call->state = CALL_RUNNING;
	call->is_looking_up = call->is_name;
	if (call->is_name)
		lookups_add(&call->client->lookups, &call->lookup);
	return 0;
}

/* ---- the end of a call ---- */

static void copy_text(char *out, size_t out_len, const char *text)
{
	snprintf(out, out_len, "%s", text);
}

static void fill_address(struct http_call *call, struct http_response *r)
{
	char *ip = NULL;
	long port = 0, fresh = 0;
	curl_off_t connect_us = 0;

	curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &ip);
	curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_PORT, &port);
	curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
	curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &fresh);
	/* curl names an address that it only tried to reach, too. */
	if (ip && *ip && (connect_us > 0 || (fresh == 0 && call->head_len > 0)))
		snprintf(r->address, sizeof r->address, strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
}

/* Of a header without a value curl leaves the line's end. */
static struct slice without_end(const char *value)
{
	size_t len = strlen(value);

	while (len > 0 && strchr(" \t\r\n", value[len - 1]))
		len--;
	return slice_of(value, len);
}

static void fill_headers(struct http_call *call, struct http_response *r)
{
	char *type = NULL;

	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	r->content_type = slice_text(type);
	for (size_t i = 0; i < HTTP_WANT_MAX && *call->want[i]; i++) {
		struct curl_header *h;

		if (curl_easy_header(call->easy, call->want[i], 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
			r->headers[i] = without_end(h->value);
	}
}

static enum http_result result_of(const struct http_call *call, CURLcode code)
{
	if (code == CURLE_OK)
		return HTTP_ANSWERED;
	if (call->is_too_large)
		return HTTP_TOO_LARGE;
	if (call->is_refused && !call->is_allowed)
		return HTTP_REFUSED;
	return code == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT : HTTP_FAILED;
}

/* What TLS says in detail; curl's other messages might quote the URL. */
static bool is_tls_error(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
	       code == CURLE_SSL_CACERT_BADFILE;
}

static const char *reason_of(struct http_call *call, CURLcode code, char *scratch, size_t scratch_len)
{
	long error = 0, proxy = 0;

	/* A line of the head that is too long for curl is told as that. */
	if (call->head_len > HTTP_HEADERS_MAX || (code == CURLE_OUT_OF_MEMORY && call->head_len > 0))
		return "the head of the answer is too large";
	curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	if (proxy >= 300) {
		snprintf(scratch, scratch_len, "the proxy answered %ld", proxy);
		return scratch;
	}
	if (is_tls_error(code) && *call->curl_error)
		return call->curl_error;
	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &error);
	if ((code == CURLE_COULDNT_CONNECT || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) && error)
		return strerror_r((int)error, scratch, scratch_len);
	return curl_easy_strerror(code);
}

static void fill_error(struct http_call *call, CURLcode code, struct http_response *r)
{
	char scratch[128];
	struct buf text;

	buf_init(&text, sizeof r->error - 1);
	buf_append_text(&text, call->host);
	switch (r->result) {
	case HTTP_ANSWERED: break;
	case HTTP_TOO_LARGE: buf_append_text(&text, ": the answer is too large"); break;
	case HTTP_REFUSED: buf_append_text(&text, ": this address may not be called"); break;
	case HTTP_TIMED_OUT:
		buf_printf(&text, ": no answer within %lld ms", (long long)call->timeout_ms);
		break;
	case HTTP_FAILED:
		buf_append_text(&text, ": ");
		quote_plain(&text, slice_text(reason_of(call, code, scratch, sizeof scratch)), 96);
		break;
	}
	copy_text(r->error, sizeof r->error, text.error ? "the call failed" : buf_text(&text));
	buf_done(&text);
}

static void fill_response(struct http_call *call, CURLcode code, struct http_response *r)
{
	long status = 0;

	r->result = result_of(call, code);
	r->body = buf_slice(&call->body);
	r->total_ms = clock_mono_ms() - call->started_ms;
	fill_address(call, r);
	if (r->result == HTTP_ANSWERED || r->result == HTTP_TOO_LARGE) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		r->status = (int)status;
		fill_headers(call, r);
	}
	if (r->result != HTTP_ANSWERED)
		fill_error(call, code, r);
}

/* One that failed, or that knows somebody's password, is not used again. */
static void keep_handle(struct http_call *call, CURLcode code)
{
	struct http_client *c = call->client;

	if (code != CURLE_OK || call->has_user || c->idle_len == IDLE_MAX)
		return;
	c->idle[c->idle_len++] = call->easy;
	call->easy = NULL;
}

/* The callback may cancel other calls and free the client; this call stays until it returns. */
static void finish(struct http_call *call, CURLcode code)
{
	struct http_client *c = call->client;
	struct http_response response = {0};

	fill_response(call, code, &response);
	end_lookup(call);
	unlink_call(call);
	if (call->state == CALL_RUNNING)
		curl_multi_remove_handle(c->multi, call->easy);
	call->state = CALL_DONE;
	call->cb(&response, call->arg);
	keep_handle(call, code);
	free_call(call);
}

static void destroy(struct http_client *c)
{
	while (c->idle_len > 0)
		curl_easy_cleanup(c->idle[--c->idle_len]);
	if (c->multi)
		curl_multi_cleanup(c->multi);
	if (c->timer)
		event_free(c->timer);
	if (c->queue)
		event_free(c->queue);
	free(c->user_agent);
	free(c->proxy);
	free(c->ca_file);
	free(c);
	curl_global_cleanup();
}

static void leave(struct http_client *c)
{
	if (--c->depth == 0 && c->is_freed)
		destroy(c);
}

/* ---- between curl and the loop ---- */

static void finish_all(struct http_client *c)
{
	int left;

	while (!c->is_freed) {
		CURLMsg *message = curl_multi_info_read(c->multi, &left);
		struct http_call *call;

		if (!message)
			return;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, message->data.result);
	}
}

static void act(struct http_client *c, curl_socket_t fd, int what)
{
	int running;

	c->depth++;
	curl_multi_socket_action(c->multi, fd, what, &running);
	finish_all(c);
	leave(c);
}

static void on_socket_ready(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *c = arg;

	if (ms < 0)
		event_del(c->timer);
	else
		timer_arm(c->timer, ms);
	return 0;
}

static int on_want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *c = arg;
	struct event *e = socket_arg;
	short events = EV_PERSIST;

	if (e)
		event_free(e);
	e = NULL;
	if (what != CURL_POLL_REMOVE) {
		events |= what & CURL_POLL_IN ? EV_READ : 0;
		events |= what & CURL_POLL_OUT ? EV_WRITE : 0;
		/* Without the event the call ends by its timeout. */
		e = event_new(c->base, fd, events, on_socket_ready, c);
		if (e)
			event_add(e, NULL);
	}
	curl_multi_assign(c->multi, fd, e);
	return 0;
}

/* True when it is queued no more: it runs now, or has ended because it waited too long or could not be run. */
static bool try_queued(struct http_call *call, int64_t now)
{
	bool is_late = now >= call->started_ms + call->timeout_ms;
	int rc;

	if (!is_late && !may_run(call))
		return false;
	call->client->queued--;
	rc = is_late ? -ETIMEDOUT : run_call(call);
	if (rc < 0)
		finish(call, is_late ? CURLE_OPERATION_TIMEDOUT : CURLE_OUT_OF_MEMORY);
	return true;
}

/* Sees to the queued calls, and comes again when the next one has waited too long. */
static void on_queue(evutil_socket_t fd, short what, void *arg)
{
	struct http_client *c = arg;
	int64_t now = clock_mono_ms();
	int64_t wait = INT64_MAX;

	c->depth++;
	for (struct http_call *call = c->first; call && c->queued > 0;) {
		if (call->state == CALL_QUEUED && try_queued(call, now)) {
			/* A callback may have taken any call off the list. */
			call = c->first;
			continue;
		}
		if (call->state == CALL_QUEUED && call->started_ms + call->timeout_ms - now < wait)
			wait = call->started_ms + call->timeout_ms - now;
		call = call->next;
	}
	if (c->queued > 0)
		timer_arm(c->queue, wait);
	leave(c);
}

/* ---- between curl and a call ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = size * count;
	size_t room = call->body.max - call->body.len;

	if (len > room) {
		call->is_too_large = true;
		buf_append(&call->body, data, room);
		return CURL_WRITEFUNC_ERROR;
	}
	return buf_append(&call->body, data, len) < 0 ? CURL_WRITEFUNC_ERROR : len;
}

/* curl keeps all headers, however many a server sends. */
static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;

	call->head_len += size * count;
	return call->head_len > HTTP_HEADERS_MAX ? CURL_WRITEFUNC_ERROR : size * count;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct http_call *call = arg;
	struct http_client *c = call->client;

	end_lookup(call);
	if (c->may_connect && !c->may_connect(&addr->addr, c->may_connect_arg)) {
		call->is_refused = true;
		return CURL_SOCKET_BAD;
	}
	call->is_allowed = true;
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* A kept connection needs no socket; this comes before every request. */
static int on_before_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	end_lookup(arg);
	return CURL_PREREQFUNC_OK;
}

/* ---- a new call ---- */

static bool is_token_char(char c)
{
	return c && (isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_method(const char *method)
{
	size_t len = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");

	return len > 0 && len <= METHOD_MAX && !method[len];
}

static bool is_made_by_client(const char *name, size_t len)
{
	static const char *const ours[] = {"content-length", "transfer-encoding"};

	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (len == strlen(ours[i]) && strncasecmp(name, ours[i], len) == 0)
			return true;
	return false;
}

/* A value with a line break in it would be a header, or a request, of somebody else's making. */
static bool is_sendable_header(const char *line)
{
	size_t name = 0;

	while (is_token_char(line[name]))
		name++;
	if (name == 0 || line[name] != ':' || is_made_by_client(line, name))
		return false;
	for (const char *v = line + name + 1; *v; v++)
		if (((unsigned char)*v < 0x20 && *v != '\t') || *v == 0x7f)
			return false;
	return true;
}

static int add_header(struct http_call *call, const char *line)
{
	struct curl_slist *longer = curl_slist_append(call->headers, line);

	if (!longer)
		return -ENOMEM;
	call->headers = longer;
	return 0;
}

/* For curl "Name:" takes a header away, and "Name;" is one without a value. */
static int add_empty_header(struct http_call *call, const char *line)
{
	char *copy = strdup(line);
	int rc = -ENOMEM;

	if (copy) {
		char *colon = strchr(copy, ':');

		colon[0] = ';';
		colon[1] = '\0';
		rc = add_header(call, copy);
	}
	free(copy);
	return rc;
}

static int copy_headers(struct http_call *call, const char *const *headers)
{
	/* No "Expect: 100-continue" and its wait; no form type that curl would make up for a body. */
	int rc = add_header(call, "Expect:");
	bool has_type = false;

	for (; headers && *headers && rc == 0; headers++) {
		const char *value;

		if (!is_sendable_header(*headers))
			return -EINVAL;
		value = strchr(*headers, ':') + 1;
		value += strspn(value, " \t");
		rc = *value ? add_header(call, *headers) : add_empty_header(call, *headers);
		has_type |= strncasecmp(*headers, "content-type:", 13) == 0;
	}
	if (rc == 0 && !has_type)
		rc = add_header(call, "Content-Type:");
	return rc;
}

static int copy_want(struct http_call *call, const char *const *want)
{
	for (size_t i = 0; want && want[i]; i++) {
		if (i == HTTP_WANT_MAX || strlen(want[i]) > HTTP_WANT_NAME_MAX || !*want[i])
			return -EINVAL;
		copy_text(call->want[i], sizeof call->want[i], want[i]);
	}
	return 0;
}

static bool is_address(const char *host)
{
	struct in_addr four;

	return *host == '[' || inet_pton(AF_INET, host, &four) == 1;
}

/* Checks the URL as curl reads it, and keeps the host. */
static int copy_host(struct http_call *call, const char *url)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *user = NULL;
	int rc = -ENOMEM;

	if (!u)
		return rc;
	rc = -EINVAL;
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host && strlen(host) <= HOST_MAX &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
		copy_text(call->host, sizeof call->host, host);
		call->is_name = !is_address(host);
		call->has_user = curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_NO_USER;
		rc = 0;
	}
	curl_free(user);
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return rc;
}

static void set_method(CURL *e, const struct http_request *r)
{
	bool has_body = r->body.len > 0 || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 ||
			strcmp(r->method, "PATCH") == 0;
	bool is_head = strcmp(r->method, "HEAD") == 0;

	/* What the call before had set is undone by this. */
	curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	if (is_head) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else if (has_body) {
		/* The size first: without it curl takes the length of a string. */
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.len ? (const char *)r->body.data : "");
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, is_head ? NULL : r->method);
}

/* What is the same for every call of the client. */
static void set_manners(CURL *e, const struct http_client *c)
{
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	/* Who moved is found at once; many calls in the same moment share a look-up. */
	curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 1L);
	/* Even none must be said, else the environment is asked. */
	curl_easy_setopt(e, CURLOPT_PROXY, c->proxy ? c->proxy : "");
	curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Else a call that times out in DNS stalls all others while its thread is joined. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
	if (c->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file);
	/* A kept connection was allowed for another call, maybe under another name. */
	if (c->may_connect && !c->is_verdict_lasting) {
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	}
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_before_request);
}

static CURL *take_handle(struct http_client *c)
{
	CURL *e;

	if (c->idle_len > 0)
		return c->idle[--c->idle_len];
	e = curl_easy_init();
	if (e)
		set_manners(e, c);
	return e;
}

/* All that differs from call to call: a handle may have served another one. */
static int set_call(struct http_call *call, const struct http_request *r)
{
	CURL *e = call->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->curl_error);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	set_method(e, r);
	return curl_easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK ? 0 : -ENOMEM;
}

static int prepare(struct http_call *call, const struct http_request *r)
{
	int rc = copy_host(call, r->url);

	if (rc == 0)
		rc = copy_want(call, r->want_headers);
	if (rc == 0)
		rc = copy_headers(call, r->headers);
	if (rc < 0)
		return rc;
	call->easy = take_handle(call->client);
	return call->easy ? set_call(call, r) : -ENOMEM;
}

int http_call_start(struct http_client *c, const struct http_request *r, http_done_cb *cb, void *arg,
	struct http_call **out)
{
	struct http_call *call;
	int rc;

	if (!is_method(r->method) || r->timeout_ms < 1)
		return -EINVAL;
	call = calloc(1, sizeof *call);
	if (!call)
		return -ENOMEM;
	call->client = c;
	call->cb = cb;
	call->arg = arg;
	call->timeout_ms = r->timeout_ms;
	call->started_ms = clock_mono_ms();
	buf_init(&call->body, r->response_max);
	rc = prepare(call, r);
	call->lookup = lookup_of(slice_text(call->host), r->party);
	if (rc == 0 && may_run(call))
		rc = run_call(call);
	if (rc < 0) {
		free_call(call);
		return rc;
	}
	if (call->state == CALL_QUEUED) {
		c->queued++;
		timer_arm(c->queue, 0);
	}
	link_call(call);
	*out = call;
	return 0;
}

void http_call_cancel(struct http_call *call)
{
	if (call->state == CALL_DONE)
		return;
	end_lookup(call);
	unlink_call(call);
	if (call->state == CALL_RUNNING)
		curl_multi_remove_handle(call->client->multi, call->easy);
	else
		call->client->queued--;
	free_call(call);
}

/* ---- the client ---- */

static int copy_option(const char *text, char **out)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

int http_client_new(struct loop *loop, const struct http_client_options *opt, struct http_client **out)
{
	struct http_client *c;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -EIO;
	c = calloc(1, sizeof *c);
	if (!c) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	c->base = loop_base(loop);
	c->may_connect = opt->may_connect;
	c->may_connect_arg = opt->may_connect_arg;
	c->is_verdict_lasting = opt->is_verdict_lasting;
	c->timer = loop_timer(loop, on_timer, c);
	c->queue = loop_timer(loop, on_queue, c);
	c->multi = curl_multi_init();
	if (!c->timer || !c->queue || !c->multi || copy_option(opt->user_agent, &c->user_agent) < 0 ||
		copy_option(opt->proxy, &c->proxy) < 0 || copy_option(opt->ca_file, &c->ca_file) < 0) {
		destroy(c);
		return -ENOMEM;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)opt->connections_max);
	*out = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	for (struct http_call *call = c->first, *next; call; call = next) {
		next = call->next;
		http_call_cancel(call);
	}
	c->is_freed = true;
	if (c->depth == 0)
		destroy(c);
}
