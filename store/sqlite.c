/*
 * The SQLite backend: its connections and transactions.
 *
 * Any number of processes write to one file. A transaction that means to write says so when it begins: one that starts as
 * a reader and writes later is refused at once when somebody else wrote meanwhile, whatever the timeout. The busy handler
 * is our own, as SQLite's waits up to 100 ms between its tries.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/clock.h"

enum {
	BUSY_STEP_US = 300,
	BUSY_MAX_MS = 5000,
	LONG_HELD_US = 2000,
	BUSY_CHECKPOINT_MS = 50,
	CHECKPOINT_PAGES = 2000,       /* 8 MB: the log is written back, as far as readers allow */
	CHECKPOINT_STEP_PAGES = 500,   /* when they did not allow it, it is tried again so much later */
	CHECKPOINT_HARD_PAGES = 16000, /* 64 MB: readers are waited for a little, so that it starts anew */
	LOG_KEPT_BYTES = 16 << 20,     /* of the file, once it was written back */
	CACHE_KIB_WRITER = 4096,
	CACHE_KIB_READER = 2048,
	PROBE_BYTES = 65536,
};

/* ---- opening ---- */

/* Whole, as two services that were started in different folders mean different files by the same words. */
static void describe(const char *location, char *out, size_t len)
{
	char folder[PATH_MAX];

	if (*location != '/' && getcwd(folder, sizeof folder))
		snprintf(out, len, "%s/%s", folder, location);
	else
		snprintf(out, len, "%s", location);
}

static int check(const char *location, char *why, size_t why_len)
{
	if (*location && *location != ':')
		return 0;
	snprintf(why, why_len, "sqlite:PATH needs the path of a file");
	return -EINVAL;
}

static int make_folders(const char *path)
{
	char *copy = strdup(path);
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			rc = -errno;
		*slash = '/';
	}
	free(copy);
	return rc;
}

