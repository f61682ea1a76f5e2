#include "store/sql.h"

/* ---- statements ---- */

static void stick(struct query *q, int rc)
{
	if (rc < 0 && q->rc == 0)
		q->rc = rc;
}

void query_init(struct query *q, struct sql *s, const char *text)
{
	*q = (struct query){.s = s};
	stick(q, s->driver->prepare(s, text, &q->statement));
}

void query_int(struct query *q, int64_t value)
{
	if (q->rc == 0)
		stick(q, q->s->driver->bind_int(q->s, q->statement, ++q->bound, value));
}

void query_null(struct query *q)
{
	if (q->rc == 0)
		stick(q, q->s->driver->bind_null(q->s, q->statement, ++q->bound));
}

void query_blob(struct query *q, struct slice bytes)
{
	if (!slice_is_set(bytes))
		query_null(q);
	else if (q->rc == 0)
		stick(q, q->s->driver->bind_blob(q->s, q->statement, ++q->bound, bytes));
}

void query_text(struct query *q, struct slice text)
{
	if (!slice_is_set(text))
		query_null(q);
	else if (q->rc == 0)
		stick(q, q->s->driver->bind_text(q->s, q->statement, ++q->bound, text));
}

void query_id(struct query *q, const struct id *id)
{
	if (id_is_zero(id))
		query_null(q);
	else
		query_blob(q, slice_of(id->bytes, ID_LEN));
}

void query_each(struct query *q, const struct id *ids, size_t len)
{
	const struct sql_driver *d = q->s->driver;

	if (q->rc < 0)
		return;
	if (d->bind_ids) {
		stick(q, d->bind_ids(q->s, q->statement, ++q->bound, ids, len));
		return;
	}
	query_id(q, &ids[0]);
	q->each = ids + 1;
	q->each_len = len - 1;
}

/* The other parameters stay as they are bound. */
static void take_next_of_each(struct query *q)
{
	stick(q, q->s->driver->bind_blob(q->s, q->statement, 1, slice_of(q->each->bytes, ID_LEN)));
	q->each++;
	q->each_len--;
	q->each_at++;
}

int query_next(struct query *q)
{
	int rc = 0;

	while (q->rc == 0) {
		rc = q->s->driver->step(q->s, q->statement);
		stick(q, rc);
		if (rc != 0 || q->each_len == 0)
			break;
		take_next_of_each(q);
	}
	return q->rc < 0 ? q->rc : rc;
}

void query_done(struct query *q)
{
	if (q->statement)
		q->s->driver->reset(q->s, q->statement);
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
	return q->s->driver->changes(q->s, q->statement);
}

int query_run_into(struct query *q, int64_t *changes)
{
	const struct sql_driver *d = q->s->driver;
	int rc;

	if (d->count_into && q->rc == 0)
		d->count_into(q->statement, changes);
	rc = query_run(q);
	if (rc == 0 && !d->count_into)
		*changes = query_changes(q);
	return rc;
}

int64_t row_int(const struct query *q, int column)
{
	return q->s->driver->column_int(q->statement, column);
}

bool row_is_null(const struct query *q, int column)
{
	return q->s->driver->is_null(q->statement, column);
}

struct slice row_slice(const struct query *q, int column)
{
	if (row_is_null(q, column))
		return slice_of(NULL, 0);
	return q->s->driver->column_slice(q->statement, column);
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

int sql_compare_ids(const void *a, const void *b)
{
	return memcmp(((const struct id *)a)->bytes, ((const struct id *)b)->bytes, ID_LEN);
}

int sql_run(struct sql *s, const char *text)
{
	struct query q;

	query_init(&q, s, text);
	return query_run(&q);
}

int sql_settle(struct sql *s)
{
	return s->driver->settle ? s->driver->settle(s) : 0;
}

/* ---- locks ---- */

int sql_lock(struct sql *s, const char *text, const struct id *ids, size_t len)
{
	struct query q;
	int rc;

	if (!s->driver->is_shared || len == 0)
		return 0;
	query_init(&q, s, text);
	query_each(&q, ids, len);
	while ((rc = query_next(&q)) == 1)
		;
	return rc;
}

int sql_lock_tasks(struct sql *s, const struct id *ids, size_t len)
{
	return sql_lock(s,
		"SELECT 1 FROM tasks WHERE id = /*pg:ANY*/ (?) /*pg:ORDER BY id FOR NO KEY UPDATE*/", ids,
		len);
}

/* Few keys, so that no number of tasks fills the server's table of locks; in their order. */
#define CHAIN_KEYS \
	"FROM (SELECT DISTINCT hashtext(id::text) & 255 AS key FROM unnest(?::uuid[]) id ORDER BY key) keys"

int sql_lock_chains(struct sql *s, const struct id *ids, size_t len, bool is_inserting)
{
	return sql_lock(s,
		is_inserting ? "SELECT pg_advisory_xact_lock(1886352500, key) " CHAIN_KEYS
			     : "SELECT pg_advisory_xact_lock_shared(1886352500, key) " CHAIN_KEYS,
		ids, len);
}

/* ---- marks ---- */

int sql_mark(struct backend *b)
{
	return sql_run(sql_of(b), "SAVEPOINT operation");
}

int sql_mark_keep(struct backend *b)
{
	return sql_run(sql_of(b), "RELEASE SAVEPOINT operation");
}

int sql_mark_undo(struct backend *b)
{
	int rc = sql_run(sql_of(b), "ROLLBACK TO SAVEPOINT operation");

	return rc < 0 ? rc : sql_mark_keep(b);
}
