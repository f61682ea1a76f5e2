/*
 * Inside the PostgreSQL driver: a connection in libpq's pipeline mode. What has no rows is sent without waiting for its
 * answer; what went wrong there shows at the next statement with rows, at sql_settle or at the commit, and fails the
 * transaction as a whole.
 */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "store/sql.h"

enum {
	POSTGRES_STATEMENTS_MAX = 512,
	POSTGRES_PARAMETERS_MAX = 64,
	POSTGRES_PLACE_LEN = 160,
};

/* One text, prepared when it is first executed, with what is bound for the next execution. */
struct postgres_statement {
	const char *text; /* as it is shared; the key */
	char *sql;	  /* as PostgreSQL reads it */
	char name[16];
	bool has_rows;
	bool is_sent; /* its PREPARE was */
	int bound;
	const char *values[POSTGRES_PARAMETERS_MAX];
	int lengths[POSTGRES_PARAMETERS_MAX];
	Oid types[POSTGRES_PARAMETERS_MAX]; /* 0: whatever the statement wants there */
	uint8_t numbers[POSTGRES_PARAMETERS_MAX][8];
	struct buf ids;
	PGresult *rows;
	int row;
	int64_t changes;
	int64_t *changes_to;
};

enum postgres_sent_kind { POSTGRES_PREPARE, POSTGRES_QUIET, POSTGRES_ROWS, POSTGRES_SYNC };

/* What is on its way, in the order in which the answers come. */
struct postgres_sent {
	enum postgres_sent_kind kind;
	struct postgres_statement *statement;
	int64_t *changes_to;
};

struct postgres {
	struct sql sql; /* first */
	PGconn *connection;
	char place[POSTGRES_PLACE_LEN]; /* for people: no password */
	bool is_dead;			/* nothing can be asked of it any more */
	unsigned marks;			/* set and neither kept nor undone yet */
	int rc;				/* the first failure of the transaction; sticks until it is undone */
	struct postgres_statement
		*statements[POSTGRES_STATEMENTS_MAX]; /* hashed by the address of their text */
	unsigned statements_len;
	struct postgres_sent *sent; /* a ring */
	size_t sent_first, sent_len, sent_cap;
};

static inline struct postgres *postgres_of(struct backend *b)
{
	return (struct postgres *)b;
}

/* ---- statements, postgres_query.c ---- */

extern const struct sql_driver postgres_driver;

/*
 * The shared text in PostgreSQL's words: "?" and "?N" become "$N", "INDEXED BY name" goes, and a comment that begins with
 * "pg:" becomes text. 0, or -ENOMEM.
 */
int postgres_rewrite(const char *text, struct buf *out);

/* A point up to which failures are contained; nothing is waited for. */
int postgres_send_sync(struct postgres *p);
/* Hands over what is still here without waiting for answers. */
int postgres_flush(struct postgres *p);
/* Waits for all answers. 0, or the first failure. */
int postgres_drain(struct postgres *p);
/* The same behind a sync; afterwards the connection takes statements again, if it is alive. */
void postgres_recover(struct postgres *p);
void postgres_forget_statements(struct postgres *p);

/* Outside of pipeline mode: any number of statements, as text. */
int postgres_execute(struct postgres *p, const char *text);
/* One that gives one number, or a text (empty when there is no row). */
int postgres_ask_number(struct postgres *p, const char *text, int64_t *answer);
int postgres_ask_text(struct postgres *p, const char *text, char *answer, size_t len);

/* ---- failures, postgres_failure.c ---- */

/* What an answer that is a failure means: one of a backend's codes, with `why` written. */
int postgres_fail(struct postgres *p, const PGresult *result);
/* The connection itself is at its end: -EIO. */
int postgres_fail_connection(struct postgres *p, const char *what);
/* Pure: what happened and what to do about it. `state` is the SQLSTATE, empty for a failed connection. */
void postgres_explain(char why[BACKEND_WHY_LEN], const char *place, const char *state, const char *message);
/* Pure: the code of a backend for a SQLSTATE. */
int postgres_code(const char *state);

/* ---- schema, postgres_schema.c ---- */

/* Brings the tables to the newest version, one process at a time, inside a transaction of the caller's. */
int postgres_migrate(struct postgres *p);
/* The same to the length of another list; for tests of what an upgrade does. */
int postgres_migrate_by(struct postgres *p, const char *const *list, size_t len);
/* 0 when a reader finds the version that this program knows. */
int postgres_check_version(struct postgres *p);
/* 0 when this role may do with every table what is needed. */
int postgres_check_rights(struct postgres *p);

#endif
