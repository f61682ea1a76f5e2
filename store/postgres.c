/*
 * The PostgreSQL backend: its connections and transactions.
 *
 * Any number of processes on any number of machines write at the same time. What keeps them apart is said in sql.h; a
 * transaction that lost a race (a deadlock, a row that somebody else made first) is run again by the worker.
 */
#include "store/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { VERSION_MIN = 120000 };

/* ---- the URL ---- */

/* `why`: NULL, or libpq's own words, to be freed by it. */
static PQconninfoOption *parse(const char *location, char **why)
{
	char url[2048];

	if ((size_t)snprintf(url, sizeof url, "postgresql:%s", location) >= sizeof url)
		return NULL;
	return PQconninfoParse(url, why);
}

static const char *option_of(const PQconninfoOption *options, const char *name)
{
	while (options->keyword && strcmp(options->keyword, name) != 0)
		options++;
	return options->val ? options->val : "";
}

/* What libpq has to say of a bad URL quotes parts of it, and only of a parameter's name it is sure to be no password. */
static void explain_bad_url(const char *said, char *why, size_t why_len)
{
	static const char parameter[] = "invalid URI query parameter: ";

	if (said && strncmp(said, parameter, strlen(parameter)) == 0)
		snprintf(why, why_len, "libpq knows no such parameter: %.*s",
			(int)strcspn(said + strlen(parameter), "\n"), said + strlen(parameter));
	else
		snprintf(why, why_len,
			"not a URL of PostgreSQL: postgresql://user:password@host:port/database?sslmode=require, "
			"other characters than letters and digits in user and password as %%XX");
}

