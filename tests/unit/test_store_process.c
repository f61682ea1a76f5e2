/*
 * test_store_process [KIND]: several processes on one database: they start at once, write at once, are killed at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "tests/unit/postgres_server.h"
#include "tests/unit/store_fixture.h"

enum { GROUP = 16 };

/* ---- a child that writes and says through a pipe what was promised to it ---- */

struct child {
	pid_t pid;
	int promised; /* ids of tasks whose call said 0 */
};

/* A child's failed assertion must not run the parent's other tests. */
#define REQUIRE(condition)                                                             \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "child: line %d: %s\n", __LINE__, #condition); \
			_exit(3);                                                      \
		}                                                                      \
	} while (0)

static void write_group(struct fixture *f, int promised, const struct id *shared)
{
	struct store_event e[GROUP];
	struct id ids[GROUP];

	for (size_t i = 0; i < GROUP; i++) {
		ids[i] = new_id(f, T0);
		e[i] = event_of(i % 4 ? STORE_EVENT_SUCCEEDED : STORE_EVENT_RETRY, &ids[i], 1, T0);
		e[i].result = slice_of(ids[i].bytes, ID_LEN);
	}
	if (shared)
		e[0].id = ids[0] = *shared;
	REQUIRE(apply_all(f, e, GROUP, NULL) == 0);
	REQUIRE(write(promised, ids, sizeof ids) == sizeof ids);
}

static void join(struct fixture *f, const char *url)
{
	*f = (struct fixture){0};
	snprintf(f->url, sizeof f->url, "%s", url);
	REQUIRE(loop_new(&f->loop) == 0);
	id_minter_init(&f->minter, &(struct id_key){{9}}, random_u32());
	fixture_start_store(f);
	fixture_await_up(f, true);
}

/*
 * A program of its own, as SQLite's locks do not survive a fork: this one, called as "child URL GROUPS PIPE SHARED".
 * Writes GROUPS times, or until it is killed when that is 0.
 */
static int run_child(char **argv)
{
	struct id shared;
	bool has_shared = id_parse(slice_text(argv[5]), &shared) == 0;
	unsigned long groups = strtoul(argv[3], NULL, 10);
	struct fixture f;

	join(&f, argv[2]);
	for (unsigned long i = 0; groups == 0 || i < groups; i++)
		write_group(&f, atoi(argv[4]), has_shared ? &shared : NULL);
	fixture_stop_store(&f);
	arena_done(&f.arena);
	loop_free(f.loop);
	return 0;
}

static void exec_child(const char *url, unsigned groups, int promised, const struct id *shared)
{
	char number[16], pipe_end[16], text[ID_TEXT_LEN + 1] = "";

	snprintf(number, sizeof number, "%u", groups);
	snprintf(pipe_end, sizeof pipe_end, "%d", promised);
	if (shared)
		id_format(shared, text);
	execl("/proc/self/exe", "test_store_process", "child", url, number, pipe_end, text, (char *)NULL);
	_exit(127);
}

static struct child start_child(const char *url, unsigned groups, const struct id *shared)
{
	struct child c;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	c.pid = fork();
	assert_true(c.pid >= 0);
	if (c.pid == 0)
		exec_child(url, groups, ends[1], shared);
	close(ends[1]);
	c.promised = ends[0];
	return c;
}

/* Reads what was promised until the child has ended, or until `enough` bytes came. */
static size_t read_promises(struct child *c, struct id *ids, size_t max, size_t enough)
{
	size_t len = 0;
	ssize_t n;

	while (len < max * ID_LEN && len < enough * ID_LEN &&
		(n = read(c->promised, (uint8_t *)ids + len, max * ID_LEN - len)) > 0)
		len += (size_t)n;
	return len / ID_LEN;
}

