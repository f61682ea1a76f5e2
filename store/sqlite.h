/*
 * Inside the SQLite backend: a connection, statements that are prepared once, and what its files call of each other.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/backend.h"

enum { SQLITE_STATEMENTS_MAX = 128 };

struct sqlite {
	struct backend base; /* first */
	sqlite3 *db;
	char *path;
	struct lifetime lifetime;
	bool is_writer;
	struct id_minter minter;      /* of delivery rows; a writer's */
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

/* ---- statements ---- */

/*
 * One execution of a prepared statement: parameters are bound in order, then rows are read. The first failure sticks and
 * comes back from query_next or query_run, so nothing in between is checked. What is bound must live until the end.
 */
struct query {
	struct sqlite *s;
	sqlite3_stmt *statement;
	int rc;
	int bound;
};

/* `text` must be a literal: the statement is kept under its address. */
void query_init(struct query *q, struct sqlite *s, const char *text);
void query_int(struct query *q, int64_t value);
void query_null(struct query *q);
void query_id(struct query *q, const struct id *id); /* a zero id is NULL */
void query_text(struct query *q, struct slice text); /* not set: NULL */
void query_blob(struct query *q, struct slice bytes);
/* 1: there is a row; 0: there is none left, the statement is free again; or negative. */
int query_next(struct query *q);
/* For statements without rows, or when only the first one counts: frees the statement. */
int query_run(struct query *q);
/* After query_next gave 1 and no further row is wanted. */
void query_done(struct query *q);
/* Rows that the statement changed; after query_run. */
int64_t query_changes(const struct query *q);

int64_t row_int(const struct query *q, int column);
bool row_is_null(const struct query *q, int column);
struct id row_id(const struct query *q, int column); /* zero when NULL or not 16 bytes */
/* Borrows: until the next query_next. */
struct slice row_slice(const struct query *q, int column);
struct slice row_copy(const struct query *q, int column, struct arena *a);

/* ---- schema ---- */

/* Brings the database to the newest version, inside a transaction of the caller's. 0, -EIO, … with `why` set. */
int sqlite_migrate(struct sqlite *s);
/* The same to the length of another list; for tests of what an upgrade does. */
int sqlite_migrate_by(struct sqlite *s, const char *const *list, size_t len);
/* 0 when a reader finds the version that this program knows. */
int sqlite_check_version(struct sqlite *s);

/* ---- operations, by file ---- */

/* sqlite_keys.c */
int sqlite_keys_get(struct backend *b, struct id_key keys[STORE_KEYS_MAX], size_t *len);
int sqlite_keys_add(struct backend *b, const struct id_key *key, int64_t now_ms);
int sqlite_version(struct backend *b, uint64_t *out);
/* The first key, when there is none yet; then the minter. */
int sqlite_keys_start(struct sqlite *s);

/* sqlite_tasks.c */
int sqlite_tasks_get(struct backend *b, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out);
int sqlite_tasks_list(struct backend *b, struct arena *a, const struct store_list_query *q,
	struct store_task *out, size_t *len);
int sqlite_tasks_count(
	struct backend *b, struct arena *a, struct slice tenant, struct store_task_count **out, size_t *len);
/* One task, present, tombstone or absent. */
int sqlite_task_load(
	struct sqlite *s, struct arena *a, const struct id *id, unsigned with, struct store_task *out);

/* sqlite_apply.c */
int sqlite_apply(struct backend *b, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out);

/* sqlite_end.c: how a task ends and what follows, in the same transaction. */
struct sqlite_end {
	struct id id, batch;
	struct slice tenant;
	enum task_state state;
	int64_t now_ms;
	const struct delivery *deliveries;
	size_t deliveries_len;
	bool is_new; /* nothing was known of it before, so nothing hangs on it but what waits */
};
/* After its row was written: deliveries, its own due rows, its batch, what waits for it. *has_due: rows became due. */
int sqlite_end_follow(struct sqlite *s, struct arena *a, const struct sqlite_end *end, bool *has_due);
/*
 * Ends an unfinished task by the store's own decision, with all that follows. -ENOENT: there is no unfinished row.
 */
int sqlite_end_task(struct sqlite *s, struct arena *a, const struct id *id, enum task_state state,
	const char *error_type, struct slice message, int64_t now_ms);
/* What waited for this task or batch becomes due. */
int sqlite_end_release(struct sqlite *s, struct arena *a, const struct id *id, int64_t now_ms, bool *has_due);

/* sqlite_later.c */
int sqlite_later_insert(struct backend *b, struct arena *a, const struct store_later *tasks, size_t len);
int sqlite_later_undo(struct backend *b, const struct id *ids, size_t len);
int sqlite_task_cancel(
	struct backend *b, struct arena *a, const struct id *id, int64_t now_ms, enum store_cancel *out);

/* sqlite_batch.c */
int sqlite_batch_insert(struct backend *b, const struct id *id, struct slice tenant, int64_t now_ms);
int sqlite_batch_seal(struct backend *b, struct arena *a, const struct id *id, const struct id *accepted,
	size_t len, struct slice document, int64_t now_ms);
int sqlite_batch_get(struct backend *b, struct arena *a, const struct id *id, struct backend_batch *out);
/* One of its items has ended, for the first and only time. */
int sqlite_batch_count_end(struct sqlite *s, struct arena *a, const struct id *batch, const struct id *item,
	int64_t now_ms, bool *has_due);
/* How many of its items are in which state. */
int sqlite_batch_states(struct sqlite *s, struct slice ids, uint32_t by_state[TASK_STATES]);
int sqlite_batch_is_complete(struct sqlite *s, const struct id *id, bool *found, bool *is_complete);

/* sqlite_claim.c */
int sqlite_claim(
	struct backend *b, struct arena *a, const struct store_claim *c, struct backend_claimed *out);
int sqlite_claim_end(struct backend *b, struct slice tenant, struct slice key, enum store_claim_end how,
	struct slice answer);

/* sqlite_due.c */
int sqlite_due_claim(struct backend *b, struct arena *a, const struct backend_due_query *q,
	struct store_due *out, size_t *len, int64_t *next_due_ms);
int sqlite_due_end(struct backend *b, struct arena *a, uint64_t owner, const struct store_due_result *results,
	size_t len);
/* The row that publishes attempt `attempt` of a task at `due_ms`. One that is claimed right now is left alone. */
int sqlite_due_task(struct sqlite *s, const struct id *id, struct slice tenant, uint32_t attempt,
	int64_t due_ms, int64_t now_ms);
int sqlite_due_deliveries(struct sqlite *s, const struct sqlite_end *end);
/* The first channel after this name that has rows to come: 1, or 0 when there is none. Copied into the arena. */
int sqlite_due_next_channel(struct sqlite *s, struct arena *a, struct slice after, struct slice *out);
/* Attempts up to this one need no publishing any more. */
int sqlite_due_drop(struct sqlite *s, const struct id *id, uint32_t up_to_attempt);
/* Gives up a delivery that nobody took. */
int sqlite_due_bury(struct sqlite *s, const struct id *row, int64_t now_ms, const char *error);

/* sqlite_sweep.c */
int sqlite_dead_letter_add(struct backend *b, const struct store_dead_letter *d);
int sqlite_sweep(struct backend *b, struct arena *a, int64_t now_ms, size_t limit, struct store_sweep *out);

#endif
