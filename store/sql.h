/*
 * The store's operations as SQL statements, written once for every database that speaks it. A kind of database is a
 * driver: it runs statements and knows its own schema, transactions and failures. Where the dialects part, a driver
 * rewrites the text when it prepares it: parameters are ? or ?N, INDEXED BY is a hint that only SQLite understands, and
 * a comment that begins with "pg:" is text to PostgreSQL.
 *
 * SQLite gives a writer the database to itself. Where that is not so (driver->is_shared) others commit between any two
 * statements, and an operation first locks the rows that it reads in order to write them. So that nobody waits in a circle, rows
 * are locked in this order, and by id within each kind: tasks, due rows, endpoints, batches, then what waits for those
 * that ended. Whoever was too late in spite of it fails with -ERESTART, and the transaction is run again.
 */
#ifndef STORE_SQL_H
#define STORE_SQL_H

#include "store/backend.h"

struct sql_driver;

/* A connection; embedded first in the driver's own struct. */
struct sql {
	struct backend base; /* first */
	const struct sql_driver *driver;
	struct lifetime lifetime;
	bool is_writer;
	struct id_minter minter;	 /* of delivery rows; a writer's */
	struct sql_endpoints *endpoints; /* those read in this transaction; sql_endpoints.c's */
	uint64_t endpoints_of;		 /* the transaction */
};

static inline struct sql *sql_of(struct backend *b)
{
	return (struct sql *)b;
}

/* ---- statements ---- */

/*
 * One execution of a prepared statement: parameters are bound in order, then rows are read. The first failure sticks and
 * comes back from query_next or query_run, so nothing in between is checked. What is bound must live until the end. A
 * statement is not begun again before it has ended.
 */
struct query {
	struct sql *s;
	void *statement; /* the driver's */
	int rc;
	int bound;
	const struct id *each; /* ids whose turn has not come */
	size_t each_len;
	size_t each_at; /* whose turn it is */
};

/* Codes are those of a backend, with `why` written. */
struct sql_driver {
	bool is_shared; /* others write at the same time */
	/* The statement of this text, which is kept under its address. */
	int (*prepare)(struct sql *s, const char *text, void **statement);
	/* `index` counts from 1. */
	int (*bind_null)(struct sql *s, void *statement, int index);
	int (*bind_int)(struct sql *s, void *statement, int index, int64_t value);
	int (*bind_text)(struct sql *s, void *statement, int index, struct slice text);
	int (*bind_blob)(struct sql *s, void *statement, int index, struct slice bytes);
	/* NULL where a statement takes only one id at a time. */
	int (*bind_ids)(struct sql *s, void *statement, int index, const struct id *ids, size_t len);
	/* 1: there is a row; 0: there is none left, the statement is free again; or negative, and it is free. */
	int (*step)(struct sql *s, void *statement);
	void (*reset)(struct sql *s, void *statement);
	/* Rows that the last execution changed, or negative. */
	int64_t (*changes)(struct sql *s, void *statement);
	/* NULL where nothing is put off. The next execution writes its changes there at the next settle. */
	void (*count_into)(void *statement, int64_t *changes);
	int (*settle)(struct sql *s);
	bool (*is_null)(void *statement, int column);
	int64_t (*column_int)(void *statement, int column);
	/* Never NULL, unless the column is. */
	struct slice (*column_slice)(void *statement, int column);
};

/* `text` must be a literal: the statement is kept under its address. */
void query_init(struct query *q, struct sql *s, const char *text);
void query_int(struct query *q, int64_t value);
void query_null(struct query *q);
void query_id(struct query *q, const struct id *id); /* a zero id is NULL */
/*
 * The first parameter, in turn for each of these: as if the statement were run for one after the other, in any order and
 * where the database can in one go. The text has it as "id = (?)", with the word ANY before the parenthesis in a comment
 * for PostgreSQL. Rows say themselves whose they are.
 */