static void expect_kept(struct fixture *f, const struct id *ids, size_t len)
{
	for (size_t at = 0; at < len; at += STORE_READ_MAX) {
		size_t n = len - at < STORE_READ_MAX ? len - at : STORE_READ_MAX;
		const struct store_task *t;

		assert_int_equal(get_tasks(f, ids + at, n, STORE_WITH_RESULT | STORE_WITH_REQUEST, &t), 0);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(t[i].presence, STORE_PRESENT);
			if (t[i].state == TASK_SUCCEEDED)
				assert_true(slice_is_equal(t[i].result, slice_of(t[i].id.bytes, ID_LEN)));
			else
				assert_true(slice_is_set(t[i].request));
		}
	}
}

static bool is_postgres;

/* The same tables in both, in PostgreSQL in a schema of their own. */
static int64_t ask_postgres(const struct fixture *f, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof whole, "SET search_path = postback; %s", text);
	return postgres_server_ask(f->folder, whole);
}

static int64_t ask(const struct fixture *f, const char *text)
{
	sqlite3_stmt *statement;
	int64_t answer;
	sqlite3 *db;

	if (is_postgres)
		return ask_postgres(f, text);
	assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	answer = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
}

/* No row without what belongs to it, and the tables are sound. */
static void expect_whole(const struct fixture *f)
{
	if (!is_postgres)
		assert_int_equal(
			ask(f, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
			0);
	assert_int_equal(
		ask(f, "SELECT count(*) FROM tasks WHERE state = 3 AND id NOT IN (SELECT id FROM results)"),
		0);
	assert_int_equal(
		ask(f, "SELECT count(*) FROM tasks WHERE state = 0 AND id NOT IN (SELECT id FROM requests)"),
		0);
	assert_int_equal(
		ask(f, "SELECT count(*) FROM tasks WHERE state = 0 AND id NOT IN (SELECT task_id FROM due)"),
		0);
	assert_int_equal(ask(f, "SELECT count(*) FROM results WHERE id NOT IN (SELECT id FROM tasks)"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM due WHERE task_id NOT IN (SELECT id FROM tasks)"), 0);
}

static void expect_exit(struct child *c, int want_signal)
{
	int status;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	if (want_signal)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == want_signal);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(c->promised);
}

enum { GROUPS = 60, CHILDREN = 3, IDS_MAX = 1 << 20 };

static void processes_that_write_at_once_lose_nothing(void **state)
{
	struct fixture *f = *state;
	struct child children[CHILDREN];
	struct id *ids = calloc(CHILDREN, sizeof *ids * GROUPS * GROUP), shared = new_id(f, T0);
	const struct store_task *t;
	size_t len = 0;

	for (size_t i = 0; i < CHILDREN; i++)
		children[i] = start_child(f->url, GROUPS, &shared);
	for (size_t i = 0; i < CHILDREN; i++) {
		size_t n = read_promises(&children[i], ids + len, GROUPS * GROUP, SIZE_MAX / ID_LEN);

		assert_int_equal(n, GROUPS * GROUP);
		len += n;
		expect_exit(&children[i], 0);
	}
	expect_kept(f, ids, len);
	expect_whole(f);
	assert_int_equal(get_task(f, &shared, 0, &t), 0);
	assert_int_equal(t->rev, 1);
	free(ids);
}

static void make_nothing(struct fixture *f)
{
	char command[200];

	if (is_postgres) {
		postgres_server_run(f->folder, "DROP SCHEMA postback CASCADE");
		return;
	}
	snprintf(command, sizeof command, "rm -f %s/t.db*", f->folder);
	assert_int_equal(system(command), 0);
}

static void processes_that_start_at_once_on_nothing_make_one_database(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 5; round++) {
		struct child children[4];
		struct id ids[GROUP];

		fixture_stop_store(f);
		make_nothing(f);
		for (size_t i = 0; i < 4; i++)
			children[i] = start_child(f->url, 1, NULL);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(read_promises(&children[i], ids, GROUP, GROUP), GROUP);
			expect_exit(&children[i], 0);
		}
		fixture_start_store(f);
		fixture_await_up(f, true);
		expect_kept(f, ids, GROUP);
		assert_int_equal(ask(f, "SELECT count(*) FROM id_keys"), 1);
	}
}

