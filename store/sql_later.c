/*
 * Tasks that are to run later, and taking them back.
 */
#include <errno.h>

#include "proto/context.h"
#include "store/sql.h"

/*
 * The deliveries travel inside the request; they are kept beside it, as the task may end without ever having run.
 * A request that says nothing readable asks for none.
 */
static struct slice deliver_of(struct slice request)
{
	struct decode_error ignored;
	struct context context;
	struct request r;

	if (request_decode(request, &r, &ignored) < 0 || !slice_is_set(r.context) ||
		context_decode(r.context, &context, &ignored) < 0)
		return slice_of(NULL, 0);
	return context.deliver;
}

static int64_t sweep_at(const struct sql *s, const struct store_later *t)
{
	return t->waits == STORE_WAITS_NOT ? lifetime_of_unfinished(&s->lifetime, t->due_at_ms)
					   : lifetime_of_id(&s->lifetime, &t->waits_for);
}

/* *made: 0 when it is there already; known once settled. */
static int insert_row(struct sql *s, const struct store_later *t, int64_t *made)
{
	struct query q;

	query_init(&q, s,
		"INSERT INTO tasks (id, tenant, task, state, attempt, rank, seq, rev, created_at, due_at, started_at, "
		"finished_at, sweep_at, metadata, waits, is_waiting, waits_for, wants_previous, batch, retry_of, deliver) "
		"VALUES (?1, ?2, ?3, 0, 1, 0, 0, 1, ?4, ?5, 0, 0, ?6, ?7, ?8, CASE WHEN ?8 <> 0 THEN 1 ELSE 0 END, ?9, ?10, ?11, ?12, ?13) "
		"ON CONFLICT DO NOTHING");
	query_id(&q, &t->id);
	query_text(&q, t->tenant);
	query_text(&q, t->task);
	query_int(&q, t->created_at_ms);
	query_int(&q, t->waits == STORE_WAITS_NOT ? t->due_at_ms : 0);
	query_int(&q, sweep_at(s, t));
	query_text(&q, t->metadata);
	query_int(&q, t->waits);
	query_id(&q, &t->waits_for);
	query_int(&q, t->wants_previous);
	query_id(&q, &t->batch);
	query_id(&q, &t->retry_of);
	query_text(&q, deliver_of(t->request));
	return query_run_into(&q, made);
}

static int keep_request(struct sql *s, const struct store_later *t)
{
	struct query q;

	query_init(&q, s, "INSERT INTO requests (id, body) VALUES (?, ?)");
	query_id(&q, &t->id);
	query_blob(&q, t->request);
	return query_run(&q);
}

/* What it waits for may have ended before this was written. */
static int catch_up(struct sql *s, struct arena *a, const struct store_later *t)
{
	struct store_task previous;
	bool found, is_complete, has_due = false;
	int rc;

	if (t->waits == STORE_WAITS_BATCH) {
		rc = sql_batch_is_complete(s, &t->waits_for, &found, &is_complete);
		return rc < 0 || !is_complete
			       ? rc
			       : sql_end_release(s, a, &t->waits_for, 1, t->created_at_ms, &has_due);
	}
	rc = sql_task_load(s, a, &t->waits_for, 0, &previous);
	if (rc < 0 || previous.presence == STORE_ABSENT || !task_state_is_terminal(previous.state))
		return rc;
	if (previous.presence == STORE_PRESENT && previous.state == TASK_SUCCEEDED)
		return sql_end_release(s, a, &t->waits_for, 1, t->created_at_ms, &has_due);
	rc = sql_end_task(s, a, &t->id, TASK_CANCELED, "previous_failed",
		slice_text("the task that it waited for did not succeed"), t->created_at_ms);
	/* Inserted again, it may have ended long since. */
	return rc == -ENOENT ? 0 : rc;
}

/* What is there already was said twice, and is done once. */
static int insert_rest(struct sql *s, const struct store_later *t)
{
	int rc = keep_request(s, t);

	if (rc == 0)
		rc = sql_task_changed(s, &t->id);
	if (rc == 0 && t->waits == STORE_WAITS_NOT)
		rc = sql_due_task(s, &t->id, t->tenant, 1, t->due_at_ms, t->created_at_ms);
	return rc;
}

/* First all of them, as a chain may name a later one of the same call as the one to wait for. */
static int insert_all(struct sql *s, struct arena *a, const struct store_later *tasks, size_t len)
{
	int64_t *made = arena_alloc(a, len, sizeof *made);
	int rc = made ? 0 : -ENOMEM;

	for (size_t i = 0; i < len && rc == 0; i++)
		rc = insert_row(s, &tasks[i], &made[i]);
	if (rc == 0)
		rc = sql_settle(s);
	for (size_t i = 0; i < len && rc == 0; i++)
		if (made[i])
			rc = insert_rest(s, &tasks[i]);
	return rc;
}

static size_t awaited(const struct store_later *tasks, size_t len, enum store_wait waits, struct id *ids)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (tasks[i].waits == waits)
			ids[n++] = tasks[i].waits_for;
	return n;
}

