#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "runtime/health.h"
#include "runtime/log.h"

static const struct metric_definition definitions[] = {
	{"postback_things_total", METRIC_COUNTER, {NULL}, "Things."},
};

struct parts {
	struct metrics *metrics;
	struct health *health;
	struct buf body;
};

static int setup(void **state)
{
	struct parts *p = calloc(1, sizeof *p);

	if (!p || metrics_new(definitions, 1, &p->metrics) < 0 || health_new(p->metrics, &p->health) < 0)
		return -1;
	buf_init(&p->body, 1 << 20);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct parts *p = *state;

	health_free(p->health);
	metrics_free(p->metrics);
	buf_done(&p->body);
	free(p);
	return 0;
}

/* ---- the documents ---- */

static void assert_readyz(struct parts *p, int status, const char *body)
{
	buf_reset(&p->body);
	assert_int_equal(health_readyz(p->health, &p->body), status);
	assert_string_equal(buf_text(&p->body), body);
	assert_int_equal(health_is_ready(p->health), status == 200);
}

static void ready_is_when_every_check_is_up(void **state)
{
	struct parts *p = *state;

	assert_readyz(p, 200, "{\"status\":\"ready\",\"checks\":{}}\n");
	health_set(p->health, "broker", false, "connecting");
	assert_readyz(p, 503,
		"{\"status\":\"not_ready\",\"checks\":{\"broker\":{\"status\":\"down\",\"reason\":\"connecting\"}}}\n");
	health_set(p->health, "store", true, "not told");
	assert_readyz(p, 503,
		"{\"status\":\"not_ready\",\"checks\":{\"broker\":{\"status\":\"down\",\"reason\":\"connecting\"},"
		"\"store\":{\"status\":\"up\"}}}\n");
	health_set(p->health, "broker", true, NULL);
	assert_readyz(p, 200,
		"{\"status\":\"ready\",\"checks\":{\"broker\":{\"status\":\"up\"},\"store\":{\"status\":\"up\"}}}\n");
	health_set(p->health, "broker", false, NULL);
	assert_readyz(p, 503,
		"{\"status\":\"not_ready\",\"checks\":{\"broker\":{\"status\":\"down\"},\"store\":{\"status\":\"up\"}}}\n");
}

static void a_stopping_service_is_never_ready(void **state)
{
	struct parts *p = *state;

	health_set(p->health, "broker", true, NULL);
	health_stop(p->health);
	assert_readyz(p, 503, "{\"status\":\"stopping\",\"checks\":{\"broker\":{\"status\":\"up\"}}}\n");
}

static void a_reason_is_valid_json_whatever_it_holds(void **state)
{
	struct parts *p = *state;
	char longer[HEALTH_WHY_MAX * 2];

	health_set(p->health, "b", false, "a\"b\\c\n\x01\xff");
	assert_readyz(p, 503,
		"{\"status\":\"not_ready\",\"checks\":{\"b\":{\"status\":\"down\","
		"\"reason\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\"}}}\n");
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	health_set(p->health, "b", false, longer);
	buf_reset(&p->body);
	assert_int_equal(health_readyz(p->health, &p->body), 503);
	assert_true(p->body.len < HEALTH_WHY_MAX + 100);
}

static void liveness_asks_nobody(void **state)
{
	struct parts *p = *state;

	health_set(p->health, "broker", false, "gone");
	health_stop(p->health);
	assert_int_equal(health_livez(p->health, &p->body), 200);
	assert_string_equal(buf_text(&p->body), "{\"status\":\"alive\"}\n");
}

static void the_metrics_are_the_third_document(void **state)
{
	struct parts *p = *state;

	metrics_add(p->metrics, 0, 3);
	assert_int_equal(health_metrics(p->health, &p->body), 200);
	assert_non_null(strstr(buf_text(&p->body), "\npostback_things_total 3\n"));
}

/* ---- the listener: a process of its own, as its caller would block the loop ---- */

struct server {
	pid_t pid;
	char address[64];
	uint16_t port;
};

static void on_stop(void *arg)
{
	loop_exit(*(struct loop **)arg, 0);
}

static int serve(struct parts *p, const char *listen, int report)
{
	struct loop *loop;
	struct admin *admin;
	int rc;

	log_init("test", LOG_ERROR);
	if (loop_new(&loop) < 0 || admin_new(loop, listen, p->health, &admin) < 0)
		return 3;
	loop_on_stop(loop, on_stop, &loop, 1000);
	if (write(report, admin_address(admin), strlen(admin_address(admin)) + 1) < 0)
		return 4;
	rc = loop_run(loop);
	admin_free(admin);
	loop_free(loop);
	return rc;
}