static void a_process_killed_at_any_moment_breaks_no_promise(void **state)
{
	struct fixture *f = *state;
	struct id *ids = calloc(IDS_MAX, sizeof *ids);
	size_t len = 0;

	for (int round = 0; round < 12; round++) {
		struct child a = start_child(f->url, 0, NULL), b = start_child(f->url, 0, NULL);
		size_t before = len;

		/* Not before both write, then at a moment that nobody chose. */
		len += read_promises(&a, ids + len, IDS_MAX - len, GROUP);
		len += read_promises(&b, ids + len, IDS_MAX - len, GROUP);
		usleep(random_u32() % 30000);
		kill(a.pid, SIGKILL);
		usleep(random_u32() % 10000);
		kill(b.pid, SIGKILL);
		len += read_promises(&a, ids + len, IDS_MAX - len, SIZE_MAX / ID_LEN);
		len += read_promises(&b, ids + len, IDS_MAX - len, SIZE_MAX / ID_LEN);
		expect_exit(&a, SIGKILL);
		expect_exit(&b, SIGKILL);
		assert_true(len > before);
		expect_kept(f, ids + before, len - before);
	}
	expect_kept(f, ids, len);
	expect_whole(f);
	free(ids);
}

/* ---- several connections of this process, whose calls are under way at the same time ---- */

enum { SEVERAL = 3 };

struct several {
	struct fixture others[SEVERAL];
	unsigned left;
	bool has_ended;
	unsigned claimed, first;
	struct id rows[SEVERAL * STORE_DUE_MAX];
};

static void several_open(struct several *s, const struct fixture *f)
{
	*s = (struct several){0};
	for (size_t i = 0; i < SEVERAL; i++)
		fixture_join(&s->others[i], f);
}

static void several_close(struct several *s)
{
	for (size_t i = 0; i < SEVERAL; i++)
		fixture_close(&s->others[i]);
}

static void end_call(struct several *s)
{
	s->has_ended = --s->left == 0;
}

static void await_calls(struct several *s)
{
	fixture_await(&s->others[0], &s->has_ended);
	s->has_ended = false;
}

static void on_applied(int rc, const struct store_applied *applied, size_t len, void *arg)
{
	assert_int_equal(rc, 0);
	end_call(arg);
}

static void on_done(int rc, void *arg)
{
	assert_int_equal(rc, 0);
	end_call(arg);
}

enum { ITEMS = 60 };

/* Every item's end is told by every process, in another order: it counts once, and the last of all releases what waits. */
static void a_batch_whose_items_end_in_several_processes_is_complete_once(void **state)
{
	struct fixture *f = *state;
	struct several s;

	several_open(&s, f);
	for (int round = 0; round < 10; round++) {
		struct id batch = id_mint(&f->minter, ID_BATCH, TENANT, (uint64_t)T0), then = new_id(f, T0);
		struct store_later later = later_of(&then, T0, 0);
		uint32_t by_state[TASK_STATES];
		const struct store_batch *b;
		const struct store_task *t;
		struct id items[ITEMS];

		later.waits = STORE_WAITS_BATCH;
		later.waits_for = batch;
		assert_int_equal(insert_batch(f, &batch, T0), 0);
		assert_int_equal(insert_later(f, &later, 1), 0);
		for (size_t i = 0; i < ITEMS; i++)
			items[i] = new_id(f, T0);
		assert_int_equal(seal_batch(f, &batch, items, ITEMS, T0), 0);
		for (size_t k = 0; k < SEVERAL; k++) {
			struct store_event e[ITEMS];

			for (size_t i = 0; i < ITEMS; i++) {
				size_t which = k == 1 ? ITEMS - 1 - i : (i + k * 7) % ITEMS;

				e[i] = event_of(STORE_EVENT_SUCCEEDED, &items[which], 1, T0);
				e[i].batch = batch;
			}
			s.left++;
			assert_int_equal(store_apply(s.others[k].store, e, ITEMS, on_applied, &s), 0);
		}
		await_calls(&s);
		assert_int_equal(get_batch(f, &batch, &b, by_state), 0);
		assert_int_equal(b->done, ITEMS);
		assert_int_equal(get_task(f, &then, 0, &t), 0);
		assert_int_equal(t->due_at_ms, T0);
		assert_int_equal(t->rev, 2);
	}
	several_close(&s);
}