/* What these wait for ends before this, or after. */
static int hold_awaited(struct sql *s, const struct store_later *tasks, size_t len, struct id *ids)
{
	int rc = sql_lock_tasks(s, ids, awaited(tasks, len, STORE_WAITS_TASK, ids));

	return rc < 0 ? rc : sql_batch_lock(s, ids, awaited(tasks, len, STORE_WAITS_BATCH, ids));
}

/* Held, so that it stays there until this is written. */
static int is_awaited_gone(struct sql *s, struct arena *a, const struct store_later *t, bool *out)
{
	struct store_task previous = {0};
	bool found = false, is_complete;
	int rc;

	if (t->waits == STORE_WAITS_BATCH) {
		rc = sql_batch_lock(s, &t->waits_for, 1);
		if (rc == 0)
			rc = sql_batch_is_complete(s, &t->waits_for, &found, &is_complete);
		*out = rc == 0 && !found;
		return rc;
	}
	rc = sql_lock_tasks(s, &t->waits_for, 1);
	if (rc == 0)
		rc = sql_task_load(s, a, &t->waits_for, 0, &previous);
	*out = rc == 0 && previous.presence != STORE_PRESENT;
	return rc;
}

static int is_any_gone(
	struct sql *s, struct arena *a, const struct store_later *tasks, size_t len, bool *is_gone)
{
	int rc = 0;

	*is_gone = false;
	for (size_t i = 0; i < len && rc == 0 && !*is_gone; i++)
		if (tasks[i].needs_awaited)
			rc = is_awaited_gone(s, a, &tasks[i], is_gone);
	return rc;
}

int sql_later_insert(
	struct backend *b, struct arena *a, const struct store_later *tasks, size_t len, bool *is_gone)
{
	struct sql *s = sql_of(b);
	struct id *ids = arena_alloc(a, len, sizeof *ids);
	int rc = ids ? sql_lock_chains(s, ids, awaited(tasks, len, STORE_WAITS_TASK, ids), true) : -ENOMEM;

	if (rc == 0)
		rc = is_any_gone(s, a, tasks, len, is_gone);
	if (rc < 0 || *is_gone)
		return rc;
	rc = insert_all(s, a, tasks, len);
	if (rc == 0)
		rc = hold_awaited(s, tasks, len, ids);
	for (size_t i = 0; i < len && rc == 0; i++)
		if (tasks[i].waits != STORE_WAITS_NOT)
			rc = catch_up(s, a, &tasks[i]);
	return rc;
}

/* ---- taking back ---- */

/* Only what nothing happened to yet: what was released or has run meanwhile was published after all. */
#define UNTOUCHED "id = ?1 AND state = 0 AND rank = 0 AND (is_waiting = 1 OR waits = 0)"

static const char *const undo[] = {
	("DELETE FROM requests WHERE id = ?1 AND EXISTS (SELECT 1 FROM tasks WHERE " UNTOUCHED ")"),
	("DELETE FROM due WHERE task_id = ?1 AND channel = 'task' AND EXISTS "
	 "(SELECT 1 FROM tasks WHERE " UNTOUCHED ")"),
	("DELETE FROM tasks WHERE " UNTOUCHED),
};

int sql_later_undo(struct backend *b, const struct id *ids, size_t len)
{
	int rc = sql_lock_tasks(sql_of(b), ids, len);

	for (size_t i = 0; i < len && rc == 0; i++) {
		for (size_t j = 0; j < sizeof undo / sizeof *undo && rc == 0; j++) {
			struct query q;

			query_init(&q, sql_of(b), undo[j]);
			query_id(&q, &ids[i]);
			rc = query_run(&q);
		}
	}
	return rc;
}

/* ---- canceling ---- */

/* Somebody is publishing it right now: only the processors can stop it. */
static int is_being_published(struct sql *s, const struct id *id, int64_t now_ms, bool *out)
{
	struct query q;
	int rc;

	/* Whoever is about to lease one holds it: its owner is read when he has done so. */
	query_init(&q, s,
		"SELECT owner, ready_at FROM due WHERE task_id = ? AND channel = 'task' /*pg:ORDER BY row FOR UPDATE*/");
	query_id(&q, id);
	*out = false;
	while ((rc = query_next(&q)) == 1)
		*out |= !row_is_null(&q, 0) && row_int(&q, 1) > now_ms;
	return rc;
}

int sql_task_cancel(
	struct backend *b, struct arena *a, const struct id *id, int64_t now_ms, enum store_cancel *out)
{
	struct sql *s = sql_of(b);
	struct store_task t = {0};
	bool is_leased = false;
	int rc = sql_lock_tasks(s, id, 1);

	if (rc == 0)
		rc = sql_task_load(s, a, id, 0, &t);
	if (rc == 0)
		rc = is_being_published(s, id, now_ms, &is_leased);
	if (rc < 0)
		return rc;
	*out = STORE_CANCEL_NOT_HERE;
	if (t.presence == STORE_TOMBSTONE || (t.presence == STORE_PRESENT && task_state_is_terminal(t.state)))
		*out = STORE_CANCEL_TOO_LATE;
	else if (t.presence == STORE_PRESENT && t.state == TASK_SCHEDULED && !is_leased)
		*out = STORE_CANCEL_DONE;
	if (*out != STORE_CANCEL_DONE)
		return 0;
	return sql_end_task(
		s, a, id, TASK_CANCELED, "canceled", slice_text("canceled before it ran"), now_ms);
}
