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
	sqlite_explain(s->base.why, s->path, code, sqlite3_extended_errcode(s->db), sqlite3_errmsg(s->db));
	while (failures[i].code && failures[i].code != code)
		i++;
	return failures[i].rc;
}

/* ---- statements ---- */

static int prepare(struct sqlite *s, const char *text, sqlite3_stmt **out)
{
	size_t i = ((uintptr_t)text >> 3) * 0x9e3779b97f4a7c15u >> 57;

	for (size_t n = 0; n < SQLITE_STATEMENTS_MAX; n++, i = (i + 1) % SQLITE_STATEMENTS_MAX) {
		if (s->statements[i].text == text) {
			*out = s->statements[i].statement;
			return SQLITE_OK;
		}
		if (!s->statements[i].text) {
			int rc = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

			if (rc != SQLITE_OK)
				return rc;
			s->statements[i].text = text;
			s->statements[i].statement = *out;
			return SQLITE_OK;
		}
	}
	assert(!"more statements than SQLITE_STATEMENTS_MAX");
	return SQLITE_MISUSE;
}

static void stick(struct query *q, int code)
{
	if (code != SQLITE_OK && q->rc == 0)
		q->rc = sqlite_error(q->s, code);
}

void query_init(struct query *q, struct sqlite *s, const char *text)
{
	*q = (struct query){.s = s};
	stick(q, prepare(s, text, &q->statement));
}

void query_int(struct query *q, int64_t value)
{
	if (q->rc == 0)
		stick(q, sqlite3_bind_int64(q->statement, ++q->bound, value));
}

void query_null(struct query *q)
{
	if (q->rc == 0)
		stick(q, sqlite3_bind_null(q->statement, ++q->bound));
}

void query_blob(struct query *q, struct slice bytes)
{
	if (!slice_is_set(bytes))
		query_null(q);
	else if (q->rc == 0)
		stick(q, sqlite3_bind_blob64(q->statement, ++q->bound, bytes.data, bytes.len, SQLITE_STATIC));
}

void query_text(struct query *q, struct slice text)
{
	if (!slice_is_set(text))
		query_null(q);
	else if (q->rc == 0)
		stick(q, sqlite3_bind_text64(q->statement, ++q->bound, (const char *)text.data, text.len,
				 SQLITE_STATIC, SQLITE_UTF8));
}

void query_id(struct query *q, const struct id *id)
{
	if (id_is_zero(id))
		query_null(q);
	else
		query_blob(q, slice_of(id->bytes, ID_LEN));
}

int query_next(struct query *q)
{
	int code;

	if (q->rc < 0)
		return q->rc;
	code = sqlite3_step(q->statement);
	if (code == SQLITE_ROW)
		return 1;
	if (code != SQLITE_DONE)
		q->rc = sqlite_error(q->s, code);
	sqlite3_reset(q->statement);
	return q->rc;
}

void query_done(struct query *q)
{
	if (q->statement)
		sqlite3_reset(q->statement);
}

int query_run(struct query *q)
{
	int rc = query_next(q);

	if (rc == 1)
		query_done(q);
	return rc < 0 ? rc : 0;
}

int64_t query_changes(const struct query *q)
{
	return sqlite3_changes64(q->s->db);
}

int64_t row_int(const struct query *q, int column)
{
	return sqlite3_column_int64(q->statement, column);
}

bool row_is_null(const struct query *q, int column)
{
	return sqlite3_column_type(q->statement, column) == SQLITE_NULL;
}

struct slice row_slice(const struct query *q, int column)
{
	const void *data;

	if (row_is_null(q, column))
		return slice_of(NULL, 0);
	/* SQLite gives no address for an empty value; ours must have one. */
	data = sqlite3_column_blob(q->statement, column);
	return slice_of(data ? data : "", (size_t)sqlite3_column_bytes(q->statement, column));
}

struct slice row_copy(const struct query *q, int column, struct arena *a)
{
	return arena_copy(a, row_slice(q, column));
}

struct id row_id(const struct query *q, int column)
{
	struct slice bytes = row_slice(q, column);
	struct id id = {0};

	if (bytes.len == ID_LEN)
		memcpy(id.bytes, bytes.data, ID_LEN);
	return id;
}
