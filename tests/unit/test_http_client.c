#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "runtime/http_client.h"

/* ---- a resolver whose answers a test holds back ---- */

static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_change = PTHREAD_COND_INITIALIZER;
static bool resolver_hangs;
static int resolver_waiting;

typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Stands before the C library's for libcurl, too. Names under .slow hang while they shall, then are the loopback. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
	static _Atomic(resolve *) real;
	const char *end = name ? strstr(name, ".slow") : NULL;

	if (!real)
		real = (resolve *)dlsym(RTLD_NEXT, "getaddrinfo");
	if (!end || end[5])
		return real(name, service, req, pai);
	pthread_mutex_lock(&resolver_lock);
	resolver_waiting++;
	while (resolver_hangs)
		pthread_cond_wait(&resolver_change, &resolver_lock);
	resolver_waiting--;
	pthread_mutex_unlock(&resolver_lock);
	return real("127.0.0.1", service, req, pai);
}

static void set_resolver(bool hangs)
{
	pthread_mutex_lock(&resolver_lock);
	resolver_hangs = hangs;
	pthread_cond_broadcast(&resolver_change);
	pthread_mutex_unlock(&resolver_lock);
}

static int count_look_ups(void)
{
	int count;

	pthread_mutex_lock(&resolver_lock);
	count = resolver_waiting;
	pthread_mutex_unlock(&resolver_lock);
	return count;
}

/* ---- a server that behaves by the path ---- */

/* MANY: waiting for more calls than will end keeps the loop going. */
enum { CONNECTIONS_MAX = 512, REQUEST_MAX = 256 * 1024, MANY = 1000000 };

struct server {
	int fd;
	uint16_t port;
	pthread_t acceptor;
	struct peer {
		struct server *server;
		int fd;
		pthread_t thread;
	} peers[CONNECTIONS_MAX];
	atomic_int connections;
	atomic_int requests;
	pthread_mutex_t lock;
	char last[REQUEST_MAX + 1]; /* the last whole request, and a NUL */
	size_t last_len;
};

static bool put(int fd, const void *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data = (const char *)data + n;
		len -= (size_t)n;
	}
	return true;
}

static bool put_text(int fd, const char *text)
{
	return put(fd, text, strlen(text));
}

static bool answer(int fd, const char *body)
{
	char head[128];

	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
	return put_text(fd, head) && put_text(fd, body);
}

