#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "store/sqlite.h"

/* ---- what failures mean ---- */

static const struct {
	int code;
	int rc;
	const char *advice;
} failures[] = {
	{SQLITE_CONSTRAINT, -EBADMSG, "what was given contradicts what is stored"},
	{SQLITE_TOOBIG, -EBADMSG, "it is larger than a database field can be"},
	{SQLITE_MISMATCH, -EBADMSG, "a field has the wrong type"},
	{SQLITE_BUSY, -EBUSY,
		"another process holds it for too long; is one stopped in the middle of a write?"},
	{SQLITE_LOCKED, -EBUSY,
		"another process holds it for too long; is one stopped in the middle of a write?"},
	{SQLITE_NOMEM, -ENOMEM, "give the process more memory"},
	{SQLITE_FULL, -EIO, "make room on its disk; it is tried again by itself"},
	{SQLITE_IOERR, -EIO, "check its disk and the space on it; it is tried again by itself"},
	{SQLITE_READONLY, -EIO, "make the file and its folder writable for this user"},
	{SQLITE_PERM, -EIO, "make the file and its folder writable for this user"},
	{SQLITE_CANTOPEN, -EIO, "make its folder, or make it writable for this user"},
	{SQLITE_NOTADB, -EIO, "this file is something else: name another one as store.url"},
	{SQLITE_CORRUPT, -EIO,
		"stop the services, keep a copy of the file and recover it with: sqlite3 FILE .recover"},
	{0, -EIO, "it is tried again by itself"},
};

void sqlite_explain(char why[BACKEND_WHY_LEN], const char *path, int code, int extended, const char *message)
{
	size_t i = 0;

	while (failures[i].code && failures[i].code != code)
		i++;
	snprintf(why, BACKEND_WHY_LEN, "%s: %s (SQLite code %d): %s", path, message, extended,
		failures[i].advice);
}

int sqlite_error(struct sqlite *s, int code)
{
	size_t i = 0;

	code &= 0xff;
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return 0;
	sqlite_explain(
		s->sql.base.why, s->path, code, sqlite3_extended_errcode(s->db), sqlite3_errmsg(s->db));
	while (failures[i].code && failures[i].code != code)
		i++;
	return failures[i].rc;
}

/* ---- statements ---- */

static int prepare(struct sql *sql, const char *text, void **out)
{
	struct sqlite *s = (struct sqlite *)sql;
	size_t i = ((uintptr_t)text >> 3) * 0x9e3779b97f4a7c15u >> 56;

	for (size_t n = 0; n < SQLITE_STATEMENTS_MAX; n++, i = (i + 1) % SQLITE_STATEMENTS_MAX) {
		if (s->statements[i].text == text) {
			*out = s->statements[i].statement;
			return 0;
		}
		if (!s->statements[i].text) {
			sqlite3_stmt *statement;
			int code = sqlite3_prepare_v3(
				s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);

			if (code != SQLITE_OK)
				return sqlite_error(s, code);
			s->statements[i].text = text;
			s->statements[i].statement = statement;
			*out = statement;
			return 0;
		}
	}
	assert(!"more statements than SQLITE_STATEMENTS_MAX");
	return -EIO;
}

static int bind_null(struct sql *s, void *statement, int index)
{
	return sqlite_error((struct sqlite *)s, sqlite3_bind_null(statement, index));
}

static int bind_int(struct sql *s, void *statement, int index, int64_t value)
{
	return sqlite_error((struct sqlite *)s, sqlite3_bind_int64(statement, index, value));
}

static int bind_text(struct sql *s, void *statement, int index, struct slice text)
{
	return sqlite_error((struct sqlite *)s, sqlite3_bind_text64(statement, index, (const char *)text.data,
							text.len, SQLITE_STATIC, SQLITE_UTF8));
}

static int bind_blob(struct sql *s, void *statement, int index, struct slice bytes)
{
	return sqlite_error((struct sqlite *)s,
		sqlite3_bind_blob64(statement, index, bytes.data, bytes.len, SQLITE_STATIC));
}

static int step(struct sql *s, void *statement)
{
	int code = sqlite3_step(statement);
	int rc;

	if (code == SQLITE_ROW)
		return 1;
	rc = sqlite_error((struct sqlite *)s, code);
	sqlite3_reset(statement);
	return rc;
}

static void reset(struct sql *s, void *statement)
{
	sqlite3_reset(statement);
}

static int64_t changes(struct sql *s, void *statement)
{
	return sqlite3_changes64(((struct sqlite *)s)->db);
}

static bool is_null(void *statement, int column)
{
	return sqlite3_column_type(statement, column) == SQLITE_NULL;
}

static int64_t column_int(void *statement, int column)
{
	return sqlite3_column_int64(statement, column);
}

/* SQLite gives no address for an empty value; ours must have one. */
static struct slice column_slice(void *statement, int column)
{
	const void *data = sqlite3_column_blob(statement, column);

	return slice_of(data ? data : "", (size_t)sqlite3_column_bytes(statement, column));
}

const struct sql_driver sqlite_driver = {
	.prepare = prepare,
	.bind_null = bind_null,
	.bind_int = bind_int,
	.bind_text = bind_text,
	.bind_blob = bind_blob,
	.step = step,
	.reset = reset,
	.changes = changes,
	.is_null = is_null,
	.column_int = column_int,
	.column_slice = column_slice,
};