void query_each(struct query *q, const struct id *ids, size_t len);
void query_text(struct query *q, struct slice text); /* not set: NULL */
void query_blob(struct query *q, struct slice bytes);
/* 1: there is a row; 0: there is none left, the statement is free again; or negative. */
int query_next(struct query *q);
/* For statements without rows, or when only the first one counts: frees the statement. */
int query_run(struct query *q);
/* After query_next gave 1 and no further row is wanted. */
void query_done(struct query *q);
/* Rows that the statement changed, or negative; after query_run. */
int64_t query_changes(const struct query *q);
/* query_run, with the rows that it changes written to *changes by sql_settle at the latest. */
int query_run_into(struct query *q, int64_t *changes);

int64_t row_int(const struct query *q, int column);
bool row_is_null(const struct query *q, int column);
struct id row_id(const struct query *q, int column); /* zero when NULL or not 16 bytes */
/* Borrows: until the next query_next. */
struct slice row_slice(const struct query *q, int column);
struct slice row_copy(const struct query *q, int column, struct arena *a);

/* Of struct id, for qsort and bsearch. */
int sql_compare_ids(const void *a, const void *b);

/* A statement without parameters and rows. */
int sql_run(struct sql *s, const char *text);
/* Waits until everything that was run is known to have worked: 0, or the failure. */
int sql_settle(struct sql *s);
/* Locks these, in the order of their ids, where others write too. `text` selects by an id, for query_each, FOR UPDATE. */
int sql_lock(struct sql *s, const char *text, const struct id *ids, size_t len);
int sql_lock_tasks(struct sql *s, const struct id *ids, size_t len);
/*
 * Who ends one of these tasks and who inserts what waits for one keep out of each other's way, also where the task has no
 * row to lock. Before any row is locked.
 */
int sql_lock_chains(struct sql *s, const struct id *ids, size_t len, bool is_inserting);

/* ---- operations, by file ---- */

/* sql_keys.c */
int sql_keys_get(struct backend *b, struct id_key keys[STORE_KEYS_MAX], size_t *len);
int sql_keys_add(struct backend *b, const struct id_key *key, int64_t now_ms);
/* The first key, when there is none yet; then the minter. */
int sql_keys_start(struct sql *s);

/* sql_tasks.c */
int sql_tasks_get(struct backend *b, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out);
int sql_tasks_list(struct backend *b, struct arena *a, const struct store_list_query *q,
	struct store_task *out, size_t *len);
int sql_tasks_count(
	struct backend *b, struct arena *a, struct slice tenant, struct store_task_count **out, size_t *len);
/* Present, tombstone or absent; out[i] belongs to ids[i]. */
int sql_tasks_load(struct sql *s, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out);
/* What was left out when they were loaded. */
int sql_tasks_load_bodies(
	struct sql *s, struct arena *a, struct store_task *tasks, size_t len, unsigned with);
int sql_task_load(struct sql *s, struct arena *a, const struct id *id, unsigned with, struct store_task *out);

/* This task's row was changed: it is told, as it is when the transaction ends. */
int sql_task_changed(struct sql *s, const struct id *id);
/* Reads what was noted so. */
int sql_changes_read(struct backend *b);
/* The columns of a task and how they are read, for statements that return what they wrote. */
#define SQL_TASK_COLUMNS                                                                                 \
	"id, tenant, task, state, attempt, created_at, due_at, started_at, finished_at, rev, progress, " \
	"metadata, worker, error_type, error_message, error_retryable, error_status, error_data, "       \
	"content_type, result_len, result_is_json, waits_for, batch, retry_of, pending, delivered, "     \
	"undelivered, is_waiting, waits, wants_previous "
void sql_task_read(const struct query *q, struct arena *a, struct store_task *t);

/* sql_apply.c */
int sql_apply(struct backend *b, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out);

