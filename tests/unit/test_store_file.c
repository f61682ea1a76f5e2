/*
 * The SQLite file: what it is made as, what else may lie in its place, how it is upgraded.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/sqlite.h"
#include "tests/unit/store_fixture.h"

static const char *path_of(const struct fixture *f)
{
	return f->url + strlen("sqlite:");
}

static void run_sql(const struct fixture *f, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path_of(f), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* The number that a query gives. */
static int64_t ask(const struct fixture *f, const char *text)
{
	sqlite3_stmt *statement;
	int64_t answer;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path_of(f), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	answer = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
}

static void remove_database(const struct fixture *f)
{
	static const char *const endings[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < 3; i++) {
		char path[160];

		snprintf(path, sizeof path, "%s%s", path_of(f), endings[i]);
		remove(path);
	}
}

static void put_file(const struct fixture *f, const void *bytes, size_t len)
{
	int fd = open(path_of(f), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/* Starts on what is there now and gives the reason why it does not come up. */
static const char *start_in_vain(struct fixture *f)
{
	fixture_start_store(f);
	fixture_await_up(f, false);
	assert_false(store_is_up(f->store));
	assert_non_null(strstr(f->why, path_of(f)));
	return f->why;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void missing_folders_are_made_and_nobody_else_may_read(void **state)
{
	struct fixture *f = *state;
	char path[200], url[128];
	mode_t mask = umask(0);

	fixture_stop_store(f);
	memcpy(url, f->url, sizeof url);
	snprintf(f->url, sizeof f->url, "sqlite:%s/a/b/t.db", f->folder);
	fixture_start_store(f);
	fixture_await_up(f, true);
	fixture_expect_works(f);
	assert_int_equal(mode_of(path_of(f)), 0600);
	snprintf(path, sizeof path, "%s-wal", path_of(f));
	assert_int_equal(mode_of(path), 0600);
	snprintf(path, sizeof path, "%s/a", f->folder);
	assert_int_equal(mode_of(path), 0700);
	snprintf(path, sizeof path, "%s/a/b", f->folder);
	assert_int_equal(mode_of(path), 0700);
	fixture_stop_store(f);
	remove_database(f);
	rmdir(path);
	snprintf(path, sizeof path, "%s/a", f->folder);
	rmdir(path);
	memcpy(f->url, url, sizeof url);
	umask(mask);
}

static void a_folder_that_cannot_be_made_is_told_and_waited_for(void **state)
{
	struct fixture *f = *state;
	char url[128], file[200];

	fixture_stop_store(f);
	remove_database(f);
	memcpy(url, f->url, sizeof url);
	snprintf(file, sizeof file, "%s/t.db", f->folder);
	put_file(f, "", 0);
	snprintf(f->url, sizeof f->url, "sqlite:%s/t.db/sub", f->folder);
	assert_non_null(strstr(start_in_vain(f), "writable for this user"));
	remove(file);
	fixture_await_up(f, true);
	fixture_expect_works(f);
	fixture_stop_store(f);
	remove_database(f);
	rmdir(file);
	memcpy(f->url, url, sizeof url);
}

static void a_file_that_is_no_database_is_told_and_left_as_it_is(void **state)
{
	static const char text[] = "This is my diary. It is long enough to be a header of one hundred bytes, "
				   "which SQLite reads before it says anything at all about it.";
	struct fixture *f = *state;
	char now[sizeof text];
	int fd;

	fixture_stop_store(f);
	remove_database(f);
	put_file(f, text, sizeof text);
	assert_non_null(strstr(start_in_vain(f), "not a database"));
	assert_non_null(strstr(f->why, "name another one as store.url"));
	fd = open(path_of(f), O_RDONLY);
	assert_int_equal(read(fd, now, sizeof now), sizeof now);
	assert_memory_equal(now, text, sizeof text);
	close(fd);
	remove_database(f);
	fixture_await_up(f, true);
	fixture_expect_works(f);
}

static void the_database_of_another_program_is_left_as_it_is(void **state)
{
	struct fixture *f = *state;

	fixture_stop_store(f);
	remove_database(f);
	run_sql(f, "CREATE TABLE photos (x); INSERT INTO photos VALUES (1)");
	assert_non_null(strstr(start_in_vain(f), "another program"));
	fixture_stop_store(f);
	assert_int_equal(ask(f, "SELECT count(*) FROM sqlite_schema"), 1);
	assert_int_equal(ask(f, "SELECT count(*) FROM photos"), 1);
}

static void a_newer_schema_is_refused_in_so_many_words(void **state)
{
	struct fixture *f = *state;
	int64_t version;
	char text[80];

	fixture_stop_store(f);
	version = ask(f, "SELECT value FROM meta WHERE key = 'schema'");
	run_sql(f, "UPDATE meta SET value = 1000 WHERE key = 'schema'");
	assert_non_null(strstr(start_in_vain(f), "version 1000"));
	assert_non_null(strstr(f->why, "newer Postback"));
	snprintf(text, sizeof text, "UPDATE meta SET value = %d WHERE key = 'schema'", (int)version);
	run_sql(f, text);
	fixture_await_up(f, true);
	fixture_expect_works(f);
}

static void a_file_deleted_in_use_is_noticed(void **state)
{
	struct fixture *f = *state;
	const struct store_task *t;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	unsigned told;

	fixture_expect_works(f);
	remove_database(f);
	assert_int_equal(apply_one(f, &e, NULL), -EIO);
	fixture_await_up(f, false);
	assert_non_null(strstr(f->why, "deleted or replaced"));
	fixture_await_up(f, true);
	assert_int_equal(apply_one(f, &e, NULL), 0);
	/* What the reader has open is the old file still: it must not answer from there. */
	told = f->told;
	assert_int_equal(get_task(f, &id, 0, &t), -EIO);
	while (f->told == told)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	fixture_await_up(f, true);
	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_int_equal(t->presence, STORE_PRESENT);
}

static void a_broken_page_fails_the_call_and_is_told(void **state)
{
	struct fixture *f = *state;
	struct id id = {0};
	struct store_sweep swept;
	static const uint8_t garbage[4096 * 20];
	int fd;

	for (int i = 0; i < 400; i++) {
		struct store_event e;

		id = new_id(f, T0);
		e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
		e.result = slice_text("some result");
		assert_int_equal(apply_one(f, &e, NULL), 0);
	}
	fixture_stop_store(f);
	fd = open(path_of(f), O_WRONLY);
	assert_int_equal(pwrite(fd, garbage, sizeof garbage, 4096l * 40), sizeof garbage);
	close(fd);
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(sweep_store(f, T0 + 2 * DAY_MS, 400, &swept), -EIO);
	fixture_await_up(f, false);
	assert_non_null(strstr(f->why, "malformed"));
	assert_non_null(strstr(f->why, ".recover"));
}

/* ---- upgrades ---- */

static void open_bare(struct fixture *f, struct sqlite *s)
{
	*s = (struct sqlite){.path = (char *)path_of(f)};
	assert_int_equal(sqlite3_open(path_of(f), &s->db), SQLITE_OK);
}

static int migrate(struct sqlite *s, const char *const *list, size_t len)
{
	int rc;

	assert_int_equal(sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	rc = sqlite_migrate_by(s, list, len);
	sqlite3_exec(s->db, rc < 0 ? "ROLLBACK" : "COMMIT", NULL, NULL, NULL);
	return rc;
}

static const char *const steps[] = {
	"CREATE TABLE a (x); INSERT INTO a VALUES (1)",
	"ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1",
	"CREATE TABLE b AS SELECT y + 1 AS z FROM a",
};

static void every_older_version_is_brought_to_the_newest(void **state)
{
	struct fixture *f = *state;

	fixture_stop_store(f);
	for (size_t from = 0; from <= 3; from++) {
		struct sqlite s;

		remove_database(f);
		open_bare(f, &s);
		assert_int_equal(migrate(&s, steps, from), 0);
		assert_int_equal(migrate(&s, steps, 3), 0);
		assert_int_equal(migrate(&s, steps, 3), 0);
		sqlite3_close(s.db);
		assert_int_equal(ask(f, "SELECT z FROM b"), 3);
		assert_int_equal(ask(f, "SELECT count(*) FROM a"), 1);
		assert_int_equal(ask(f, "SELECT value FROM meta WHERE key = 'schema'"), 3);
	}
}

/* What had died before there was a record of when is found by its last attempt. */
static void the_first_version_is_upgraded_with_its_dead_deliveries(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	struct store_due_result r = {.how = STORE_DUE_DEAD, .at_ms = T0 + 7};
	const struct store_due *due;
	size_t len;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://x\"}}]");
	assert_int_equal(apply_one(f, &e, NULL), 0);
	assert_int_equal(claim_due(f, 1, "webhook", T0, 1000, 1, &due, &len, NULL), 0);
	r.row = due->row;
	assert_int_equal(end_due(f, 1, &r, 1), 0);
	fixture_stop_store(f);
	run_sql(f,
		"DROP INDEX due_dead; DROP INDEX due_to_endpoint; DROP TABLE endpoints; ALTER TABLE due DROP COLUMN endpoint;"
		"ALTER TABLE due DROP COLUMN made; ALTER TABLE due DROP COLUMN dead_tenant;"
		"ALTER TABLE due DROP COLUMN dead_at; UPDATE meta SET value = 1 WHERE key = 'schema'");
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(ask(f, "SELECT dead_at - 1700000000000 FROM due WHERE dead_tenant = 'acme'"), 7);
	fixture_expect_works(f);
}

/* It had one old secret at most, with its moment in a column beside it. */
static void the_second_version_is_upgraded_with_its_old_secrets(void **state)
{
	struct fixture *f = *state;

	fixture_stop_store(f);
	run_sql(f,
		"ALTER TABLE endpoints DROP COLUMN old_secrets; ALTER TABLE endpoints ADD COLUMN old_secret TEXT;"
		"ALTER TABLE endpoints ADD COLUMN old_until INTEGER NOT NULL DEFAULT 0;"
		"INSERT INTO endpoints (id, tenant, url, tasks, outcomes, secret, old_secret, old_until, created_at, updated_at,"
		" is_enabled, disabled_at, failing_since) VALUES"
		" (x'01', 'acme', 'http://a/', '', 0, 'new', 'whsec_old', 1700000000000, 0, 0, 1, 0, 0),"
		" (x'02', 'acme', 'http://b/', '', 0, 'new', NULL, 0, 0, 0, 1, 0, 0);"
		"UPDATE meta SET value = 2 WHERE key = 'schema'");
	fixture_start_store(f);
	fixture_await_up(f, true);
	assert_int_equal(
		ask(f, "SELECT count(*) FROM endpoints WHERE old_secrets = '1700000000000 whsec_old'"), 1);
	assert_int_equal(ask(f, "SELECT count(*) FROM endpoints WHERE old_secrets IS NULL"), 1);
	fixture_expect_works(f);
}

static void an_upgrade_that_fails_leaves_the_old_version(void **state)
{
	static const char *const broken[] = {
		"CREATE TABLE a (x)", "CREATE TABLE c (x)", "INSERT INTO nowhere VALUES (1)"};
	struct fixture *f = *state;
	struct sqlite s;

	fixture_stop_store(f);
	remove_database(f);
	open_bare(f, &s);
	assert_int_equal(migrate(&s, broken, 1), 0);
	assert_true(migrate(&s, broken, 3) < 0);
	assert_non_null(strstr(s.sql.base.why, "nowhere"));
	sqlite3_close(s.db);
	assert_int_equal(ask(f, "SELECT value FROM meta WHERE key = 'schema'"), 1);
	assert_int_equal(ask(f, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
}

/* ---- what lies in the tables ---- */

static void every_try_of_a_delivery_is_written_down(void **state)
{
	struct fixture *f = *state;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	struct store_due_result r = {.how = STORE_DUE_AGAIN,
		.at_ms = T0 + 1,
		.again_at_ms = T0 + 10,
		.took_ms = 77,
		.status = 503,
		.error = slice_text("busy"),
		.response = slice_text("<html>")};
	const struct store_due *due;
	size_t len;

	e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
	assert_int_equal(apply_one(f, &e, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(claim_due(f, 1, "webhook", T0 + 10, 1000, 1, &due, &len, NULL), 0);
		assert_int_equal(len, 1);
		r.row = due->row;
		if (i == 2)
			r.how = STORE_DUE_DEAD;
		assert_int_equal(end_due(f, 1, &r, 1), 0);
	}
	assert_int_equal(ask(f, "SELECT count(*) FROM attempts WHERE status = 503 AND took_ms = 77"), 3);
	assert_int_equal(ask(f, "SELECT max(number) FROM attempts"), 3);
	assert_int_equal(ask(f, "SELECT state FROM due"), 2);
	assert_true(id_time_ms(&due->row) == (uint64_t)T0);
}

static void nothing_is_left_of_what_was_forgotten(void **state)
{
	struct fixture *f = *state;
	struct store_sweep swept;
	struct id batch = id_mint(&f->minter, ID_BATCH, TENANT, (uint64_t)T0), ids[9];

	assert_int_equal(insert_batch(f, &batch, T0), 0);
	for (int i = 0; i < 9; i++) {
		struct store_later later;
		struct store_event e;

		ids[i] = new_id(f, T0);
		e = event_of(STORE_EVENT_STARTED + i % 7, &ids[i], 1, T0);
		e.result = e.request = slice_text("bytes");
		e.batch = batch;
		e.deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
		assert_int_equal(apply_one(f, &e, NULL), 0);
		later = later_of(&ids[i], T0, 0);
		later.id = new_id(f, T0);
		later.waits = STORE_WAITS_TASK;
		later.waits_for = ids[i];
		assert_int_equal(insert_later(f, &later, 1), 0);
	}
	assert_int_equal(seal_batch(f, &batch, ids, 9, T0), 0);
	for (int64_t day = 1; day < 60; day++) {
		do {
			assert_int_equal(sweep_store(f, T0 + day * DAY_MS, 100, &swept), 0);
		} while (swept.has_more);
	}
	assert_int_equal(ask(f, "SELECT count(*) FROM tasks"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM tombstones"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM results"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM requests"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM due"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM attempts"), 0);
	assert_int_equal(ask(f, "SELECT count(*) FROM batches"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(missing_folders_are_made_and_nobody_else_may_read),
		TEST(a_folder_that_cannot_be_made_is_told_and_waited_for),
		TEST(a_file_that_is_no_database_is_told_and_left_as_it_is),
		TEST(the_database_of_another_program_is_left_as_it_is),
		TEST(a_newer_schema_is_refused_in_so_many_words),
		TEST(a_file_deleted_in_use_is_noticed),
		TEST(a_broken_page_fails_the_call_and_is_told),
		TEST(every_older_version_is_brought_to_the_newest),
		TEST(the_first_version_is_upgraded_with_its_dead_deliveries),
		TEST(the_second_version_is_upgraded_with_its_old_secrets),
		TEST(an_upgrade_that_fails_leaves_the_old_version),
		TEST(every_try_of_a_delivery_is_written_down),
		TEST(nothing_is_left_of_what_was_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
