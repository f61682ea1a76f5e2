/*
 * What only PostgreSQL can do to the store: servers that die, hang or refuse, connections cut at any byte, sessions on
 * other machines that write the same rows at the same moment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "store/postgres.h"
#include "tests/unit/postgres_server.h"
#include "tests/unit/store_fixture.h"

#define PASSWORD "p@ss word"

/* ---- text ---- */

static void expect_rewritten(const char *text, const char *want)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(postgres_rewrite(text, &out), 0);
	assert_string_equal(buf_text(&out), want);
	buf_done(&out);
}

static void statements_are_put_into_other_words(void **state)
{
	expect_rewritten("SELECT 1", "SELECT 1");
	expect_rewritten("a = ? AND b = ? OR c = ?", "a = $1 AND b = $2 OR c = $3");
	expect_rewritten("a = ?2 AND b = ?1 AND c = ?", "a = $2 AND b = $1 AND c = $3");
	expect_rewritten("?12", "$12");
	expect_rewritten("x = '?' AND y = ?", "x = '?' AND y = $1");
	expect_rewritten("FROM due INDEXED BY due_ready WHERE", "FROM due  WHERE");
	expect_rewritten("id = /*pg:ANY*/ (?) /*pg:FOR UPDATE*/", "id = ANY ($1) FOR UPDATE");
	expect_rewritten("", "");
}

static void what_a_failure_means_is_told_by_its_code(void **state)
{
	assert_int_equal(postgres_code("40001"), -ERESTART);
	assert_int_equal(postgres_code("40P01"), -ERESTART);
	assert_int_equal(postgres_code("23505"), -ERESTART);
	assert_int_equal(postgres_code("23502"), -EBADMSG);
	assert_int_equal(postgres_code("22021"), -EBADMSG);
	assert_int_equal(postgres_code("55P03"), -EBUSY);
	assert_int_equal(postgres_code("57014"), -EBUSY);
	assert_int_equal(postgres_code("57P01"), -EIO);
	assert_int_equal(postgres_code("42501"), -EIO);
	assert_int_equal(postgres_code("XX000"), -EIO);
	assert_int_equal(postgres_code(""), -EIO);
}

static void every_explanation_is_one_line_with_what_to_do(void **state)
{
	char why[BACKEND_WHY_LEN], whole[3 * BACKEND_WHY_LEN];

	postgres_explain(why, "place", "", "connection failed:\n\tIs the server\n\trunning?\n");
	assert_string_equal(why,
		"place: connection failed: Is the server running?: start the server, or correct host "
		"and port in store.url; it is tried again by itself");
	postgres_explain(why, "place", "", "SSL connection has been closed unexpectedly\n");
	assert_string_equal(why,
		"place: SSL connection has been closed unexpectedly: the server stopped, or the line to it broke; "
		"it is tried again by itself");
	postgres_explain(why, "place", "", "SSL SYSCALL error: EOF detected\n");
	assert_null(strstr(why, "sslmode"));
	memset(whole, 'x', sizeof whole - 1);
	whole[sizeof whole - 1] = '\0';
	postgres_explain(why, "place", "42501", whole);
	assert_non_null(strstr(why, "SQLSTATE 42501"));
	assert_non_null(strstr(why, "docs/stores.md"));
}

/* ---- servers that cannot be used ---- */

static const char *start_in_vain(struct fixture *f)
{
	fixture_stop_store(f);
	fixture_start_store(f);
	while (!f->was_told)
		fixture_await(f, &f->was_told);
	assert_false(f->is_up);
	assert_null(strstr(f->why, "p@ss"));
	assert_null(strstr(f->why, "p%40ss"));
	return f->why;
}

static void use_url(struct fixture *f, const char *role, const char *password, int port, const char *database)
{
	postgres_server_url_as(f->url, sizeof f->url, role, password, port, database);
}