static void a_step_inserted_while_the_one_before_it_ends_is_never_forgotten(void **state)
{
	struct fixture *f = *state;
	struct several s;

	several_open(&s, f);
	for (int round = 0; round < 100; round++) {
		struct id first = new_id(f, T0), next = new_id(f, T0);
		struct store_later later = later_of(&next, T0, 0);
		struct store_event e =
			event_of(round % 2 ? STORE_EVENT_SUCCEEDED : STORE_EVENT_FAILED, &first, 1, T0);
		const struct store_task *t;

		e.has_next = true;
		later.waits = STORE_WAITS_TASK;
		later.waits_for = first;
		s.left = 2;
		assert_int_equal(store_apply(s.others[0].store, &e, 1, on_applied, &s), 0);
		assert_int_equal(store_later_insert(s.others[1].store, &later, 1, on_done, &s), 0);
		await_calls(&s);
		assert_int_equal(get_task(f, &next, 0, &t), 0);
		if (round % 2)
			assert_int_equal(t->due_at_ms, T0);
		else
			assert_int_equal(t->state, TASK_CANCELED);
	}
	several_close(&s);
}

static void on_claimed(int rc, const struct store_due *due, size_t len, int64_t next_due_ms, void *arg)
{
	struct several *s = arg;

	assert_int_equal(rc, 0);
	for (size_t i = 0; i < len; i++)
		s->rows[s->claimed++] = due[i].row;
	end_call(s);
}

static int compare_rows(const void *a, const void *b)
{
	return memcmp(a, b, ID_LEN);
}

static void each_row_is_claimed_by_one_of_several(void **state)
{
	enum { ROWS = 300 };
	struct fixture *f = *state;
	struct store_later later[ROWS];
	struct id ids[ROWS];
	struct several s;

	several_open(&s, f);
	for (size_t i = 0; i < ROWS; i++) {
		ids[i] = new_id(f, T0);
		later[i] = later_of(&ids[i], T0, T0);
	}
	assert_int_equal(insert_later(f, later, ROWS), 0);
	while (s.claimed < ROWS) {
		unsigned before = s.claimed;

		for (size_t k = 0; k < SEVERAL; k++, s.left++)
			assert_int_equal(store_due_claim(s.others[k].store, k + 1, "task", T0 + 1, 60000, 40,
						 on_claimed, &s),
				0);
		await_calls(&s);
		assert_true(s.claimed > before && s.claimed <= ROWS);
	}
	qsort(s.rows, ROWS, sizeof *s.rows, compare_rows);
	for (size_t i = 1; i < ROWS; i++)
		assert_false(id_is_equal(&s.rows[i - 1], &s.rows[i]));
	several_close(&s);
}

static void on_key(int rc, enum store_claim_state claim, const struct id *id, struct slice answer, void *arg)
{
	struct several *s = arg;

	assert_int_equal(rc, 0);
	assert_true(claim == STORE_CLAIM_NEW || claim == STORE_CLAIM_IN_FLIGHT);
	s->first += claim == STORE_CLAIM_NEW;
	end_call(s);
}

static void of_several_who_claim_a_key_one_is_the_first(void **state)
{
	struct fixture *f = *state;
	struct several s;

	several_open(&s, f);
	for (unsigned round = 0; round < 50; round++) {
		char key[16];

		snprintf(key, sizeof key, "key %u", round);
		s.first = 0;
		for (size_t k = 0; k < SEVERAL; k++, s.left++) {
			const struct store_claim c = {.tenant = TENANT,
				.key = slice_text(key),
				.id = new_id(f, T0),
				.now_ms = T0,
				.lease_ms = 1000,
				.keep_ms = DAY_MS};

			assert_int_equal(store_claim(s.others[k].store, &c, on_key, &s), 0);
		}
		await_calls(&s);
		assert_int_equal(s.first, 1);
	}
	several_close(&s);
}

