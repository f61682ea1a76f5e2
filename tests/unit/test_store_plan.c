/*
 * Every statement that the whole conformance suite makes SQLite run is explained: none reads a table from end to end,
 * none sorts.
 */
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/store_conformance.h"
#include "tests/unit/store_fixture.h"

enum { TEXTS_MAX = 512 };

static struct {
	pthread_mutex_t lock;
	char *texts[TEXTS_MAX];
	size_t len;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int on_statement(unsigned what, void *arg, void *statement, void *text)
{
	const char *sql = sqlite3_sql(statement);
	size_t i = 0;

	pthread_mutex_lock(&seen.lock);
	while (i < seen.len && strcmp(seen.texts[i], sql) != 0)
		i++;
	if (i == seen.len && i < TEXTS_MAX)
		seen.texts[seen.len++] = strdup(sql);
	pthread_mutex_unlock(&seen.lock);
	return 0;
}

/* SQLite calls this for every connection that is opened. */
static int watch(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
	return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

static bool begins_with_any(const char *sql, const char *const *beginnings, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strncmp(sql, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* What an upgrade does is done once. */
static bool is_planned(const char *sql)
{
	static const char *const verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE"};
	static const char *const upgrades[] = {
		"UPDATE due SET dead_tenant = (", "UPDATE endpoints SET old_secrets = old_until "};

	return begins_with_any(sql, verbs, sizeof verbs / sizeof *verbs) &&
	       !begins_with_any(sql, upgrades, sizeof upgrades / sizeof *upgrades);
}

/* The keys of ids are eight rows at most; the schema is read once at the start. */
static bool is_bad(const char *step)
{
	if (strstr(step, "TEMP B-TREE"))
		return true;
	return strncmp(step, "SCAN", 4) == 0 && !strstr(step, "id_keys") && !strstr(step, "sqlite_") &&
	       !strstr(step, "CONSTANT ROW") && !strstr(step, "SCAN meta");
}

static void explain(sqlite3 *db, const char *sql)
{
	char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
	sqlite3_stmt *statement;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(statement, 3);

		if (is_bad(step))
			fail_msg("%s\n%s", step, sql);
	}
	sqlite3_finalize(statement);
	sqlite3_free(text);
}

static void no_statement_reads_a_whole_table(void **state)
{
	struct fixture *f = *state;
	size_t planned = 0;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
	for (size_t i = 0; i < seen.len; i++) {
		if (!is_planned(seen.texts[i]))
			continue;
		planned++;
		explain(db, seen.texts[i]);
	}
	sqlite3_close(db);
	assert_true(planned > 60);
	assert_true(seen.len < TEXTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_statement_reads_a_whole_table, fixture_setup, fixture_teardown),
	};
	int failed;

	sqlite3_auto_extension((void (*)(void))watch);
	failed = conformance_run();
	sqlite3_reset_auto_extension();
	failed += cmocka_run_group_tests(tests, NULL, NULL);
	while (seen.len > 0)
		free(seen.texts[--seen.len]);
	return failed;
}