/* sql_end.c: how a task ends and what follows, in the same transaction. */
struct sql_end {
	struct id id, batch;
	struct slice tenant;
	enum task_state state;
	int64_t now_ms;
	const struct delivery *deliveries;
	size_t deliveries_len;
	bool is_new;   /* nothing was known of it before, so nothing hangs on it but what waits */
	bool *has_due; /* set when rows became due by it */
};
/* After their rows were written: deliveries, their own due rows, their batches, what waits for them. Sorts `ends`. */
int sql_end_follow(struct sql *s, struct arena *a, struct sql_end *ends, size_t len);
/*
 * Ends an unfinished task by the store's own decision, with all that follows. -ENOENT: there is no unfinished row.
 */
int sql_end_task(struct sql *s, struct arena *a, const struct id *id, enum task_state state,
	const char *error_type, struct slice message, int64_t now_ms);
/* What waited for one of these tasks or batches becomes due. */
int sql_end_release(
	struct sql *s, struct arena *a, const struct id *ids, size_t len, int64_t now_ms, bool *has_due);

/* sql_later.c */
int sql_later_insert(
	struct backend *b, struct arena *a, const struct store_later *tasks, size_t len, bool *is_gone);
int sql_later_undo(struct backend *b, const struct id *ids, size_t len);
int sql_task_cancel(
	struct backend *b, struct arena *a, const struct id *id, int64_t now_ms, enum store_cancel *out);

/* sql_batch.c */
int sql_batch_insert(struct backend *b, const struct id *id, struct slice tenant, int64_t now_ms);
int sql_batch_seal(struct backend *b, struct arena *a, const struct id *id, const struct id *accepted,
	size_t len, struct slice document, int64_t now_ms);
int sql_batch_get(struct backend *b, struct arena *a, const struct id *id, struct backend_batch *out);
/* These have ended, for the first and only time; those that are items of a batch are counted there. */
int sql_batch_count_ends(struct sql *s, struct arena *a, const struct sql_end *ends, size_t len);
/* How many of its items are in which state. */
int sql_batch_states(struct sql *s, struct arena *a, struct slice ids, uint32_t by_state[TASK_STATES]);
int sql_batch_lock(struct sql *s, const struct id *ids, size_t len);
int sql_batch_is_complete(struct sql *s, const struct id *id, bool *found, bool *is_complete);

/* sql_claim.c */
int sql_claim(struct backend *b, struct arena *a, const struct store_claim *c, struct backend_claimed *out);
int sql_claim_end(struct backend *b, struct slice tenant, struct slice key, enum store_claim_end how,
	struct slice answer);

/* sql_due.c */
int sql_due_claim(struct backend *b, struct arena *a, const struct backend_due_query *q,
	struct store_due *out, size_t *len, int64_t *next_due_ms);
int sql_due_end(struct backend *b, struct arena *a, uint64_t owner, const struct store_due_result *results,
	size_t len, struct backend_endpoints *disabled);
/* The row that publishes attempt `attempt` of a task at `due_ms`. One that is claimed right now is left alone. */
int sql_due_task(struct sql *s, const struct id *id, struct slice tenant, uint32_t attempt, int64_t due_ms,
	int64_t now_ms);
int sql_due_deliveries(struct sql *s, const struct sql_end *end);
/*
 * A delivery that has ended in this state is pending again, due at once, its schedule from the beginning. 1, or 0 when it
 * is in another one by now.
 */
int sql_due_revive(struct sql *s, const struct id *row, const struct id *task,
	enum store_delivery_state state, int64_t now_ms);
/* What is pending for an endpoint that takes nothing more comes due, so that it ends; some of it, when it is a lot. */
int sql_due_hurry(struct sql *s, const struct id *endpoint);
/* The first channel after this name that has rows to come: 1, or 0 when there is none. Copied into the arena. */
int sql_due_next_channel(struct sql *s, struct arena *a, struct slice after, struct slice *out);
/* Attempts up to this one need no publishing any more. */
int sql_due_drop(struct sql *s, const struct id *id, uint32_t up_to_attempt);
/* Gives up a delivery that nobody took. */
int sql_due_bury(struct sql *s, const struct id *row, int64_t now_ms, const char *error);