/* Everything that another process holds up: a call waits for it, and then goes on. */
static void a_process_stopped_while_it_writes_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 3; i++) {
		const struct store_task *t;

		assert_int_equal(get_task(f, &id, 0, &t), 0);
	}
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(apply_one(f, &e, NULL), 0);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(apply_one(f, &e, NULL), -EIO);
	assert_true(store_is_up(f->store));
	sqlite3_close(db);
	assert_int_equal(apply_one(f, &e, NULL), 0);
}

static off_t log_size(const struct fixture *f)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof path, "%s-wal", f->url + strlen("sqlite:"));
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Two saturating writers and a reader: the log is written back and starts anew all the same. */
static void the_log_does_not_grow_without_end(void **state)
{
	struct fixture *f = *state;
	struct id shared = new_id(f, T0), *ids = calloc(IDS_MAX, sizeof *ids);
	struct child a = start_child(f->url, 0, NULL), b = start_child(f->url, 0, NULL);
	size_t len = 0;

	for (int i = 0; i < 150; i++) {
		const struct store_task *t;

		assert_int_equal(get_task(f, &shared, 0, &t), 0);
		len += read_promises(&a, ids + len, IDS_MAX - len, GROUP * 2);
		len += read_promises(&b, ids + len, IDS_MAX - len, GROUP * 2);
	}
	assert_true(ask(f, "SELECT count(*) FROM tasks") >= (int64_t)len);
	kill(a.pid, SIGKILL);
	kill(b.pid, SIGKILL);
	expect_exit(&a, SIGKILL);
	expect_exit(&b, SIGKILL);
	assert_true(log_size(f) < 128 << 20);
	free(ids);
}

static void write_large(struct fixture *f, const uint8_t *bytes, size_t len)
{
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);

	e.result = slice_of(bytes, len);
	assert_int_equal(apply_one(f, &e, NULL), 0);
}

/* Somebody looks at the database by hand and forgets to go. */
static void a_reader_that_stays_stops_nobody_and_the_log_shrinks_when_it_goes(void **state)
{
	enum { LEN = 4 << 20 };
	struct fixture *f = *state;
	uint8_t *bytes = calloc(1, LEN);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 24; i++)
		write_large(f, bytes, LEN);
	assert_true(log_size(f) > 64 << 20);
	sqlite3_close(db);
	for (int i = 0; i < 3; i++)
		write_large(f, bytes, LEN);
	assert_true(log_size(f) < 32 << 20);
	free(bytes);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest shared[] = {
		TEST(processes_that_write_at_once_lose_nothing),
		TEST(processes_that_start_at_once_on_nothing_make_one_database),
		TEST(a_process_killed_at_any_moment_breaks_no_promise),
		TEST(a_batch_whose_items_end_in_several_processes_is_complete_once),
		TEST(a_step_inserted_while_the_one_before_it_ends_is_never_forgotten),
		TEST(each_row_is_claimed_by_one_of_several),
		TEST(of_several_who_claim_a_key_one_is_the_first),
	};
	const struct CMUnitTest tests[] = {
		TEST(a_process_stopped_while_it_writes_is_waited_for),
		TEST(the_log_does_not_grow_without_end),
		TEST(a_reader_that_stays_stops_nobody_and_the_log_shrinks_when_it_goes),
	};

	if (argc == 6)
		return run_child(argv);
	if (argc == 2) {
		is_postgres = strcmp(argv[1], "postgresql") == 0;
		return fixture_use(argv[1]) < 0 ? 2 : cmocka_run_group_tests(shared, NULL, NULL);
	}
	return cmocka_run_group_tests(shared, NULL, NULL) + cmocka_run_group_tests(tests, NULL, NULL);
}
