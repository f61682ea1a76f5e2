/*
 * The tables, as the list of what made them: each entry brings the database one version further and is never changed
 * once released.
 *
 * Rows are keyed by time-ordered ids and WITHOUT ROWID, so that inserting appends. `tasks` has what is known of each
 * task, small; results and requests stand apart because they can be large. Finished tasks whose content was dropped are
 * in `tombstones` only.
 *
 * tasks.sweep_at is when the sweep looks at the row: unfinished ones are dead then, waiting ones are checked, finished
 * ones lose their content, but never while deliveries are pending. Every list that can be asked for has an index, to whose
 * columns the id adds itself.
 *
 * due.ready_at is when somebody may take the row: when it is due, or when the lease of who has it ends; NULL: it has ended.
 * due.ordinal makes a row unique: the attempt of channel "task", the place in the list for deliveries. due.made counts
 * the attempts before a delivery was sent again by hand, due.tries those since.
 */
#include <errno.h>
#include <stdio.h>

#include "store/sqlite.h"

static const char version_1[] =
	"CREATE TABLE id_keys ("
	" seq INTEGER PRIMARY KEY,"
	" key BLOB NOT NULL UNIQUE,"
	" added_at INTEGER NOT NULL"
	") STRICT;"

	"CREATE TABLE tasks ("
	" id BLOB NOT NULL PRIMARY KEY,"
	" tenant TEXT NOT NULL,"
	" task TEXT NOT NULL,"
	" state INTEGER NOT NULL,"
	" attempt INTEGER NOT NULL,"
	" rank INTEGER NOT NULL,"
	" seq INTEGER NOT NULL,"
	" rev INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" due_at INTEGER NOT NULL,"
	" started_at INTEGER NOT NULL,"
	" finished_at INTEGER NOT NULL,"
	" sweep_at INTEGER NOT NULL,"
	" pending INTEGER NOT NULL DEFAULT 0,"
	" delivered INTEGER NOT NULL DEFAULT 0,"
	" undelivered INTEGER NOT NULL DEFAULT 0,"
	" progress TEXT,"
	" metadata TEXT,"
	" worker TEXT,"
	" error_type TEXT,"
	" error_message TEXT,"
	" error_retryable INTEGER,"
	" error_status INTEGER,"
	" error_data TEXT,"
	" content_type TEXT,"
	" result_len INTEGER,"
	" result_is_json INTEGER,"
	" waits INTEGER NOT NULL DEFAULT 0,"
	" is_waiting INTEGER NOT NULL DEFAULT 0,"
	" waits_for BLOB,"
	" wants_previous INTEGER NOT NULL DEFAULT 0,"
	" batch BLOB,"
	" retry_of BLOB,"
	" deliver TEXT"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX tasks_by_tenant ON tasks (tenant);"
	"CREATE INDEX tasks_by_task ON tasks (tenant, task);"
	"CREATE INDEX tasks_by_state ON tasks (tenant, state);"
	"CREATE INDEX tasks_by_task_and_state ON tasks (tenant, task, state);"
	"CREATE INDEX tasks_unfinished ON tasks (tenant, task, state) WHERE state < 3;"
	"CREATE INDEX tasks_waiting ON tasks (waits_for) WHERE is_waiting = 1;"
	"CREATE INDEX tasks_wanting ON tasks (waits_for) WHERE wants_previous = 1;"
	"CREATE INDEX tasks_to_sweep ON tasks (sweep_at) WHERE pending = 0;"

	"CREATE TABLE tombstones ("
	" id BLOB NOT NULL PRIMARY KEY,"
	" tenant TEXT NOT NULL,"
	" state INTEGER NOT NULL,"
	" forget_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX tombstones_to_sweep ON tombstones (forget_at);"

	"CREATE TABLE results (id BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE requests (id BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;"

	"CREATE TABLE due ("
	" row BLOB NOT NULL PRIMARY KEY,"
	" task_id BLOB NOT NULL,"
	" channel TEXT NOT NULL,"
	" ordinal INTEGER NOT NULL,"
	" target TEXT,"
	" state INTEGER NOT NULL DEFAULT 0,"
	" tries INTEGER NOT NULL DEFAULT 0,"
	" due_at INTEGER NOT NULL,"
	" ready_at INTEGER,"
	" owner INTEGER,"
	" UNIQUE (task_id, channel, ordinal)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX due_ready ON due (channel, ready_at) WHERE ready_at IS NOT NULL;"
	"CREATE TABLE attempts ("
	" row BLOB NOT NULL,"
	" number INTEGER NOT NULL,"
	" at INTEGER NOT NULL,"
	" took_ms INTEGER NOT NULL,"
	" status INTEGER NOT NULL,"
	" error TEXT,"
	" response BLOB,"
	" PRIMARY KEY (row, number)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE batches ("
	" id BLOB NOT NULL PRIMARY KEY,"
	" tenant TEXT NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" total INTEGER NOT NULL DEFAULT 0,"
	" done INTEGER NOT NULL DEFAULT 0,"
	" sealed INTEGER NOT NULL DEFAULT 0,"
	" document TEXT,"
	" ids BLOB,"
	" sweep_at INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX batches_to_sweep ON batches (sweep_at);"

	"CREATE TABLE claims ("
	" tenant TEXT NOT NULL,"
	" key TEXT NOT NULL,"
	" hash BLOB NOT NULL,"
	" id BLOB NOT NULL,"
	" state INTEGER NOT NULL,"
	" was_unknown INTEGER NOT NULL DEFAULT 0,"
	" lease_until INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL,"
	" answer BLOB,"
	" PRIMARY KEY (tenant, key)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX claims_to_sweep ON claims (expires_at);"

	"CREATE TABLE dead_letters ("
	" seq INTEGER PRIMARY KEY,"
	" at INTEGER NOT NULL,"
	" queue TEXT NOT NULL,"
	" reason TEXT NOT NULL,"
	" body BLOB NOT NULL"
	") STRICT;"
	"CREATE INDEX dead_letters_to_sweep ON dead_letters (at);";