static void each_reason_why_it_cannot_be_used_is_told(void **state)
{
	struct fixture *f = *state;
	char text[160];
	int port = postgres_server_port();

	use_url(f, "postback", "wrong", port, f->folder);
	assert_non_null(strstr(start_in_vain(f), "password authentication failed"));
	assert_non_null(strstr(f->why, "store.password_file"));
	use_url(f, "postback", "", port, f->folder);
	assert_non_null(strstr(start_in_vain(f), "store.password_file"));
	use_url(f, "postback", "p%40ss%20word", port, "nothing");
	assert_non_null(strstr(start_in_vain(f), "create the database"));
	use_url(f, "postback", "p%40ss%20word", 1, f->folder);
	assert_non_null(strstr(start_in_vain(f), "start the server"));
	use_url(f, "nobody", "p%40ss%20word", port, f->folder);
	assert_non_null(strstr(start_in_vain(f), "check user and password"));
	use_url(f, "postback", "p%40ss%20word", port, f->folder);
	postgres_server_run(f->folder, "UPDATE postback.meta SET value = value + 1000 WHERE key = 'schema'");
	assert_non_null(strstr(start_in_vain(f), "version 10"));
	assert_non_null(strstr(f->why, "newer Postback"));
	postgres_server_run(f->folder, "UPDATE postback.meta SET value = value - 1000 WHERE key = 'schema'");
	snprintf(text, sizeof text, "ALTER DATABASE %s SET default_transaction_read_only = on", f->folder);
	postgres_server_run("postgres", text);
	assert_non_null(strstr(start_in_vain(f), "read-only"));
	snprintf(text, sizeof text, "ALTER DATABASE %s RESET default_transaction_read_only", f->folder);
	postgres_server_run("postgres", text);
	fixture_await_up(f, true);
	fixture_expect_works(f);
}

static void a_role_with_fewer_rights_is_told_which_one_is_missing(void **state)
{
	struct fixture *f = *state;

	postgres_server_run("postgres", "DROP ROLE IF EXISTS small");
	postgres_server_run("postgres", "CREATE ROLE small LOGIN PASSWORD 'small'");
	use_url(f, "small", "small", postgres_server_port(), f->folder);
	assert_non_null(strstr(start_in_vain(f), "permission denied for schema postback"));
	postgres_server_run(f->folder,
		"GRANT USAGE ON SCHEMA postback TO small;"
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postback TO small;"
		"REVOKE DELETE ON postback.claims FROM small");
	assert_non_null(strstr(start_in_vain(f), "DELETE on table postback.claims"));
	postgres_server_run(f->folder, "GRANT DELETE ON postback.claims TO small");
	fixture_await_up(f, true);
	fixture_expect_works(f);
	postgres_server_run(f->folder, "REVOKE INSERT ON postback.results FROM small");
	{
		struct id id = new_id(f, T0);
		struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);

		e.result = slice_text("result");
		assert_int_equal(apply_one(f, &e, NULL), -EIO);
	}
	fixture_await_up(f, false);
	assert_non_null(strstr(f->why, "results"));
	fixture_stop_store(f);
	postgres_server_run(f->folder, "DROP OWNED BY small");
}

static void a_password_beside_the_url_counts(void **state)
{
	struct fixture *f = *state;
	struct store_options opt = {.url = f->url, .task_ttl_ms = DAY_MS, .result_ttl_ms = DAY_MS};
	char why[200];
	int64_t until_ms = clock_mono_ms() + 30000;

	fixture_stop_store(f);
	use_url(f, "postback", "wrong", postgres_server_port(), f->folder);
	opt.password = PASSWORD;
	assert_int_equal(store_new(f->loop, &opt, why, sizeof why, &f->store), 0);
	while (!store_is_up(f->store) && clock_mono_ms() < until_ms)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_true(store_is_up(f->store));
}

static void the_database_of_another_program_is_shared(void **state)
{
	struct fixture *f = *state;

	fixture_stop_store(f);
	postgres_server_run(f->folder,
		"DROP SCHEMA postback CASCADE; CREATE TABLE tasks (x int); CREATE TABLE meta (x int)");
	fixture_start_store(f);
	fixture_await_up(f, true);
	fixture_expect_works(f);
	assert_int_equal(postgres_server_ask(f->folder, "SELECT count(*) FROM public.tasks"), 0);
}

/* Every kind of byte that a message can bear comes back as it was. */
static void no_text_is_refused(void **state)
{
	static const char bytes[] = "a\0b\xff\xc3\x28 \\x00 '";
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_FAILED, &id, 1, T0);
	const struct slice odd = slice_of(bytes, sizeof bytes);
	const struct store_dead_letter letter = {.at_ms = T0, .queue = odd, .reason = odd, .body = odd};
	const struct store_task *t;

	e.error.type = e.error.message = e.error.data = e.worker = e.progress = e.metadata = odd;
	assert_int_equal(apply_one(f, &e, NULL), 0);
	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_true(slice_is_equal(t->error.message, odd));
	assert_true(slice_is_equal(t->worker, odd));
	assert_true(slice_is_equal(t->metadata, odd));
	assert_int_equal(add_dead_letter(f, &letter), 0);
}