static void wait_for_leaving(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

static bool serve_ok(int fd)
{
	return put_text(fd,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nRETRY-AFTER: 7\r\n"
		"X-Empty:\r\nx-twice: first\r\nX-Twice: second\r\nContent-Length: 5\r\n\r\nhello");
}

static bool serve_status(int fd)
{
	return put_text(fd, "HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nbusy");
}

static bool serve_bytes(int fd)
{
	static const char whole[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
		"Retry-After: trailer\r\n\r\n";

	for (size_t i = 0; i < sizeof whole - 1; i++)
		if (!put(fd, whole + i, 1))
			return false;
	return true;
}

static bool serve_hints(int fd)
{
	return put_text(fd,
		"HTTP/1.1 103 Early Hints\r\nRetry-After: early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static bool serve_redirect(int fd)
{
	return put_text(fd, "HTTP/1.1 307 Elsewhere\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
}

static bool serve_gzip(int fd)
{
	return put_text(
		fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08");
}

static bool serve_until_close(int fd)
{
	put_text(fd, "HTTP/1.1 200 OK\r\n\r\nto the end");
	return false;
}

static bool serve_hang(int fd)
{
	wait_for_leaving(fd);
	return false;
}

static bool serve_drip(int fd)
{
	if (!put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"))
		return false;
	while (put(fd, "x", 1))
		usleep(10000);
	return false;
}

static bool serve_reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	return false;
}

static bool serve_truncated(int fd)
{
	put_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	return false;
}

static bool serve_garbage(int fd)
{
	put_text(fd, "SSH-2.0-OpenSSH_9.2\r\n");
	return false;
}

static bool serve_endless(int fd)
{
	static char chunk[16 * 1024];

	memset(chunk, 'y', sizeof chunk);
	if (!put_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\n"))
		return false;
	while (put(fd, chunk, sizeof chunk))
		;
	return false;
}

static bool serve_endless_head(int fd)
{
	if (!put_text(fd, "HTTP/1.1 200 OK\r\n"))
		return false;
	while (put_text(fd, "X-More: and more and more and more\r\n"))
		;
	return false;
}

static bool serve_endless_hints(int fd)
{
	while (put_text(fd, "HTTP/1.1 103 Early Hints\r\nX-More: and more\r\n\r\n"))
		;
	return false;
}

/* Closes after the answer without a word about it. */
static bool serve_once(int fd)
{
	answer(fd, "once");
	return false;
}

static const struct {
	const char *path;
	bool (*serve)(int fd);
} pages[] = {
	{"/ok", serve_ok},
	{"/status", serve_status},
	{"/bytes", serve_bytes},
	{"/hints", serve_hints},
	{"/redirect", serve_redirect},
	{"/gzip", serve_gzip},
	{"/until-close", serve_until_close},
	{"/hang", serve_hang},
	{"/drip", serve_drip},
	{"/reset", serve_reset},
	{"/truncated", serve_truncated},
	{"/garbage", serve_garbage},
	{"/endless", serve_endless},
	{"/endless-head", serve_endless_head},
	{"/endless-hints", serve_endless_hints},
	{"/once", serve_once},
};

/* Keeps one request with its body. False when the peer has gone. */
static bool take_request(struct server *s, int fd, char method[16], char path[64])
{
	char *request = calloc(1, REQUEST_MAX + 1);
	char *end = NULL, *length;
	size_t len = 0, want = 0;
	bool is_whole = false;

	while (request && len < REQUEST_MAX) {
		ssize_t n = recv(fd, request + len, REQUEST_MAX - len, 0);

		if (n <= 0)
			break;
		len += (size_t)n;
		end = strstr(request, "\r\n\r\n");
		length = strcasestr(request, "\r\nContent-Length: ");
		want = end ? (size_t)(end - request) + 4 +
				       (length && length < end ? strtoul(length + 18, NULL, 10) : 0)
			   : SIZE_MAX;
		is_whole = len >= want;
		if (is_whole)
			break;
	}
	if (is_whole) {
		pthread_mutex_lock(&s->lock);
		memcpy(s->last, request, len);
		s->last_len = len;
		s->last[len] = '\0';
		pthread_mutex_unlock(&s->lock);
		sscanf(request, "%15s %63[^ ?]", method, path);
		atomic_fetch_add(&s->requests, 1);
	}
	free(request);
	return is_whole;
}

static void *serve_peer(void *arg)
{
	struct peer *p = arg;
	char method[16] = "", path[64] = "";
	bool goes_on = true;

	while (goes_on && take_request(p->server, p->fd, method, path)) {
		bool (*serve)(int fd) = NULL;

		for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
			if (strcmp(path, pages[i].path) == 0)
				serve = pages[i].serve;
		if (strcmp(method, "HEAD") == 0)
			goes_on = put_text(p->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		else
			goes_on = serve ? serve(p->fd) : answer(p->fd, path);
	}
	shutdown(p->fd, SHUT_RD);
	close(p->fd);
	return NULL;
}

static void *accept_peers(void *arg)
{
	struct server *s = arg;
	int count = 0;

	while (count < CONNECTIONS_MAX) {
		struct peer *p = &s->peers[count];

		p->fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		if (p->fd < 0)
			break;
		p->server = s;
		/* Before anything can be answered: who has the answer may look at the count. */
		atomic_store(&s->connections, ++count);
		if (pthread_create(&p->thread, NULL, serve_peer, p) != 0)
			abort();
	}
	return NULL;
}

/* Dual stack, for the address ::1 and for the mapped ones. */
static int new_socket(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;

	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	return fd;
}

static void start_server(struct server *s)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	socklen_t len = sizeof at;

	s->fd = new_socket();
	assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(s->fd, 512), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
	s->port = ntohs(at.sin6_port);
	pthread_mutex_init(&s->lock, NULL);
	assert_int_equal(pthread_create(&s->acceptor, NULL, accept_peers, s), 0);
}

/* After the client: its connections are closed, so every peer has ended or will. */
static void stop_server(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->acceptor, NULL);
	for (int i = 0; i < s->connections; i++)
		pthread_join(s->peers[i].thread, NULL);
	close(s->fd);
	pthread_mutex_destroy(&s->lock);
}

/* ---- a client, and what became of its calls ---- */

struct outcome {
	struct fixture *fixture;
	int calls;
	struct http_response response; /* slices point into the copies */
	char type[64], headers[4][64];
	uint8_t *body;
	void (*then)(struct outcome *o);
	struct http_call *call, *other;
};

struct fixture {
	struct server server;
	struct loop *loop;
	struct http_client *client;
	int waiting; /* for so many calls */
	bool (*may_connect)(const struct sockaddr *addr, void *arg);
	char url[256];
};

static struct slice keep(char *to, size_t size, struct slice from)
{
	assert_true(from.len < size);
	if (!slice_is_set(from))
		return from;
	memcpy(to, from.data, from.len);
	to[from.len] = '\0';
	return slice_text(to);
}

static void on_done(const struct http_response *r, void *arg)
{
	struct outcome *o = arg;

	o->calls++;
	o->response = *r;
	o->body = malloc(r->body.len + 1);
	assert_non_null(o->body);
	if (r->body.len)
		memcpy(o->body, r->body.data, r->body.len);
	o->body[r->body.len] = '\0';
	o->response.body = slice_of(o->body, r->body.len);
	o->response.content_type = keep(o->type, sizeof o->type, r->content_type);
	for (int i = 0; i < 4; i++)
		o->response.headers[i] = keep(o->headers[i], sizeof o->headers[i], r->headers[i]);
	if (o->then)
		o->then(o);
	if (--o->fixture->waiting == 0)
		loop_exit(o->fixture->loop, 0);
}

static void new_client(struct fixture *f, const char *ca_file)
{
	const struct http_client_options opt = {.user_agent = "postback-test/1",
		.connections_max = 8,
		.may_connect = f->may_connect,
		.may_connect_arg = f,
		.ca_file = ca_file};

	http_client_free(f->client);
	f->client = NULL;
	assert_int_equal(http_client_new(f->loop, &opt, &f->client), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	if (!f || loop_new(&f->loop) < 0)
		return -1;
	start_server(&f->server);
	new_client(f, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_client_free(f->client);
	loop_free(f->loop);
	stop_server(&f->server);
	free(f);
	return 0;
}

static const char *url(struct fixture *f, const char *path)
{
	snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d%s", f->server.port, path);
	return f->url;
}

static struct http_request get(struct fixture *f, const char *path)
{
	return (struct http_request){
		.method = "GET", .url = url(f, path), .timeout_ms = 20000, .response_max = 64 * 1024};
}

static void start(struct fixture *f, const struct http_request *r, struct outcome *o)
{
	o->fixture = f;
	assert_int_equal(http_call_start(f->client, r, on_done, o, &o->call), 0);
	assert_int_equal(o->calls, 0);
	f->waiting++;
}

/* Until all calls have ended. */
static void run(struct fixture *f)
{
	if (f->waiting > 0)
		loop_run(f->loop);
	assert_int_equal(f->waiting, 0);
}

static void perform(struct fixture *f, const struct http_request *r, struct outcome *o)
{
	free(o->body);
	*o = (struct outcome){0};
	start(f, r, o);
	run(f);
	assert_int_equal(o->calls, 1);
}

static void done(struct outcome *o)
{
	free(o->body);
}

static void assert_answered(const struct outcome *o, int status, const char *body)
{
	if (o->response.result != HTTP_ANSWERED)
		fail_msg("%s: %s", http_result_name(o->response.result), o->response.error);
	assert_int_equal(o->response.status, status);
	assert_string_equal((const char *)o->body, body);
	assert_string_equal(o->response.error, "");
}

static void assert_ended(const struct outcome *o, enum http_result result, const char *error)
{
	assert_string_equal(http_result_name(o->response.result), http_result_name(result));
	if (!strstr(o->response.error, error))
		fail_msg("'%s' does not hold '%s'", o->response.error, error);
}

/* Lets the loop work for a while without waiting for a call. */
static void on_pause_end(evutil_socket_t fd, short what, void *arg)
{
	loop_exit(arg, 0);
}

static void run_for(struct fixture *f, int64_t ms)
{
	struct event *timer = loop_timer(f->loop, on_pause_end, f->loop);

	assert_non_null(timer);
	timer_arm(timer, ms);
	loop_run(f->loop);
	event_free(timer);
}

/* ---- answers ---- */

static void an_answer_comes_with_all_that_was_wanted(void **state)
{
	static const char *const want[] = {"retry-after", "x-empty", "X-TWICE", "x-missing", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok?query");
	struct outcome o = {0};
	char address[32];

	r.want_headers = want;
	perform(f, &r, &o);
	assert_answered(&o, 200, "hello");
	assert_string_equal(o.type, "text/plain; charset=utf-8");
	assert_string_equal(o.headers[0], "7");
	assert_true(slice_is_set(o.response.headers[1]));
	assert_string_equal(o.headers[1], "");
	assert_string_equal(o.headers[2], "first");
	assert_false(slice_is_set(o.response.headers[3]));
	snprintf(address, sizeof address, "127.0.0.1:%d", f->server.port);
	assert_string_equal(o.response.address, address);
	assert_in_range(o.response.total_ms, 0, 20000);
	done(&o);
}

static void any_status_is_an_answer(void **state)
{
	static const char *const want[] = {"Retry-After", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/status");
	struct outcome o = {0};

	r.want_headers = want;
	perform(f, &r, &o);
	assert_answered(&o, 503, "busy");
	assert_false(slice_is_set(o.response.content_type));
	assert_string_equal(o.headers[0], "3");
	done(&o);
}

static void a_redirect_is_not_followed(void **state)
{
	static const char *const want[] = {"location", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/redirect");
	struct outcome o = {0};

	r.want_headers = want;
	perform(f, &r, &o);
	assert_answered(&o, 307, "");
	assert_string_equal(o.headers[0], "/ok");
	assert_int_equal(f->server.requests, 1);
	done(&o);
}

static void an_answer_byte_by_byte_is_whole_and_its_trailers_are_no_headers(void **state)
{
	static const char *const want[] = {"retry-after", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/bytes");
	struct outcome o = {0};

	r.want_headers = want;
	perform(f, &r, &o);
	assert_answered(&o, 200, "abcde");
	assert_false(slice_is_set(o.response.headers[0]));
	done(&o);
}

static void interim_answers_are_passed_over(void **state)
{
	static const char *const want[] = {"retry-after", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/hints");
	struct outcome o = {0};

	r.want_headers = want;
	perform(f, &r, &o);
	assert_answered(&o, 200, "ok");
	assert_false(slice_is_set(o.response.headers[0]));
	done(&o);
}

static void a_content_encoding_is_left_as_it_is(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/gzip");
	struct outcome o = {0};

	perform(f, &r, &o);
	assert_answered(&o, 200, "\x1f\x8b\x08");
	assert_null(strcasestr(f->server.last, "accept-encoding"));
	done(&o);
}

static void a_body_without_length_goes_to_the_end(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/until-close");
	struct outcome o = {0};

	perform(f, &r, &o);
	assert_answered(&o, 200, "to the end");
	done(&o);
}

/* ---- requests ---- */

static void assert_request(struct fixture *f, const char *start, const char *const *parts, const char *body)
{
	const char *end = strstr(f->server.last, "\r\n\r\n");

	assert_int_equal(strncmp(f->server.last, start, strlen(start)), 0);
	for (; *parts; parts++)
		if (!memmem(f->server.last, (size_t)(end + 2 - f->server.last), *parts, strlen(*parts)))
			fail_msg("no '%s' in '%s'", *parts, f->server.last);
	assert_int_equal(f->server.last_len - (size_t)(end + 4 - f->server.last), strlen(body));
	assert_memory_equal(end + 4, body, strlen(body));
}

static void a_body_and_headers_arrive_as_given_and_nothing_is_made_up(void **state)
{
	static const char *const headers[] = {
		"Content-Type: application/json", "Idempotency-Key: 0190", "X-Empty:", "X-Blank: ", NULL};
	static const char *const parts[] = {"\r\nContent-Type: application/json\r\n",
		"\r\nIdempotency-Key: 0190\r\n", "\r\nX-Empty:\r\n", "\r\nX-Blank:\r\n",
		"\r\nContent-Length: 15\r\n", "\r\nUser-Agent: postback-test/1\r\n", NULL};
	struct fixture *f = *state;
	struct http_request r = get(f, "/a%20b?c=d");
	struct outcome o = {0};

	r.method = "POST";
	r.headers = headers;
	r.body = slice_text("{\"a\": [1.10]}\r\n");
	perform(f, &r, &o);
	assert_request(f, "POST /a%20b?c=d HTTP/1.1\r\n", parts, "{\"a\": [1.10]}\r\n");
	r.headers = NULL;
	perform(f, &r, &o);
	assert_request(f, "POST /a%20b?c=d HTTP/1.1\r\n", (const char *const[]){NULL}, "{\"a\": [1.10]}\r\n");
	assert_null(strcasestr(f->server.last, "content-type"));
	assert_null(strcasestr(f->server.last, "expect"));
	done(&o);
}

static void a_large_body_needs_no_leave(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/x");
	struct outcome o = {0};
	char *body = malloc(200001);

	assert_non_null(body);
	memset(body, 'z', 200000);
	body[200000] = '\0';
	body[77] = '\r';
	r.method = "PUT";
	r.body = slice_of(body, 200000);
	perform(f, &r, &o);
	assert_request(f, "PUT /x HTTP/1.1\r\n",
		(const char *const[]){"\r\nContent-Length: 200000\r\n", NULL}, body);
	assert_null(strcasestr(f->server.last, "expect:"));
	free(body);
	done(&o);
}

static void every_method_is_sent(void **state)
{
	static const struct {
		const char *method;
		bool has_length; /* also of nothing */
	} methods[] = {{"GET", false}, {"POST", true}, {"PUT", true}, {"PATCH", true}, {"DELETE", false},
		{"OPTIONS", false}};
	struct fixture *f = *state;
	struct http_request r = get(f, "/x");
	struct outcome o = {0};
	char start_line[64];

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		r.method = methods[i].method;
		r.body = slice_text(NULL);
		perform(f, &r, &o);
		assert_answered(&o, 200, "/x");
		snprintf(start_line, sizeof start_line, "%s /x HTTP/1.1\r\n", r.method);
		assert_request(f, start_line, (const char *const[]){NULL}, "");
		assert_int_equal(strcasestr(f->server.last, "\r\ncontent-length: 0\r\n") != NULL,
			methods[i].has_length);
		r.body = slice_text("body");
		perform(f, &r, &o);
		assert_request(
			f, start_line, (const char *const[]){"\r\nContent-Length: 4\r\n", NULL}, "body");
	}
	r.method = "HEAD";
	perform(f, &r, &o);
	assert_answered(&o, 200, "");
	assert_request(f, "HEAD /x HTTP/1.1\r\n", (const char *const[]){NULL}, "");
	done(&o);
}

/* Calls in turn share what makes them. */
static void nothing_of_a_call_goes_into_the_next(void **state)
{
	static const char *const headers[] = {"Content-Type: application/json", "X-Secret: one", NULL};
	static const char *const foreign[] = {
		"authorization", "content-", "x-secret", "body", "hidden", NULL};
	struct fixture *f = *state;
	struct http_request plain = get(f, "/x"), before = plain;
	struct outcome o = {0};
	char with_user[128];

	snprintf(with_user, sizeof with_user, "http://me:hidden@127.0.0.1:%d/y", f->server.port);
	before.url = with_user;
	before.headers = headers;
	before.body = slice_text("body");
	for (int i = 0; i < 3; i++) {
		before.method = i == 0 ? "POST" : i == 1 ? "DELETE" : "HEAD";
		perform(f, &before, &o);
		assert_non_null(strcasestr(f->server.last, "authorization: basic"));
		before.url = plain.url;
		perform(f, &before, &o);
		assert_null(strcasestr(f->server.last, "authorization"));
		before.url = with_user;
		perform(f, &plain, &o);
		assert_answered(&o, 200, "/x");
		assert_request(f, "GET /x HTTP/1.1\r\n", (const char *const[]){NULL}, "");
		for (const char *const *text = foreign; *text; text++)
			if (strcasestr(f->server.last, *text))
				fail_msg("'%s' in '%s'", *text, f->server.last);
	}
	done(&o);
}

static void what_would_forge_a_request_is_refused(void **state)
{
	static const char *const bad_headers[] = {"X: a\r\nY: b", "X: a\nb", "X: a\rb", "X\r\n: a", "X : a",
		": a", "", "X", "X y: a", "X: \x01", "X: a\x7f", "Content-Length: 5",
		"transfer-encoding: chunked"};
	static const char *const bad_methods[] = {"", "get", "GET /", "G\r\n", "GET:", "ABCDEFGHIJKLMNOPQ"};
	static const char *const bad_urls[] = {"", "ftp://127.0.0.1/", "file:///etc/passwd",
		"gopher://127.0.0.1/", "/x", "http://", "http://127.0.0.1:99999/", "http://127.0.0.1/a b",
		"http://127.0.0.1/a\r\nX: y", "http://127.0.0.1\n/"};
	struct fixture *f = *state;
	struct http_request r = get(f, "/x");
	struct http_call *call;
	const char *headers[2] = {NULL};

	r.headers = headers;
	for (size_t i = 0; i < sizeof bad_headers / sizeof bad_headers[0]; i++) {
		headers[0] = bad_headers[i];
		assert_int_equal(http_call_start(f->client, &r, on_done, NULL, &call), -EINVAL);
	}
	headers[0] = NULL;
	for (size_t i = 0; i < sizeof bad_methods / sizeof bad_methods[0]; i++) {
		r.method = bad_methods[i];
		assert_int_equal(http_call_start(f->client, &r, on_done, NULL, &call), -EINVAL);
	}
	r.method = "GET";
	for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
		r.url = bad_urls[i];
		assert_int_equal(http_call_start(f->client, &r, on_done, NULL, &call), -EINVAL);
	}
	r = get(f, "/x");
	r.timeout_ms = 0;
	assert_int_equal(http_call_start(f->client, &r, on_done, NULL, &call), -EINVAL);
	r.timeout_ms = 1000;
	r.want_headers = (const char *const[]){"a", "b", "c", "d", "e", NULL};
	assert_int_equal(http_call_start(f->client, &r, on_done, NULL, &call), -EINVAL);
	assert_int_equal(f->server.connections, 0);
}

static void no_proxy_is_taken_from_the_environment(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok");
	struct outcome o = {0};

	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
	perform(f, &r, &o);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_answered(&o, 200, "hello");
	done(&o);
}

static void connections_are_kept_and_a_stale_one_is_no_error(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok");
	struct outcome o = {0};

	for (int i = 0; i < 5; i++) {
		perform(f, &r, &o);
		assert_answered(&o, 200, "hello");
		assert_true(strlen(o.response.address) > 0);
	}
	assert_int_equal(f->server.connections, 1);
	r = get(f, "/once");
	r.method = "POST";
	r.body = slice_text("x");
	for (int i = 0; i < 3; i++) {
		perform(f, &r, &o);
		assert_answered(&o, 200, "once");
	}
	done(&o);
}

/* ---- failures ---- */

static void a_silent_server_is_left_in_time(void **state)
{
	static const char *const paths[] = {"/hang", "/drip"};
	struct fixture *f = *state;
	struct outcome o = {0};

	for (int i = 0; i < 2; i++) {
		struct http_request r = get(f, paths[i]);
		int64_t started = clock_mono_ms();

		r.timeout_ms = 300;
		perform(f, &r, &o);
		assert_ended(&o, HTTP_TIMED_OUT, "127.0.0.1: no answer within 300 ms");
		assert_int_equal(o.response.status, 0);
		assert_in_range(clock_mono_ms() - started, 290, 10000);
	}
	done(&o);
}

static void a_broken_answer_is_a_failure(void **state)
{
	static const struct {
		const char *path, *error;
	} cases[] = {
		{"/reset", "127.0.0.1: "},
		{"/truncated", "127.0.0.1: "},
		{"/garbage", "127.0.0.1: "},
		{"/endless-head", "127.0.0.1: the head of the answer is too large"},
		{"/endless-hints", "127.0.0.1: the head of the answer is too large"},
	};
	struct fixture *f = *state;
	struct outcome o = {0};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct http_request r = get(f, cases[i].path);

		perform(f, &r, &o);
		assert_ended(&o, HTTP_FAILED, cases[i].error);
		assert_int_equal(o.response.status, 0);
		assert_true(strlen(o.response.address) > 0);
	}
	done(&o);
}

static void a_body_is_bounded_to_the_byte(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/endless");
	struct outcome o = {0};

	r.response_max = 100000;
	perform(f, &r, &o);
	assert_ended(&o, HTTP_TOO_LARGE, "127.0.0.1: the answer is too large");
	assert_int_equal(o.response.status, 200);
	assert_string_equal(o.type, "text/x");
	assert_int_equal(o.response.body.len, 100000);
	r = get(f, "/ok");
	r.response_max = 5;
	perform(f, &r, &o);
	assert_answered(&o, 200, "hello");
	r.response_max = 4;
	perform(f, &r, &o);
	assert_ended(&o, HTTP_TOO_LARGE, "");
	assert_string_equal((const char *)o.body, "hell");
	r = get(f, "/redirect");
	r.response_max = 0;
	perform(f, &r, &o);
	assert_answered(&o, 307, "");
	done(&o);
}

/* A port that nobody listens on, nor can begin to: it stays taken to the end. */
static uint16_t closed_port(void)
{
	static struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	static int fd = -1;
	socklen_t len = sizeof at;

	if (fd < 0) {
		fd = new_socket();
		assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	}
	return ntohs(at.sin6_port);
}

static void nobody_there_is_a_failure_without_an_address(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/");
	struct outcome o = {0};

	snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/", closed_port());
	perform(f, &r, &o);
	assert_ended(&o, HTTP_FAILED, "127.0.0.1: Connection refused");
	assert_string_equal(o.response.address, "");
	snprintf(f->url, sizeof f->url, "http://no-such-host.invalid/");
	perform(f, &r, &o);
	assert_ended(&o, HTTP_FAILED, "no-such-host.invalid: ");
	assert_string_equal(o.response.address, "");
	done(&o);
}

static void an_error_never_holds_the_query_or_a_password(void **state)
{
	static const char *const paths[] = {
		"/hang", "/reset", "/truncated", "/garbage", "/endless", "/endless-head"};
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o = {0};

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		snprintf(f->url, sizeof f->url, "http://user:hunter2@127.0.0.1:%d%s?token=hunter2#hunter2",
			f->server.port, paths[i]);
		r.timeout_ms = i == 0 ? 200 : 20000;
		perform(f, &r, &o);
		assert_true(strlen(o.response.error) > 0);
		assert_null(strstr(o.response.error, "hunter2"));
		assert_null(strstr(o.response.error, "user"));
		assert_null(strstr(o.response.error, "token"));
	}
	assert_non_null(strstr(f->server.last, "\r\nAuthorization: Basic dXNlcjpodW50ZXIy\r\n"));
	snprintf(f->url, sizeof f->url, "http://user:hunter2@127.0.0.1:%d/?token=hunter2", closed_port());
	perform(f, &r, &o);
	assert_null(strstr(o.response.error, "hunter2"));
	snprintf(f->url, sizeof f->url, "https://user:hunter2@127.0.0.1:%d/?token=hunter2", f->server.port);
	perform(f, &r, &o);
	assert_null(strstr(o.response.error, "hunter2"));
	done(&o);
}

/* ---- the guard ---- */

static bool refuse_loopback(const struct sockaddr *addr, void *arg)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)addr;
	in_addr_t four;

	if (addr->sa_family == AF_INET) {
		four = ((const struct sockaddr_in *)addr)->sin_addr.s_addr;
	} else {
		if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr))
			return false;
		if (!IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
			return true;
		memcpy(&four, six->sin6_addr.s6_addr + 12, sizeof four);
	}
	return ntohl(four) >> 24 != 127;
}

static bool allow_loopback(const struct sockaddr *addr, void *arg)
{
	return !refuse_loopback(addr, arg);
}

static bool allow_v4(const struct sockaddr *addr, void *arg)
{
	return addr->sa_family == AF_INET;
}

static void every_spelling_of_a_refused_address_is_refused(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
		"127.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "sub.slow"};
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o = {0};

	f->may_connect = refuse_loopback;
	new_client(f, NULL);
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		snprintf(f->url, sizeof f->url, "http://%s:%d/ok", hosts[i], f->server.port);
		perform(f, &r, &o);
		assert_ended(&o, HTTP_REFUSED, ": this address may not be called");
		assert_string_equal(o.response.address, "");
	}
	assert_int_equal(f->server.connections, 0);
	done(&o);
}

static void an_allowed_address_is_asked_about_for_every_call(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok");
	struct outcome o = {0};

	f->may_connect = allow_loopback;
	new_client(f, NULL);
	for (int i = 1; i <= 3; i++) {
		perform(f, &r, &o);
		assert_answered(&o, 200, "hello");
		assert_int_equal(f->server.connections, i);
	}
	done(&o);
}

static void one_allowed_address_of_a_name_is_enough(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o = {0};

	f->may_connect = allow_v4;
	new_client(f, NULL);
	snprintf(f->url, sizeof f->url, "http://localhost:%d/ok", f->server.port);
	perform(f, &r, &o);
	assert_answered(&o, 200, "hello");
	/* Allowed, and nobody there: not the guard's doing. */
	snprintf(f->url, sizeof f->url, "http://localhost:%d/ok", closed_port());
	perform(f, &r, &o);
	assert_ended(&o, HTTP_FAILED, "localhost: ");
	done(&o);
}

/* ---- look-ups ---- */

/* So many are under way, and no more come. */
static void await_look_ups(struct fixture *f, int count)
{
	int64_t until_ms = clock_mono_ms() + 20000;

	f->waiting = MANY;
	while (count_look_ups() < count && clock_mono_ms() < until_ms)
		run_for(f, 5);
	run_for(f, 100);
	assert_int_equal(count_look_ups(), count);
}

static void a_resolver_that_hangs_holds_up_nobody_else(void **state)
{
	enum { SLOW = HTTP_LOOKUPS_MAX + 8 };
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome slow[SLOW] = {0}, o = {0};
	int ended = 0;

	set_resolver(true);
	r.timeout_ms = 5000;
	for (int i = 0; i < SLOW; i++) {
		snprintf(f->url, sizeof f->url, "http://n%d.slow:%d/ok", i, f->server.port);
		start(f, &r, &slow[i]);
	}
	await_look_ups(f, HTTP_LOOKUPS_MAX);
	/* An address needs no look-up. */
	r = get(f, "/ok");
	start(f, &r, &o);
	while (o.calls == 0)
		run_for(f, 5);
	assert_answered(&o, 200, "hello");
	for (int i = 0; i < SLOW; i++)
		ended += slow[i].calls;
	assert_int_equal(ended, 0);
	/* It hangs still while they end. */
	f->waiting = SLOW;
	run(f);
	for (int i = 0; i < SLOW; i++) {
		assert_int_equal(slow[i].calls, 1);
		assert_ended(&slow[i], HTTP_TIMED_OUT, ".slow: no answer within 5000 ms");
		done(&slow[i]);
	}
	set_resolver(false);
	while (count_look_ups() > 0)
		usleep(1000);
	done(&o);
}

static void a_party_whose_names_hang_leaves_look_ups_to_others(void **state)
{
	enum { CALLS = HTTP_LOOKUPS_MAX + 1 };
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o[CALLS] = {0};

	set_resolver(true);
	for (uint32_t i = 0; i < CALLS; i++) {
		snprintf(f->url, sizeof f->url, "http://p%u.slow:%d/ok", i, f->server.port);
		r.party = i < HTTP_LOOKUPS_MAX ? 7 : 8;
		start(f, &r, &o[i]);
	}
	await_look_ups(f, LOOKUPS_PARTY_MAX + 1);
	f->waiting = CALLS;
	set_resolver(false);
	run(f);
	for (int i = 0; i < CALLS; i++) {
		assert_answered(&o[i], 200, "hello");
		done(&o[i]);
	}
	while (count_look_ups() > 0)
		usleep(1000);
}

static void more_names_than_look_ups_are_all_called(void **state)
{
	enum { CALLS = HTTP_LOOKUPS_MAX * 4 };
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o[CALLS] = {0};

	set_resolver(true);
	for (int i = 0; i < CALLS; i++) {
		snprintf(f->url, sizeof f->url, "http://m%d.slow:%d/ok", i, f->server.port);
		start(f, &r, &o[i]);
	}
	/* Some that wait, and some that are being looked up, are wanted no more. */
	for (int i = 0; i < CALLS; i += 5) {
		http_call_cancel(o[i].call);
		f->waiting--;
	}
	set_resolver(false);
	run(f);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(o[i].calls, i % 5 != 0);
		if (o[i].calls)
			assert_answered(&o[i], 200, "hello");
		done(&o[i]);
	}
	while (count_look_ups() > 0)
		usleep(1000);
}

/* ---- life ---- */

static void many_calls_at_once_all_end(void **state)
{
	enum { CALLS = 200 };
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok");
	struct outcome o[CALLS] = {0};

	for (int i = 0; i < CALLS; i++)
		start(f, &r, &o[i]);
	run(f);
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(o[i].calls, 1);
		assert_answered(&o[i], 200, "hello");
		done(&o[i]);
	}
}

static void a_cancelled_call_has_no_callback(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/hang");
	struct outcome early = {0}, late = {0};

	start(f, &r, &early);
	http_call_cancel(early.call);
	start(f, &r, &late);
	f->waiting = MANY;
	while (f->server.requests == 0)
		run_for(f, 5);
	http_call_cancel(late.call);
	run_for(f, 50);
	assert_int_equal(early.calls + late.calls, 0);
}

static void cancel_both(struct outcome *o)
{
	http_call_cancel(o->call);
	if (o->other)
		http_call_cancel(o->other);
	o->fixture->waiting = 1;
}

static void a_callback_may_cancel_itself_and_others(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/hang");
	struct outcome hanging = {0}, first = {.then = cancel_both};

	start(f, &r, &hanging);
	r = get(f, "/ok");
	first.other = hanging.call;
	start(f, &r, &first);
	run(f);
	assert_answered(&first, 200, "hello");
	assert_int_equal(hanging.calls, 0);
	done(&first);
}

static void cancel_ready(struct outcome *o)
{
	/* Whichever comes first ends the other, though that may have ended, too. */
	if (o->other) {
		struct outcome *victim = (struct outcome *)o->other;

		if (victim->calls == 0) {
			http_call_cancel(victim->call);
			o->fixture->waiting--;
		}
	}
}

static void a_call_cancelled_when_it_is_done_has_no_callback(void **state)
{
	struct fixture *f = *state;
	struct http_request r;

	for (int round = 0; round < 30; round++) {
		struct outcome a = {.then = cancel_ready}, b = {.then = cancel_ready};

		r = get(f, "/ok");
		start(f, &r, &a);
		start(f, &r, &b);
		a.other = (struct http_call *)&b;
		b.other = (struct http_call *)&a;
		/* Both answers are there when the loop looks. */
		run_for(f, 0);
		usleep(2000);
		if (f->waiting > 0)
			run(f);
		assert_int_equal(a.calls + b.calls, 1);
		done(&a);
		done(&b);
	}
}

static void free_client(struct outcome *o)
{
	http_client_free(o->fixture->client);
	o->fixture->client = NULL;
	o->fixture->waiting = 1;
}

static void a_callback_may_free_the_client_with_calls_under_way(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/hang");
	struct outcome hanging[4] = {0}, first = {.then = free_client};

	for (int i = 0; i < 4; i++)
		start(f, &r, &hanging[i]);
	r = get(f, "/ok");
	start(f, &r, &first);
	run(f);
	assert_answered(&first, 200, "hello");
	run_for(f, 20);
	for (int i = 0; i < 4; i++)
		assert_int_equal(hanging[i].calls, 0);
	done(&first);
}

static void freeing_ends_calls_under_way_in_silence(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/hang");
	struct outcome o[3] = {0};

	for (int i = 0; i < 3; i++)
		start(f, &r, &o[i]);
	f->waiting = MANY;
	while (f->server.requests < 3)
		run_for(f, 5);
	http_client_free(f->client);
	f->client = NULL;
	run_for(f, 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(o[i].calls, 0);
}

static void call_again(struct outcome *o)
{
	struct http_request r;

	if (o->calls >= 3)
		return;
	done(o);
	o->body = NULL;
	r = get(o->fixture, "/ok");
	assert_int_equal(http_call_start(o->fixture->client, &r, on_done, o, &o->call), 0);
	o->fixture->waiting++;
}

static void a_callback_may_start_the_next_call(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "/ok");
	struct outcome o = {.then = call_again};

	start(f, &r, &o);
	run(f);
	assert_int_equal(o.calls, 3);
	assert_answered(&o, 200, "hello");
	done(&o);
}

/* ---- TLS ---- */

static const char tls_server[] =
	"import http.server, ssl, sys\n"
	"s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
	"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
	"c.load_cert_chain('cert.pem', 'key.pem')\n"
	"s.socket = c.wrap_socket(s.socket, server_side=True)\n"
	"print(s.server_port, flush=True)\n"
	"s.serve_forever()\n";

static void certificates_are_checked(void **state)
{
	struct fixture *f = *state;
	struct http_request r = get(f, "");
	struct outcome o = {0};
	char dir[] = "/tmp/postback-test-XXXXXX";
	char command[512], ca[128];
	int out[2];
	FILE *report;
	pid_t pid;
	int port;

	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof command,
		"cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
		"-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null",
		dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(dir) == 0 && dup2(out[1], STDOUT_FILENO) >= 0 && freopen("/dev/null", "w", stderr))
			execl("/usr/bin/python3", "python3", "-c", tls_server, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	report = fdopen(out[0], "r");
	assert_int_equal(fscanf(report, "%d", &port), 1);
	snprintf(f->url, sizeof f->url, "https://127.0.0.1:%d/?hunter2", port);
	perform(f, &r, &o);
	assert_ended(&o, HTTP_FAILED, "certificate");
	snprintf(ca, sizeof ca, "%s/cert.pem", dir);
	new_client(f, ca);
	perform(f, &r, &o);
	assert_int_equal(o.response.result, HTTP_ANSWERED);
	assert_int_equal(o.response.status, 200);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(report);
	snprintf(command, sizeof command, "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	done(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_comes_with_all_that_was_wanted),
		TEST(any_status_is_an_answer),
		TEST(a_redirect_is_not_followed),
		TEST(an_answer_byte_by_byte_is_whole_and_its_trailers_are_no_headers),
		TEST(interim_answers_are_passed_over),
		TEST(a_content_encoding_is_left_as_it_is),
		TEST(a_body_without_length_goes_to_the_end),
		TEST(a_body_and_headers_arrive_as_given_and_nothing_is_made_up),
		TEST(a_large_body_needs_no_leave),
		TEST(every_method_is_sent),
		TEST(nothing_of_a_call_goes_into_the_next),
		TEST(what_would_forge_a_request_is_refused),
		TEST(no_proxy_is_taken_from_the_environment),
		TEST(connections_are_kept_and_a_stale_one_is_no_error),
		TEST(a_silent_server_is_left_in_time),
		TEST(a_broken_answer_is_a_failure),
		TEST(a_body_is_bounded_to_the_byte),
		TEST(nobody_there_is_a_failure_without_an_address),
		TEST(an_error_never_holds_the_query_or_a_password),
		TEST(every_spelling_of_a_refused_address_is_refused),
		TEST(an_allowed_address_is_asked_about_for_every_call),
		TEST(one_allowed_address_of_a_name_is_enough),
		TEST(a_resolver_that_hangs_holds_up_nobody_else),
		TEST(a_party_whose_names_hang_leaves_look_ups_to_others),
		TEST(more_names_than_look_ups_are_all_called),
		TEST(many_calls_at_once_all_end),
		TEST(a_cancelled_call_has_no_callback),
		TEST(a_callback_may_cancel_itself_and_others),
		TEST(a_call_cancelled_when_it_is_done_has_no_callback),
		TEST(a_callback_may_free_the_client_with_calls_under_way),
		TEST(freeing_ends_calls_under_way_in_silence),
		TEST(a_callback_may_start_the_next_call),
		TEST(certificates_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