/* Made by us, so that nobody else may read it; SQLite gives its other files the same mode. */
static int make_file(const char *path, char why[BACKEND_WHY_LEN])
{
	int rc = make_folders(path);
	int fd = rc < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (rc == 0 && fd < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		snprintf(why, BACKEND_WHY_LEN,
			"%s: cannot be opened for writing: %s: make the file and its folder writable for this user",
			path, strerror(-rc));
	return rc < 0 ? -EIO : 0;
}

static int on_busy(void *arg, int count)
{
	struct sqlite *s = arg;
	int64_t now_ms = clock_mono_ms();

	if (count == 0)
		s->busy_since_ms = now_ms;
	if (now_ms - s->busy_since_ms > s->busy_max_ms)
		return 0;
	usleep(BUSY_STEP_US);
	return 1;
}

/*
 * Writes the log back once it is long enough. Somebody who reads for long keeps it from starting anew: then it grows, and
 * every further commit must not pay for another attempt in vain.
 */
static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite *s = arg;
	bool is_hard = pages >= CHECKPOINT_HARD_PAGES;

	if (pages < CHECKPOINT_PAGES)
		s->checkpoint_at_pages = CHECKPOINT_PAGES;
	if (pages < s->checkpoint_at_pages)
		return SQLITE_OK;
	s->checkpoint_at_pages = pages + CHECKPOINT_STEP_PAGES;
	s->busy_max_ms = BUSY_CHECKPOINT_MS;
	(void)sqlite3_wal_checkpoint_v2(
		db, name, is_hard ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	s->busy_max_ms = BUSY_MAX_MS;
	return SQLITE_OK;
}

static int execute(struct sqlite *s, const char *text)
{
	return sqlite_error(s, sqlite3_exec(s->db, text, NULL, NULL, NULL));
}

/* The switch to WAL takes the whole file and does not always ask the busy handler when two processes want it at once. */
static int use_wal(struct sqlite *s)
{
	int64_t since_ms = clock_mono_ms();
	int rc;

	do {
		rc = execute(s, "PRAGMA journal_mode = WAL");
		if (rc == -EBUSY)
			usleep(BUSY_STEP_US);
	} while (rc == -EBUSY && clock_mono_ms() - since_ms < BUSY_MAX_MS);
	return rc;
}

static int configure(struct sqlite *s)
{
	char text[256];
	int rc = 0;

	s->busy_max_ms = BUSY_MAX_MS;
	sqlite3_busy_handler(s->db, on_busy, s);
	sqlite3_extended_result_codes(s->db, 1);
	snprintf(text, sizeof text,
		"PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -%d;"
		"PRAGMA journal_size_limit = %d; PRAGMA trusted_schema = OFF; PRAGMA query_only = %d",
		s->sql.is_writer ? CACHE_KIB_WRITER : CACHE_KIB_READER, LOG_KEPT_BYTES, !s->sql.is_writer);
	if (s->sql.is_writer) {
		sqlite3_wal_hook(s->db, on_commit, s);
		rc = use_wal(s);
	}
	return rc < 0 ? rc : execute(s, text);
}

/* A disk that is full or a file that is read-only shows only when something is written. */
static int prove_writable(struct sqlite *s)
{
	struct query q;
	int rc;

	query_init(&q, &s->sql, "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(?))");
	query_int(&q, PROBE_BYTES);
	rc = query_run(&q);
	if (rc < 0)
		return rc;
	query_init(&q, &s->sql, "DELETE FROM meta WHERE key = 'probe'");
	return query_run(&q);
}

static int prepare_database(struct sqlite *s)
{
	int rc;

	if (!s->sql.is_writer)
		return sqlite_check_version(s);
	rc = execute(s, "BEGIN IMMEDIATE");
	if (rc == 0)
		rc = sqlite_migrate(s);
	if (rc == 0)
		rc = sql_keys_start(&s->sql);
	if (rc == 0)
		rc = prove_writable(s);
	if (rc == 0)
		rc = execute(s, "COMMIT");
	return rc;
}

static int prepare_transactions(struct sqlite *s)
{
	const char *begin = s->sql.is_writer ? "BEGIN IMMEDIATE" : "BEGIN";
	int code = sqlite3_prepare_v3(s->db, begin, -1, SQLITE_PREPARE_PERSISTENT, &s->begin, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v3(s->db, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &s->commit, NULL);
	return sqlite_error(s, code);
}

/* Else every allocation of every connection passes one lock, to be counted for nobody. */
static void uncount_memory(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_database(struct sqlite *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
	int code, rc;

	pthread_once(&once, uncount_memory);
	code = sqlite3_open_v2(s->path, &s->db, flags, NULL);
	if (code != SQLITE_OK) {
		sqlite_explain(s->sql.base.why, s->path, code & 0xff, code,
			s->db ? sqlite3_errmsg(s->db) : "out of memory");
		return -EIO;
	}
	rc = configure(s);
	if (rc == 0)
		rc = prepare_database(s);
	return rc < 0 ? rc : prepare_transactions(s);
}

static void close_sqlite(struct backend *b)
{
	struct sqlite *s = sqlite_of(b);

	for (size_t i = 0; i < SQLITE_STATEMENTS_MAX; i++)
		sqlite3_finalize(s->statements[i].statement);
	sqlite3_finalize(s->begin);
	sqlite3_finalize(s->commit);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/* What PRAGMA data_version counts starts anew with each connection. */
static uint64_t next_version_base(void)
{
	return (uint64_t)random_u32() << 32;
}

static int open_sqlite(const struct backend_options *opt, struct backend **out, char why[BACKEND_WHY_LEN])
{
	struct sqlite *s;
	int rc = opt->is_writer ? make_file(opt->location, why) : 0;

	if (rc < 0)
		return rc;
	s = calloc(1, sizeof *s);
	if (!s || !(s->path = strdup(opt->location))) {
		free(s);
		snprintf(why, BACKEND_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	s->sql.base.type = &backend_sqlite;
	s->sql.driver = &sqlite_driver;
	s->sql.lifetime = opt->lifetime;
	s->sql.is_writer = opt->is_writer;
	s->version_base = next_version_base();
	rc = open_database(s);
	if (rc < 0) {
		memcpy(why, s->sql.base.why, BACKEND_WHY_LEN);
		close_sqlite(&s->sql.base);
		return rc;
	}
	*out = &s->sql.base;
	return 0;
}

/* ---- transactions ---- */

static int run_kept(struct sqlite *s, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	int rc = sqlite_error(s, code);

	sqlite3_reset(statement);
	return rc;
}

/* What is written to a file that was deleted is written to nowhere, and succeeds. */
static int check_place(struct sqlite *s)
{
	int has_moved = 0;

	(void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
	if (!has_moved)
		return 0;
	snprintf(s->sql.base.why, sizeof s->sql.base.why,
		"%s: the file was deleted or replaced while it was in use: put it back, or restart the services",
		s->path);
	return -EIO;
}

/*
 * Whoever waits for the lock looks only every BUSY_STEP_US: one who takes it again at once, time after time, would keep
 * everybody else out.
 */
static void let_others_in(const struct sqlite *s)
{
	if (s->held_us > LONG_HELD_US && clock_mono_us() - s->released_us < BUSY_STEP_US)
		usleep(BUSY_STEP_US);
}

static int begin(struct backend *b)
{
	struct sqlite *s = sqlite_of(b);
	int rc = check_place(s);

	if (rc < 0)
		return rc;
	if (s->sql.is_writer)
		let_others_in(s);
	rc = run_kept(s, s->begin);
	s->taken_us = clock_mono_us();
	return rc;
}

static int commit(struct backend *b)
{
	struct sqlite *s = sqlite_of(b);
	int rc = run_kept(s, s->commit);

	s->released_us = clock_mono_us();
	s->held_us = s->released_us - s->taken_us;
	return rc;
}

/* Some failures have rolled back already. */
static void rollback(struct backend *b)
{
	struct sqlite *s = sqlite_of(b);

	for (size_t i = 0; i < SQLITE_STATEMENTS_MAX; i++)
		if (s->statements[i].statement)
			sqlite3_reset(s->statements[i].statement);
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static int version(struct backend *b, uint64_t *out)
{
	struct sqlite *s = sqlite_of(b);
	struct query q;
	int rc;

	query_init(&q, &s->sql, "PRAGMA data_version");
	rc = query_next(&q);
	if (rc == 1)
		*out = s->version_base + (uint64_t)row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

const struct backend_type backend_sqlite = {
	.scheme = "sqlite",
	.check = check,
	.describe = describe,
	.open = open_sqlite,
	.close = close_sqlite,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.version = version,
	SQL_MARKS,
	SQL_OPERATIONS,
};