/* ---- servers that go ---- */

static void apply_until_it_works(struct fixture *f, const struct id *id)
{
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, id, 1, T0);
	int64_t until_ms = clock_mono_ms() + 20000;

	while (store_is_up(f->store) == false || apply_one(f, &e, NULL) < 0) {
		assert_true(clock_mono_ms() < until_ms);
		fixture_await_up(f, true);
	}
}

static void a_server_that_is_killed_loses_nothing_that_was_promised(void **state)
{
	struct fixture *f = *state;
	struct id before = new_id(f, T0), after = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &before, 1, T0);
	const struct store_task *t;

	assert_int_equal(apply_one(f, &e, NULL), 0);
	postgres_server_kill();
	fixture_await_up(f, false);
	postgres_server_start();
	fixture_await_up(f, true);
	apply_until_it_works(f, &after);
	assert_int_equal(get_task(f, &before, 0, &t), 0);
	assert_int_equal(t->state, TASK_SUCCEEDED);
	assert_int_equal(get_task(f, &after, 0, &t), 0);
	assert_int_equal(t->rev, 1);
}

/* Nobody asks anything: it is noticed all the same, and mended before somebody does. */
static void a_server_that_goes_and_comes_is_noticed_by_the_idle(void **state)
{
	struct fixture *f = *state;

	postgres_server_stop();
	fixture_await_up(f, false);
	assert_null(strstr(f->why, "p@ss"));
	postgres_server_start();
	fixture_await_up(f, true);
	fixture_expect_works(f);
}

static void a_session_that_is_ended_by_hand_is_made_again(void **state)
{
	struct fixture *f = *state;

	postgres_server_run(f->folder,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
		"AND pid <> pg_backend_pid()");
	fixture_await_up(f, false);
	fixture_await_up(f, true);
	fixture_expect_works(f);
}

static void a_row_held_by_hand_is_waited_for_and_then_given_up(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_STARTED, &id, 1, T0);

	assert_int_equal(apply_one(f, &e, NULL), 0);
	postgres_server_run("postgres", "SELECT 1");
	{
		PGconn *other;
		char where[512];

		postgres_server_url(where, sizeof where, f->folder);
		other = PQconnectdb(where);
		PQclear(PQexec(other, "BEGIN; SELECT 1 FROM postback.tasks FOR UPDATE"));
		e.kind = STORE_EVENT_SUCCEEDED;
		assert_int_equal(apply_one(f, &e, NULL), -EIO);
		assert_true(store_is_up(f->store));
		PQfinish(other);
	}
	assert_int_equal(apply_one(f, &e, NULL), 0);
}

/* ---- the last place ---- */

struct added {
	bool has_come;
	int rc;
	enum store_endpoint_outcome what;
};

static void on_added(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	*(struct added *)arg = (struct added){true, rc, what};
}

static void add_endpoint(struct fixture *f, struct added *a)
{
	const struct store_endpoint e = {
		.id = id_mint(&f->minter, ID_ENDPOINT, TENANT, (uint64_t)T0),
		.tenant = TENANT,
		.url = slice_text("http://x/"),
		.secret = slice_text("whsec_x"),
		.created_at_ms = T0,
	};

	*a = (struct added){0};
	assert_int_equal(store_endpoint_add(f->store, &e, on_added, a), 0);
}

static void await_waiter(PGconn *c)
{
	int64_t until_ms = clock_mono_ms() + 30000;
	bool is_there = false;

	while (!is_there) {
		PGresult *r = PQexec(c, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
					"AND wait_event_type = 'Lock'");

		is_there = PQntuples(r) == 1;
		PQclear(r);
		assert_true(clock_mono_ms() < until_ms);
	}
}

static void the_last_place_of_a_tenant_goes_to_one_of_two_who_want_it(void **state)
{
	struct fixture *f = *state;
	PGconn *other, *watch;
	struct added a;
	char where[512];

	for (int i = 1; i < STORE_ENDPOINTS_MAX; i++) {
		add_endpoint(f, &a);
		fixture_await(f, &a.has_come);
	}
	postgres_server_url(where, sizeof where, f->folder);
	other = PQconnectdb(where);
	watch = PQconnectdb(where);
	PQclear(PQexec(other,
		"BEGIN; SET search_path = postback; SELECT 1 FROM endpoints ORDER BY id FOR UPDATE;"
		"CREATE TEMPORARY TABLE last ON COMMIT DROP AS SELECT * FROM endpoints LIMIT 1;"
		"UPDATE last SET id = gen_random_uuid(); INSERT INTO endpoints SELECT * FROM last"));
	add_endpoint(f, &a);
	await_waiter(watch);
	PQclear(PQexec(other, "COMMIT"));
	fixture_await(f, &a.has_come);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.what, STORE_ENDPOINT_TOO_MANY);
	PQfinish(other);
	PQfinish(watch);
}