/* libpq looks at it when it connects; a typo in what keeps passwords and results secret is told before. */
static bool is_sslmode(const char *mode)
{
	static const char *const modes[] = {
		"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(mode, modes[i]) == 0)
			return true;
	return false;
}

static bool has_database(const char *location, const PQconninfoOption *options)
{
	return strncmp(location, "//", 2) == 0 && *option_of(options, "dbname");
}

static int check(const char *location, char *why, size_t why_len)
{
	char *said = NULL;
	PQconninfoOption *options = parse(location, &said);
	int rc = -EINVAL;

	if (!options)
		explain_bad_url(said, why, why_len);
	else if (!has_database(location, options))
		snprintf(why, why_len, "names no database: postgresql://user:password@host:port/database");
	else if (!is_sslmode(option_of(options, "sslmode")))
		snprintf(why, why_len,
			"sslmode must be disable, allow, prefer, require, verify-ca or verify-full");
	else
		rc = 0;
	PQfreemem(said);
	PQconninfoFree(options);
	return rc;
}

static void describe(const char *location, char *out, size_t len)
{
	PQconninfoOption *options = parse(location, NULL);
	const char *host = options ? option_of(options, "host") : "";
	const char *port = options ? option_of(options, "port") : "";

	if (options)
		snprintf(out, len, "postgresql://%s%s%s%s%s/%s", option_of(options, "user"),
			*option_of(options, "user") ? "@" : "", host, *port ? ":" : "", port,
			option_of(options, "dbname"));
	else
		snprintf(out, len, "postgresql");
	PQconninfoFree(options);
}

/* ---- opening ---- */

/* A dead server or a cut line is noticed in seconds. What the URL says comes after what it may override. */
static PGconn *connect_to(const struct backend_options *opt, const char *url)
{
	const char *const names[] = {"connect_timeout", "keepalives_idle", "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", "fallback_application_name", "dbname",
		"client_encoding", opt->password && *opt->password ? "password" : NULL, NULL};
	const char *const values[] = {"5", "10", "5", "3", "15000", program_invocation_short_name, url,
		"UTF8", opt->password, NULL};

	return PQconnectdbParams(names, values, 1);
}

/* A statement that would read a whole table is none of ours: plans made while the tables are empty must not stay so. */
static const char session[] =
	"SET search_path = postback; SET statement_timeout = '10s'; SET lock_timeout = '5s';"
	"SET idle_in_transaction_session_timeout = '20s'; SET default_transaction_isolation = 'read committed';"
	"SET standard_conforming_strings = on; SET client_min_messages = warning; SET enable_seqscan = off;"
	"SET jit = off; SET plan_cache_mode = force_generic_plan;"
	"SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

static int check_server(struct postgres *p)
{
	if (PQserverVersion(p->connection) >= VERSION_MIN)
		return 0;
	snprintf(p->sql.base.why, sizeof p->sql.base.why,
		"%s: the server is PostgreSQL %d: 12 or newer is needed", p->place,
		PQserverVersion(p->connection) / 10000);
	return -EIO;
}

static int check_writable(struct postgres *p)
{
	return postgres_execute(p,
		"INSERT INTO meta (key, value) VALUES ('probe', 1) ON CONFLICT (key) DO UPDATE SET value = 1 - meta.value");
}

static int use_pipeline(struct postgres *p)
{
	return PQenterPipelineMode(p->connection) ? 0 : postgres_fail_connection(p, NULL);
}

static int commit(struct backend *b);

static int prepare_writer(struct postgres *p)
{
	int rc = postgres_execute(p, "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0");

	if (rc == 0)
		rc = postgres_migrate(p);
	if (rc == 0)
		rc = postgres_check_rights(p);
	if (rc == 0)
		rc = check_writable(p);
	if (rc == 0)
		rc = use_pipeline(p);
	if (rc == 0)
		rc = sql_keys_start(&p->sql);
	return rc < 0 ? rc : commit(&p->sql.base);
}

static int prepare_reader(struct postgres *p)
{
	int rc = postgres_check_version(p);

	return rc < 0 ? rc : use_pipeline(p);
}

static int open_connection(struct postgres *p, const struct backend_options *opt)
{
	char *url;
	int rc;

	if (asprintf(&url, "postgresql:%s", opt->location) < 0)
		return -ENOMEM;
	p->connection = connect_to(opt, url);
	explicit_bzero(url, strlen(url));
	free(url);
	if (PQstatus(p->connection) != CONNECTION_OK)
		return postgres_fail_connection(p, NULL);
	if (PQsetnonblocking(p->connection, 1) < 0)
		return postgres_fail_connection(p, NULL);
	rc = check_server(p);
	if (rc == 0)
		rc = postgres_execute(p, session);
	if (rc == 0)
		rc = p->sql.is_writer ? prepare_writer(p) : prepare_reader(p);
	/* Whoever could not start is asked to go: it is tried again with a new connection. */
	return rc == -ERESTART || rc == -EBADMSG || rc == -EBUSY ? -EIO : rc;
}

static void close_postgres(struct backend *b)
{
	struct postgres *p = postgres_of(b);

	postgres_forget_statements(p);
	PQfinish(p->connection);
	free(p);
}

/* Warnings of the server are nobody's output. */
static void ignore_notice(void *arg, const PGresult *result)
{
}

static int open_postgres(const struct backend_options *opt, struct backend **out, char why[BACKEND_WHY_LEN])
{
	struct postgres *p = calloc(1, sizeof *p);
	int rc;

	if (!p) {
		snprintf(why, BACKEND_WHY_LEN, "out of memory");
		return -ENOMEM;
	}
	p->sql.base.type = &backend_postgres;
	p->sql.driver = &postgres_driver;
	p->sql.lifetime = opt->lifetime;
	p->sql.is_writer = opt->is_writer;
	describe(opt->location, p->place, sizeof p->place);
	rc = open_connection(p, opt);
	if (rc < 0) {
		memcpy(why, p->sql.base.why, BACKEND_WHY_LEN);
		close_postgres(&p->sql.base);
		return rc;
	}
	PQsetNoticeReceiver(p->connection, ignore_notice, NULL);
	*out = &p->sql.base;
	return 0;
}

/* ---- transactions ---- */

static int begin(struct backend *b)
{
	struct postgres *p = postgres_of(b);
	int rc = postgres_drain(p);

	if (rc < 0)
		return rc;
	return sql_run(
		&p->sql, p->sql.is_writer ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
}

/* What a reader read is already here; nobody has to wait for its end. */
static int commit(struct backend *b)
{
	struct postgres *p = postgres_of(b);
	int rc = sql_run(&p->sql, "COMMIT");

	if (rc == 0)
		rc = postgres_send_sync(p);
	if (rc < 0)
		return rc;
	return p->sql.is_writer ? postgres_drain(p) : postgres_flush(p);
}

static void rollback(struct backend *b)
{
	struct postgres *p = postgres_of(b);

	p->marks = 0;
	for (size_t i = 0; i < POSTGRES_STATEMENTS_MAX; i++)
		if (p->statements[i])
			postgres_driver.reset(&p->sql, p->statements[i]);
	postgres_recover(p);
	if (p->is_dead || PQtransactionStatus(p->connection) == PQTRANS_IDLE)
		return;
	if (sql_run(&p->sql, "ROLLBACK") == 0)
		postgres_recover(p);
}

/* ---- marks ---- */

static int mark(struct backend *b)
{
	postgres_of(b)->marks++;
	return sql_mark(b);
}

/* A failure must show here, where it is known whose it is. */
static int mark_keep(struct backend *b)
{
	int rc = sql_settle(sql_of(b));

	if (rc < 0)
		return rc;
	postgres_of(b)->marks--;
	return sql_mark_keep(b);
}

static int mark_undo(struct backend *b)
{
	postgres_recover(postgres_of(b));
	postgres_of(b)->marks--;
	return sql_mark_undo(b);
}

/* ---- what only this kind knows ---- */

/* Every commit of anybody makes another snapshot, and nobody has to write for it. */
static int version(struct backend *b, uint64_t *out)
{
	struct query q;
	int rc;

	query_init(&q, sql_of(b), "SELECT pg_current_snapshot()::text");
	rc = query_next(&q);
	if (rc == 1) {
		struct slice text = row_slice(&q, 0);
		uint64_t hash = 0xcbf29ce484222325u;

		for (size_t i = 0; i < text.len; i++)
			hash = (hash ^ text.data[i]) * 0x100000001b3u;
		*out = hash;
	}
	query_done(&q);
	return rc < 0 ? rc : 0;
}

static int fd_of(const struct backend *b)
{
	return PQsocket(((const struct postgres *)b)->connection);
}

static int look(struct backend *b)
{
	struct postgres *p = postgres_of(b);

	/* A commit that nobody waited for is answered now. */
	if (p->sent_len > 0)
		return postgres_drain(p);
	return PQconsumeInput(p->connection) ? 0 : postgres_fail_connection(p, NULL);
}

#define OPERATIONS                                                                               \
	.check = check, .describe = describe, .open = open_postgres, .close = close_postgres,    \
	.begin = begin, .commit = commit, .rollback = rollback, .version = version, .fd = fd_of, \
	.look = look

const struct backend_type backend_postgres = {
	.scheme = "postgresql",
	.alias = "postgres",
	OPERATIONS,
	SQL_OPERATIONS,
	.mark = mark,
	.mark_keep = mark_keep,
	.mark_undo = mark_undo,
};