static void start(struct server *s, struct parts *p, const char *listen)
{
	int report[2];

	assert_int_equal(pipe(report), 0);
	fflush(NULL);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		void *state = p;
		int rc;

		/* A crash shall end it, and not have it run the remaining tests. */
		signal(SIGSEGV, SIG_DFL);
		rc = serve(p, listen, report[1]);

		close(report[0]);
		close(report[1]);
		teardown(&state);
		/* Not _exit: the leak check is a part of the test. */
		exit(rc);
	}
	close(report[1]);
	assert_true(read(report[0], s->address, sizeof s->address) > 0);
	close(report[0]);
	s->port = (uint16_t)atoi(strrchr(s->address, ':') + 1);
}

static void stop(struct server *s)
{
	int status;

	assert_int_equal(kill(s->pid, SIGTERM), 0);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int dial(const struct server *s)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 60};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the server closes, terminated; freed with the next call. */
static const char *receive(int fd)
{
	static char answer[1 << 16];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	close(fd);
	return answer;
}

static const char *call(const struct server *s, const char *request)
{
	int fd = dial(s);

	send_text(fd, request);
	return receive(fd);
}

static void assert_starts(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("'%s' does not start with '%s'", text, start);
}

static void assert_holds(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not hold '%s'", text, part);
}