/* ---- connections that are cut ---- */

enum { CONNECTIONS_MAX = 4096 };

/* Passes bytes on in both directions until `left` of those to the server have gone, then cuts both. */
struct proxy {
	pthread_t thread;
	int listener, port;
	atomic_long left; /* below 0: never cuts */
	atomic_bool is_stopping;
	pthread_t passing[CONNECTIONS_MAX];
	size_t passing_len;
};

struct pipes {
	int client, server;
	struct proxy *proxy;
};

static int listen_anywhere(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static bool pass(int from, int to, atomic_long *left)
{
	char bytes[4096];
	ssize_t n = read(from, bytes, sizeof bytes);
	long before;

	if (n <= 0)
		return false;
	before = left ? atomic_load(left) : -1;
	/* Not if the test has taken it back meanwhile: then nothing is cut. */
	if (before >= 0 && atomic_compare_exchange_strong(left, &before, before > n ? before - n : 0) &&
		before <= n)
		return false;
	return write(to, bytes, (size_t)n) == n;
}

static void *pass_both(void *arg)
{
	struct pipes p = *(struct pipes *)arg;
	struct pollfd fds[2] = {{.fd = p.client, .events = POLLIN}, {.fd = p.server, .events = POLLIN}};
	bool is_good = true;

	free(arg);
	while (is_good && !atomic_load(&p.proxy->is_stopping)) {
		if (poll(fds, 2, 50) <= 0)
			continue;
		if (fds[0].revents)
			is_good = pass(p.client, p.server, &p.proxy->left);
		if (is_good && fds[1].revents)
			is_good = pass(p.server, p.client, NULL);
	}
	close(p.client);
	close(p.server);
	return NULL;
}

static int connect_server(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)postgres_server_port())};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&a, sizeof a) == 0 ? fd : -1;
}

static void *accept_all(void *arg)
{
	struct proxy *p = arg;

	while (!atomic_load(&p->is_stopping)) {
		struct pollfd fd = {.fd = p->listener, .events = POLLIN};
		struct pipes *pipes;

		if (poll(&fd, 1, 50) <= 0)
			continue;
		pipes = malloc(sizeof *pipes);
		*pipes = (struct pipes){accept(p->listener, NULL, NULL), connect_server(), p};
		assert_true(p->passing_len < CONNECTIONS_MAX);
		pthread_create(&p->passing[p->passing_len++], NULL, pass_both, pipes);
	}
	return NULL;
}

static void proxy_start(struct proxy *p)
{
	*p = (struct proxy){.left = -1};
	p->listener = listen_anywhere(&p->port);
	pthread_create(&p->thread, NULL, accept_all, p);
}

static void proxy_stop(struct proxy *p)
{
	atomic_store(&p->is_stopping, true);
	pthread_join(p->thread, NULL);
	while (p->passing_len > 0)
		pthread_join(p->passing[--p->passing_len], NULL);
	close(p->listener);
}

/* A task with a next step and a delivery, so that many rows go together. */
static void make_step(struct fixture *f, struct id ids[2])
{
	struct store_later next;

	ids[0] = new_id(f, T0);
	ids[1] = new_id(f, T0);
	next = later_of(&ids[1], T0, 0);
	next.waits = STORE_WAITS_TASK;
	next.waits_for = ids[0];
	while (!store_is_up(f->store) || insert_later(f, &next, 1) < 0)
		fixture_await_up(f, true);
}

static void expect_one_outcome(struct fixture *f, const struct id ids[2])
{
	const struct store_task *t;

	assert_int_equal(get_tasks(f, ids, 2, STORE_WITH_RESULT, &t), 0);
	assert_int_equal(t[0].state, TASK_SUCCEEDED);
	assert_int_equal(t[0].rev, 1);
	assert_int_equal(t[0].deliveries_pending, 1);
	assert_true(slice_is_text(t[0].result, "result"));
	assert_int_equal(t[1].due_at_ms, T0);
}