/* due.dead_tenant and dead_at are set while a delivery is dead, so that only those are in the index. */
static const char version_2[] =
	"CREATE TABLE endpoints ("
	" id BLOB NOT NULL PRIMARY KEY,"
	" tenant TEXT NOT NULL,"
	" url TEXT NOT NULL,"
	" description TEXT,"
	" tasks TEXT NOT NULL,"
	" outcomes INTEGER NOT NULL,"
	" secret TEXT NOT NULL,"
	" old_secret TEXT,"
	" old_until INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL,"
	" updated_at INTEGER NOT NULL,"
	" is_enabled INTEGER NOT NULL,"
	" disabled_at INTEGER NOT NULL,"
	" disabled_reason TEXT,"
	" failing_since INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX endpoints_by_tenant ON endpoints (tenant);"
	"ALTER TABLE due ADD COLUMN endpoint BLOB;"
	"ALTER TABLE due ADD COLUMN made INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE due ADD COLUMN dead_tenant TEXT;"
	"ALTER TABLE due ADD COLUMN dead_at INTEGER;"
	"UPDATE due SET dead_tenant = (SELECT tenant FROM tasks WHERE id = due.task_id),"
	" dead_at = coalesce((SELECT max(at) FROM attempts WHERE row = due.row), due_at) WHERE state = 2;"
	"CREATE INDEX due_to_endpoint ON due (endpoint) WHERE endpoint IS NOT NULL AND ready_at IS NOT NULL;"
	"CREATE INDEX due_dead ON due (dead_tenant, dead_at, channel, endpoint) WHERE dead_at IS NOT NULL;";

/* endpoints.old_secrets: store/endpoint.h. */
static const char version_3[] =
	"ALTER TABLE endpoints ADD COLUMN old_secrets TEXT;"
	"UPDATE endpoints SET old_secrets = old_until || ' ' || old_secret WHERE old_secret IS NOT NULL;"
	"ALTER TABLE endpoints DROP COLUMN old_secret;"
	"ALTER TABLE endpoints DROP COLUMN old_until;";

static const char *const migrations[] = {version_1, version_2, version_3};

enum { VERSION = sizeof migrations / sizeof *migrations };

static int execute(struct sqlite *s, const char *text)
{
	return sqlite_error(s, sqlite3_exec(s->db, text, NULL, NULL, NULL));
}

/* Statements on tables that are only just being made cannot be kept: one by one, by hand. */
static int ask(struct sqlite *s, const char *text, int64_t *answer)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(s->db, text, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return sqlite_error(s, code);
	*answer = 0;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*answer = sqlite3_column_int64(statement, 0);
	code = sqlite3_finalize(statement);
	return sqlite_error(s, code);
}

/* An empty database is version 0; one that has tables, but none of ours, is none of our business. */
static int read_version(struct sqlite *s, int64_t *version)
{
	int64_t has_meta = 0, has_any = 0;
	int rc = ask(s, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", &has_meta);

	if (rc == 0)
		rc = ask(s, "SELECT count(*) FROM sqlite_schema", &has_any);
	if (rc < 0)
		return rc;
	*version = 0;
	if (has_meta)
		return ask(s, "SELECT value FROM meta WHERE key = 'schema'", version);
	if (!has_any)
		return 0;
	snprintf(s->sql.base.why, sizeof s->sql.base.why,
		"%s: this is the database of another program: name another file as store.url", s->path);
	return -EIO;
}

static int refuse_newer(struct sqlite *s, int64_t version, size_t known)
{
	snprintf(s->sql.base.why, sizeof s->sql.base.why,
		"%s: its schema is version %lld and this program knows %zu: run a newer Postback, or name another file as store.url",
		s->path, (long long)version, known);
	return -EIO;
}

static int write_version(struct sqlite *s, size_t version)
{
	char text[128];

	snprintf(text, sizeof text, "INSERT OR REPLACE INTO meta (key, value) VALUES ('schema', %zu)",
		version);
	return execute(s, text);
}

int sqlite_migrate_by(struct sqlite *s, const char *const *list, size_t len)
{
	int64_t version;
	int rc = read_version(s, &version);

	if (rc < 0)
		return rc;
	if (version < 0 || (size_t)version > len)
		return refuse_newer(s, version, len);
	if (version == 0)
		rc = execute(s,
			"CREATE TABLE IF NOT EXISTS meta (key TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID");
	for (size_t i = (size_t)version; i < len && rc == 0; i++) {
		rc = execute(s, list[i]);
		if (rc == 0)
			rc = write_version(s, i + 1);
	}
	return rc;
}

int sqlite_migrate(struct sqlite *s)
{
	return sqlite_migrate_by(s, migrations, VERSION);
}

int sqlite_check_version(struct sqlite *s)
{
	int64_t version;
	int rc = read_version(s, &version);

	if (rc < 0)
		return rc;
	return version == VERSION ? 0 : refuse_newer(s, version, VERSION);
}
