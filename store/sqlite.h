/*
 * Inside the SQLite driver: a connection and statements that are prepared once.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/sql.h"

enum { SQLITE_STATEMENTS_MAX = 256 };

struct sqlite {
	struct sql sql; /* first */
	sqlite3 *db;
	char *path;
	sqlite3_stmt *begin, *commit; /* of the kind that this connection needs */
	uint64_t version_base;
	int64_t busy_since_ms, busy_max_ms;
	int64_t taken_us, released_us, held_us; /* the lock of who writes */
	int checkpoint_at_pages;
	struct {
		const char *text;
		sqlite3_stmt *statement;
	} statements[SQLITE_STATEMENTS_MAX]; /* hashed by the address of their text */
};

static inline struct sqlite *sqlite_of(struct backend *b)
{
	return (struct sqlite *)b;
}

/*
 * What a failure of SQLite means: 0, or one of a backend's codes with `why` written (what happened, where, what to do).
 */
int sqlite_error(struct sqlite *s, int code);
void sqlite_explain(char why[BACKEND_WHY_LEN], const char *path, int code, int extended, const char *message);

extern const struct sql_driver sqlite_driver;

/* ---- schema ---- */

/* Brings the database to the newest version, inside a transaction of the caller's. 0, -EIO, … with `why` set. */
int sqlite_migrate(struct sqlite *s);
/* The same to the length of another list; for tests of what an upgrade does. */
int sqlite_migrate_by(struct sqlite *s, const char *const *list, size_t len);
/* 0 when a reader finds the version that this program knows. */
int sqlite_check_version(struct sqlite *s);

#endif