static void a_connection_cut_anywhere_in_a_write_leaves_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	char folder[64];
	struct proxy proxy;
	long step = 61;

	strcpy(folder, f->folder);
	fixture_stop_store(f);
	proxy_start(&proxy);
	use_url(f, "postback", "p%40ss%20word", proxy.port, folder);
	fixture_start_store(f);
	fixture_await_up(f, true);
	for (long at = 1; at < 4000; at += step) {
		struct id ids[2];
		struct store_event e;

		make_step(f, ids);
		e = event_of(STORE_EVENT_SUCCEEDED, &ids[0], 1, T0);
		e.has_next = true;
		e.result = slice_text("result");
		e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
		atomic_store(&proxy.left, at);
		(void)apply_one(f, &e, NULL);
		atomic_store(&proxy.left, -1);
		while (!store_is_up(f->store) || apply_one(f, &e, NULL) < 0)
			fixture_await_up(f, true);
		expect_one_outcome(f, ids);
	}
	assert_int_equal(postgres_server_ask(folder, "SELECT count(*) FROM postback.due d WHERE NOT EXISTS "
						     "(SELECT 1 FROM postback.tasks WHERE id = d.task_id)"),
		0);
	fixture_stop_store(f);
	proxy_stop(&proxy);
	fixture_start_store(f);
}

/* It still listens and says nothing at all: calls fail in bounded time, and nobody is told that something worked. */
static void a_server_that_hangs_fails_the_call_and_works_on_once_it_wakes(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	pid_t session = (pid_t)postgres_server_ask(f->folder,
		"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%COMMIT%' "
		"AND pid <> pg_backend_pid() ORDER BY backend_start LIMIT 1");
	int64_t began_ms = clock_mono_ms();

	assert_true(session > 0);
	kill(session, SIGSTOP);
	assert_int_equal(apply_one(f, &e, NULL), -EIO);
	assert_true(clock_mono_ms() - began_ms < 25000);
	kill(session, SIGCONT);
	apply_until_it_works(f, &id);
}

/* It had one old secret at most, with its moment in a column beside it. */
static void the_first_version_is_upgraded_with_its_old_secrets(void **state)
{
	struct fixture *f = *state;

	fixture_stop_store(f);
	postgres_server_run(f->folder,
		"SET search_path = postback; ALTER TABLE endpoints DROP COLUMN old_secrets, ADD COLUMN old_secret bytea,"
		" ADD COLUMN old_until bigint NOT NULL DEFAULT 0;"
		"INSERT INTO endpoints (id, tenant, url, tasks, outcomes, secret, old_secret, old_until, created_at, updated_at,"
		" is_enabled, disabled_at, failing_since) VALUES"
		" (gen_random_uuid(), 'acme', 'http://a/', '', 0, 'new', 'whsec_old', 1700000000000, 0, 0, 1, 0, 0),"
		" (gen_random_uuid(), 'acme', 'http://b/', '', 0, 'new', NULL, 0, 0, 0, 1, 0, 0);"
		"UPDATE meta SET value = 1 WHERE key = 'schema'");
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(
		postgres_server_ask(f->folder, "SELECT count(*) FROM postback.endpoints "
					       "WHERE old_secrets = '1700000000000 whsec_old'::bytea"),
		1);
	assert_int_equal(postgres_server_ask(f->folder,
				 "SELECT count(*) FROM postback.endpoints WHERE old_secrets IS NULL"),
		1);
	fixture_expect_works(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_are_put_into_other_words),
		cmocka_unit_test(what_a_failure_means_is_told_by_its_code),
		cmocka_unit_test(every_explanation_is_one_line_with_what_to_do),
		TEST(each_reason_why_it_cannot_be_used_is_told),
		TEST(a_role_with_fewer_rights_is_told_which_one_is_missing),
		TEST(a_password_beside_the_url_counts),
		TEST(the_database_of_another_program_is_shared),
		TEST(the_first_version_is_upgraded_with_its_old_secrets),
		TEST(no_text_is_refused),
		TEST(a_server_that_is_killed_loses_nothing_that_was_promised),
		TEST(a_server_that_goes_and_comes_is_noticed_by_the_idle),
		TEST(a_session_that_is_ended_by_hand_is_made_again),
		TEST(a_row_held_by_hand_is_waited_for_and_then_given_up),
		TEST(the_last_place_of_a_tenant_goes_to_one_of_two_who_want_it),
		TEST(a_connection_cut_anywhere_in_a_write_leaves_all_or_nothing),
		TEST(a_server_that_hangs_fails_the_call_and_works_on_once_it_wakes),
	};

	signal(SIGPIPE, SIG_IGN);
	if (fixture_use("postgresql") < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