static void the_three_paths_are_answered(void **state)
{
	struct parts *p = *state;
	struct server s;
	const char *answer;

	health_set(p->health, "broker", false, "gone");
	start(&s, p, "127.0.0.1:0");
	answer = call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(answer, "HTTP/1.1 200 OK\r\n");
	assert_holds(answer, "Content-Type: application/json\r\n");
	assert_holds(answer, "Content-Length: 19\r\n");
	assert_holds(answer, "\r\n\r\n{\"status\":\"alive\"}\n");
	answer = call(&s, "GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(answer, "HTTP/1.1 503 Service Unavailable\r\n");
	assert_holds(answer, "\"reason\":\"gone\"");
	answer = call(&s, "GET /metrics HTTP/1.0\r\n\r\n");
	assert_starts(answer, "HTTP/1.0 200 OK\r\n");
	assert_holds(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	assert_holds(answer, "\npostback_things_total 0\n");
	stop(&s);
}

static void head_has_the_length_and_no_body(void **state)
{
	struct server s;
	const char *answer;

	start(&s, *state, "127.0.0.1:0");
	answer = call(&s, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(answer, "HTTP/1.1 200 OK\r\n");
	assert_holds(answer, "Content-Length: 19\r\n");
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	stop(&s);
}

static void other_paths_and_methods_get_a_problem(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"};
	static const char *const paths[] = {"/", "/livez/", "//livez", "/livez%00", "/nope"};
	struct server s;
	char request[128];
	const char *answer;

	start(&s, *state, "127.0.0.1:0");
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		snprintf(request, sizeof request,
			"%s /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", methods[i]);
		answer = call(&s, request);
		assert_starts(answer, "HTTP/1.1 405 Method Not Allowed\r\n");
		assert_holds(answer, "Allow: GET, HEAD\r\n");
		assert_holds(answer, "Content-Type: application/problem+json\r\n");
		assert_holds(answer, "\"status\":405");
	}
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
		answer = call(&s, request);
		assert_starts(answer, "HTTP/1.1 404 Not Found\r\n");
		assert_holds(answer, "Content-Type: application/problem+json\r\n");
		assert_holds(answer, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,");
	}
	stop(&s);
}

static void hostile_requests_are_refused_and_the_next_works(void **state)
{
	static char huge[32 * 1024];
	struct server s;
	int fd;

	memset(huge, 'x', sizeof huge - 1);
	start(&s, *state, "127.0.0.1:0");
	call(&s, "\x16\x03\x01\x02\n\r\n\r\n");
	call(&s, "GET\r\n\r\n");
	call(&s, "BREW /livez HTTP/1.1\r\n\r\n");
	call(&s, "GET /livez HTTP/9.9\r\n\r\n");
	/* More than a head may have: it may be cut off while it is still being sent. */
	fd = dial(&s);
	send(fd, "GET /livez HTTP/1.1\r\nX: ", 24, MSG_NOSIGNAL);
	send(fd, huge, sizeof huge, MSG_NOSIGNAL);
	receive(fd);
	fd = dial(&s);
	send(fd, "POST /livez HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", 49, MSG_NOSIGNAL);
	send(fd, huge, sizeof huge, MSG_NOSIGNAL);
	receive(fd);
	close(dial(&s));
	assert_starts(call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	stop(&s);
}

static void pipelined_requests_get_one_answer(void **state)
{
	static const char twice[] =
		"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server s;
	const char *answer;

	start(&s, *state, "127.0.0.1:0");
	answer = call(&s, twice);
	assert_starts(answer, "HTTP/1.1 200 OK\r\n");
	assert_null(strstr(answer + 1, "HTTP/1.1"));
	stop(&s);
}

static bool is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void a_caller_that_drips_is_cut_off(void **state)
{
	int64_t started = clock_mono_ms();
	struct server s;
	int fd;

	start(&s, *state, "127.0.0.1:0");
	fd = dial(&s);
	send_text(fd, "GET /livez HTTP/1.1\r\nX: ");
	while (!is_closed(fd)) {
		struct pollfd gone = {.fd = fd, .events = POLLIN};

		assert_true(clock_mono_ms() - started < 6 * ADMIN_CALL_MS);
		send(fd, "x", 1, MSG_NOSIGNAL);
		poll(&gone, 1, 300);
	}
	assert_true(clock_mono_ms() - started >= ADMIN_CALL_MS - 1000);
	close(fd);
	assert_starts(call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	stop(&s);
}

static void idle_connections_are_bounded_and_make_room(void **state)
{
	enum { CALLERS = ADMIN_CONNECTIONS_MAX * 2 };
	struct server s;
	int fds[CALLERS];

	start(&s, *state, "127.0.0.1:0");
	for (int i = 0; i < CALLERS; i++)
		fds[i] = dial(&s);
	/* This one waits in the backlog until the first ones time out. */
	assert_starts(call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < CALLERS; i++)
		close(fds[i]);
	stop(&s);
}

static double cpu_ms(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(
		fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	fclose(f);
	return (double)(user + system) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

static void without_descriptors_it_waits_and_does_not_spin(void **state)
{
	enum { CALLERS = 40 };
	struct rlimit old, few;
	struct server s;
	int fds[CALLERS];
	struct pollfd nothing = {.fd = -1};
	double before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	start(&s, *state, "127.0.0.1:0");
	few = (struct rlimit){.rlim_cur = 24, .rlim_max = old.rlim_max};
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (int i = 0; i < CALLERS; i++)
		fds[i] = dial(&s);
	before = cpu_ms(s.pid);
	poll(&nothing, 1, 1500);
	assert_true(cpu_ms(s.pid) - before < 500);
	for (int i = 0; i < CALLERS; i++)
		close(fds[i]);
	assert_starts(call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &old, NULL), 0);
	stop(&s);
}

static void it_ends_cleanly_with_connections_open(void **state)
{
	struct server s;
	int idle, half;

	start(&s, *state, "127.0.0.1:0");
	idle = dial(&s);
	half = dial(&s);
	send_text(half, "GET /livez HT");
	assert_starts(call(&s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	stop(&s);
	close(idle);
	close(half);
}

static void addresses_are_read_in_every_form(void **state)
{
	static const struct {
		const char *listen, *start;
	} good[] = {{"127.0.0.1:0", "127.0.0.1:"}, {"localhost:0", ""}, {"[::1]:0", "[::1]:"}, {":0", ""},
		{"0.0.0.0:0", "0.0.0.0:"}};
	static const char *const bad[] = {"127.0.0.1", ":", "x:", "127.0.0.1:http", "127.0.0.1:65536",
		"127.0.0.1:-1", "::1:80", "127.0.0.1:000080"};
	struct parts *p = *state;
	struct loop *loop;
	struct admin *admin;

	log_init("test", LOG_ERROR);
	assert_int_equal(loop_new(&loop), 0);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(admin_new(loop, good[i].listen, p->health, &admin), 0);
		assert_starts(admin_address(admin), good[i].start);
		assert_int_not_equal(atoi(strrchr(admin_address(admin), ':') + 1), 0);
		admin_free(admin);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(admin_new(loop, bad[i], p->health, &admin), -EINVAL);
	assert_int_equal(admin_new(loop, "192.0.2.1:80", p->health, &admin), -EADDRNOTAVAIL);
	loop_free(loop);
}

static void no_address_is_no_listener(void **state)
{
	struct parts *p = *state;
	struct loop *loop;
	struct admin *admin;

	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(admin_new(loop, "", p->health, &admin), 0);
	assert_string_equal(admin_address(admin), "");
	admin_free(admin);
	admin_free(NULL);
	loop_free(loop);
}

static void an_address_in_use_is_told(void **state)
{
	struct parts *p = *state;
	struct loop *loop;
	struct admin *first, *second;

	log_init("test", LOG_ERROR);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(admin_new(loop, "127.0.0.1:0", p->health, &first), 0);
	assert_int_equal(admin_new(loop, admin_address(first), p->health, &second), -EADDRINUSE);
	admin_free(first);
	loop_free(loop);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ready_is_when_every_check_is_up),
		TEST(a_stopping_service_is_never_ready),
		TEST(a_reason_is_valid_json_whatever_it_holds),
		TEST(liveness_asks_nobody),
		TEST(the_metrics_are_the_third_document),
		TEST(the_three_paths_are_answered),
		TEST(head_has_the_length_and_no_body),
		TEST(other_paths_and_methods_get_a_problem),
		TEST(hostile_requests_are_refused_and_the_next_works),
		TEST(pipelined_requests_get_one_answer),
		TEST(a_caller_that_drips_is_cut_off),
		TEST(idle_connections_are_bounded_and_make_room),
		TEST(without_descriptors_it_waits_and_does_not_spin),
		TEST(it_ends_cleanly_with_connections_open),
		TEST(addresses_are_read_in_every_form),
		TEST(no_address_is_no_listener),
		TEST(an_address_in_use_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