/* sql_deliveries.c */
int sql_deliveries_get(
	struct backend *b, struct arena *a, const struct id *task, struct backend_deliveries *out);
int sql_delivery_get(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct backend_deliveries *out);
int sql_delivery_retry(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	int64_t now_ms, enum store_retry *what, struct backend_deliveries *out);
int sql_deliveries_replay(
	struct backend *b, struct arena *a, const struct store_replay *r, size_t *count, bool *has_more);

/* sql_endpoints.c */
int sql_endpoints_get(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct backend_endpoints *out);
int sql_endpoint_add(
	struct backend *b, struct arena *a, const struct store_endpoint *e, struct backend_endpoints *out);
int sql_endpoint_change(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	const struct store_endpoint_change *change, struct backend_endpoints *out);
int sql_endpoint_rotate(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct slice secret, int64_t old_until_ms, int64_t now_ms, struct backend_endpoints *out);
int sql_endpoint_remove(
	struct backend *b, const struct id *id, struct slice tenant, struct backend_endpoints *out);
/*
 * Appends the deliveries that the tenant's endpoints get when this task ends so. One query a tenant and transaction; what
 * it read lives in the arena of the operation that asked first, as long as the transaction.
 */
int sql_endpoints_choose(struct sql *s, struct arena *a, struct slice tenant, struct slice task,
	enum task_state state, struct delivery **chosen, size_t *len);
/* What a row for an endpoint needs to be sent: its target and secrets as they are now. Else *why says why it cannot be. */
int sql_endpoint_fill(struct sql *s, struct arena *a, struct store_due *due, const char **why);
/*
 * After an attempt: when it has been failing since, and whether it is disabled by that, which is put on the list. *is_open:
 * it is there and enabled.
 */
int sql_endpoint_judge(struct sql *s, struct arena *a, const struct id *id, const struct store_due_result *r,
	struct backend_endpoints *disabled, bool *is_open);
/* May something be sent to it? */
int sql_endpoint_is_enabled(struct sql *s, const struct id *id, bool *out);

/* sql_sweep.c */
int sql_dead_letter_add(struct backend *b, const struct store_dead_letter *d);
int sql_sweep(struct backend *b, struct arena *a, int64_t now_ms, size_t limit, struct store_sweep *out);

/* The rows of a backend's table that every driver shares. */
#define SQL_OPERATIONS                                                                              \
	.changes_read = sql_changes_read, .keys_get = sql_keys_get, .tasks_get = sql_tasks_get,     \
	.tasks_list = sql_tasks_list, .tasks_count = sql_tasks_count, .batch_get = sql_batch_get,   \
	.keys_add = sql_keys_add, .later_insert = sql_later_insert, .later_undo = sql_later_undo,   \
	.batch_insert = sql_batch_insert, .batch_seal = sql_batch_seal, .claim = sql_claim,         \
	.claim_end = sql_claim_end, .apply = sql_apply, .task_cancel = sql_task_cancel,             \
	.due_claim = sql_due_claim, .due_end = sql_due_end, .dead_letter_add = sql_dead_letter_add, \
	.sweep = sql_sweep, .deliveries_get = sql_deliveries_get, .delivery_get = sql_delivery_get, \
	.delivery_retry = sql_delivery_retry, .deliveries_replay = sql_deliveries_replay,           \
	.endpoints_get = sql_endpoints_get, .endpoint_add = sql_endpoint_add,                       \
	.endpoint_change = sql_endpoint_change, .endpoint_rotate = sql_endpoint_rotate,             \
	.endpoint_remove = sql_endpoint_remove

#define SQL_MARKS .mark = sql_mark, .mark_keep = sql_mark_keep, .mark_undo = sql_mark_undo

int sql_mark(struct backend *b);
int sql_mark_keep(struct backend *b);
int sql_mark_undo(struct backend *b);

#endif
