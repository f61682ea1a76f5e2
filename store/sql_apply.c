/*
 * What events do to tasks: the merge rule, the row, and what hangs on it, one savepoint an event.
 */
#include <errno.h>

#include "store/changes.h"
#include "store/deliver.h"
#include "store/merge.h"
#include "store/sql.h"

/* What the row says before the event. */
struct known {
	struct merge_position at;
	uint64_t rev;
	bool is_gone; /* a tombstone: its story is over */
	struct id batch;
	struct slice deliver, tenant;
};

struct step {
	struct sql *s;
	struct arena *a;
	const struct store_event *event;
	struct known known;
	struct merge_position next;
	struct delivery *deliveries;
	size_t deliveries_len;
};

/* ---- what is known ---- */

static int find_tombstone(struct sql *s, const struct id *id, struct known *k)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT state FROM tombstones WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	k->is_gone = rc == 1;
	if (k->is_gone)
		k->at.state = (enum task_state)row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

/* No task can have outlived its finish by result_ttl yet; the clocks of those who mint and sweep may differ. */
static bool is_too_young_for_tombstone(const struct sql *s, const struct store_event *e)
{
	enum { CLOCKS_DIFFER_MS = 5 * 60 * 1000 };

	return lifetime_of_content(&s->lifetime, (int64_t)id_time_ms(&e->id)) - CLOCKS_DIFFER_MS > e->at_ms;
}

static int look_up(struct sql *s, struct arena *a, const struct store_event *e, struct known *k)
{
	struct query q;
	int rc;

	*k = (struct known){0};
	query_init(&q, s,
		"SELECT state, attempt, rank, seq, rev, batch, deliver, tenant FROM tasks WHERE id = ?");
	query_id(&q, &e->id);
	rc = query_next(&q);
	if (rc == 0)
		return is_too_young_for_tombstone(s, e) ? 0 : find_tombstone(s, &e->id, k);
	if (rc == 1) {
		k->at = (struct merge_position){
			.state = (enum task_state)row_int(&q, 0),
			.attempt = (uint32_t)row_int(&q, 1),
			.rank = (uint32_t)row_int(&q, 2),
			.seq = (uint64_t)row_int(&q, 3),
			.exists = true,
		};
		k->rev = (uint64_t)row_int(&q, 4);
		k->batch = row_id(&q, 5);
		k->deliver = row_copy(&q, 6, a);
		k->tenant = row_copy(&q, 7, a);
	}
	query_done(&q);
	return rc < 0 ? rc : 0;
}

/* ---- the row ---- */

static bool is_terminal(const struct step *st)
{
	return task_state_is_terminal(st->next.state);
}

static int64_t sweep_at(const struct step *st)
{
	const struct store_event *e = st->event;

	if (is_terminal(st))
		return lifetime_of_content(&st->s->lifetime, e->at_ms);
	return lifetime_of_unfinished(
		&st->s->lifetime, e->kind == STORE_EVENT_RETRY ? e->retry_at_ms : e->at_ms);
}

static int64_t finished_at(const struct step *st)
{
	if (!is_terminal(st))
		return 0;
	return st->event->finished_at_ms ? st->event->finished_at_ms : st->event->at_ms;
}

static void bind_error(struct query *q, const struct store_error *e)
{
	query_text(q, e->type);
	query_text(q, e->message);
	query_int(q, e->retryable);
	query_int(q, e->status);
	query_text(q, e->data);
}

static struct slice deliver_left(const struct step *st)
{
	if (is_terminal(st))
		return slice_of(NULL, 0);
	return slice_is_set(st->event->deliver) ? st->event->deliver : st->known.deliver;
}

/* A result that is there but bears no type still has to read as one. */
static struct slice content_type(const struct store_event *e)
{
	if (e->kind != STORE_EVENT_SUCCEEDED || !slice_is_set(e->result))
		return slice_of(NULL, 0);
	return slice_is_set(e->content_type) ? e->content_type : slice_text("application/octet-stream");
}

/* The parameters that the two statements below have in common. */
static void bind_common(struct query *q, const struct step *st)
{
	const struct store_event *e = st->event;

	query_id(q, &e->id);
	query_int(q, st->next.state);
	query_int(q, st->next.attempt);
	query_int(q, st->next.rank);
	query_int(q, (int64_t)st->next.seq);
	query_int(q, (int64_t)st->known.rev + 1);
	query_int(q, e->kind == STORE_EVENT_RETRY ? e->retry_at_ms : 0);
	query_int(q, e->started_at_ms);
	query_int(q, finished_at(st));
	query_int(q, sweep_at(st));
	query_int(q, (int64_t)st->deliveries_len);
	query_text(q, e->progress);
	query_text(q, e->worker);
	bind_error(q, &e->error);
	query_text(q, content_type(e));
	query_int(q, (int64_t)e->result.len);
	query_int(q, e->result_is_json);
	query_text(q, deliver_left(st));
}

/* ---- who follows it ---- */

static struct slice told_result(const struct store_event *e)
{
	bool is_told = e->kind == STORE_EVENT_SUCCEEDED && e->result_is_json &&
		       e->result.len <= STORE_CHANGE_RESULT_MAX;

	return is_told ? e->result : slice_of(NULL, 0);
}

/* What a new row says, without reading it back: most tasks have no other. */
static void tell_inserted(const struct step *st)
{
	const struct store_event *e = st->event;
	struct store_task task = {
		.presence = STORE_PRESENT,
		.id = e->id,
		.tenant = e->tenant,
		.task = e->task,
		.state = st->next.state,
		.attempt = st->next.attempt,
		.created_at_ms = (int64_t)id_time_ms(&e->id),
		.due_at_ms = e->kind == STORE_EVENT_RETRY ? e->retry_at_ms : 0,
		.started_at_ms = e->started_at_ms,
		.finished_at_ms = finished_at(st),
		.rev = st->known.rev + 1,
		.progress = e->progress,
		.metadata = e->metadata,
		.worker = e->worker,
		.error = e->error,
		.content_type = content_type(e),
		.result_len = (int64_t)e->result.len,
		.result_is_json = e->result_is_json,
		.result = told_result(e),
		.batch = e->batch,
		.retry_of = e->retry_of,
		.deliveries_pending = (uint32_t)st->deliveries_len,
	};

	if (st->s->base.changes)
		changes_add_copy(st->s->base.changes, &task);
}

/* ---- writing the row ---- */

static int insert_row(const struct step *st)
{
	const struct store_event *e = st->event;
	struct query q;
	int rc;

	query_init(&q, st->s,
		"INSERT INTO tasks (id, state, attempt, rank, seq, rev, due_at, started_at, finished_at, sweep_at, "
		"pending, progress, worker, error_type, error_message, error_retryable, error_status, error_data, "
		"content_type, result_len, result_is_json, deliver, tenant, task, metadata, batch, retry_of, "
		"created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_common(&q, st);
	query_text(&q, e->tenant);
	query_text(&q, e->task);
	query_text(&q, e->metadata);
	query_id(&q, &e->batch);
	query_id(&q, &e->retry_of);
	query_int(&q, (int64_t)id_time_ms(&e->id));
	rc = query_run(&q);
	if (rc == 0)
		tell_inserted(st);
	return rc;
}

/*
 * What an event does not say stays as it was, but for what belongs to one attempt: the next one begins without progress
 * and error. After its first run a request has what came before in it already.
 */
static int update_row(const struct step *st)
{
	struct changes *changes = st->s->base.changes;
	struct store_task task;
	struct query q;
	int rc;

	query_init(&q, st->s,
		"UPDATE tasks SET state = ?2, rank = ?4, seq = ?5, rev = ?6, due_at = CASE WHEN ?7 <> 0 THEN ?7 ELSE due_at END, "
		"started_at = CASE WHEN ?8 <> 0 THEN ?8 ELSE started_at END, finished_at = ?9, sweep_at = ?10, pending = ?11, "
		"progress = CASE WHEN attempt = ?3 THEN coalesce(?12, progress) ELSE ?12 END, worker = coalesce(?13, worker), "
		"error_type = ?14, error_message = ?15, error_retryable = ?16, error_status = ?17, error_data = ?18, "
		"content_type = ?19, result_len = ?20, result_is_json = ?21, deliver = ?22, attempt = ?3, "
		"is_waiting = 0, wants_previous = 0 WHERE id = ?1 RETURNING " SQL_TASK_COLUMNS);
	bind_common(&q, st);
	while ((rc = query_next(&q)) == 1) {
		if (!changes)
			continue;
		sql_task_read(&q, &changes->arena, &task);
		task.result = arena_copy(&changes->arena, told_result(st->event));
		changes_add(changes, &task);
	}
	return rc;
}

static int put_body(struct sql *s, const char *text, const struct id *id, struct slice body)
{
	struct query q;

	query_init(&q, s, text);
	query_id(&q, id);
	query_blob(&q, body);
	return query_run(&q);
}

static int drop_request(struct sql *s, const struct id *id)
{
	struct query q;

	query_init(&q, s, "DELETE FROM requests WHERE id = ?");
	query_id(&q, id);
	return query_run(&q);
}

static int write_bodies(const struct step *st)
{
	const struct store_event *e = st->event;

	if (e->kind == STORE_EVENT_SUCCEEDED && slice_is_set(e->result)) {
		int rc = put_body(st->s, "INSERT INTO results (id, body) VALUES (?, ?)", &e->id, e->result);
		if (rc < 0)
			return rc;
	}
	if (e->kind == STORE_EVENT_SUCCEEDED || e->kind == STORE_EVENT_CANCELED)
		return st->known.at.exists ? drop_request(st->s, &e->id) : 0;
	if (slice_is_set(e->request))
		return put_body(st->s,
			"INSERT INTO requests (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
			&e->id, e->request);
	return 0;
}

/* ---- what follows ---- */

static int schedule_retry(const struct step *st, bool *has_due)
{
	const struct store_event *e = st->event;
	struct slice tenant = st->known.at.exists ? st->known.tenant : e->tenant;

	*has_due = true;
	return sql_due_task(st->s, &e->id, tenant, e->attempt + 1, e->retry_at_ms, e->at_ms);
}

static int follow_end(const struct step *st, bool *has_due)
{
	const struct store_event *e = st->event;
	const struct sql_end end = {
		.id = e->id,
		.batch = id_is_zero(&st->known.batch) ? e->batch : st->known.batch,
		.tenant = st->known.at.exists ? st->known.tenant : e->tenant,
		.state = st->next.state,
		.now_ms = e->at_ms,
		.deliveries = st->deliveries,
		.deliveries_len = st->deliveries_len,
		.is_new = !st->known.at.exists,
	};

	return sql_end_follow(st->s, st->a, &end, has_due);
}

static int follow(const struct step *st, bool *has_due)
{
	int rc = 0;

	if (is_terminal(st))
		return follow_end(st, has_due);
	/* Its reply proves that this attempt was published. */
	if (st->known.at.exists && st->known.at.state == TASK_SCHEDULED)
		rc = sql_due_drop(st->s, &st->event->id, st->event->attempt);
	if (rc == 0 && st->event->kind == STORE_EVENT_RETRY)
		rc = schedule_retry(st, has_due);
	return rc;
}

static int choose_deliveries(struct step *st)
{
	struct slice text = slice_is_set(st->event->deliver) ? st->event->deliver : st->known.deliver;
	struct slice tenant = st->known.at.exists ? st->known.tenant : st->event->tenant;
	int rc;

	if (!is_terminal(st))
		return 0;
	rc = deliver_select(text, st->next.state, st->a, &st->deliveries, &st->deliveries_len);
	if (rc < 0)
		return rc;
	return sql_endpoints_choose(st->s, st->a, tenant, st->event->task, st->next.state, &st->deliveries,
		&st->deliveries_len);
}

static int apply_one(struct sql *s, struct arena *a, const struct store_event *e, struct store_applied *out)
{
	struct step st = {.s = s, .a = a, .event = e};
	bool has_due = false;
	int rc = look_up(s, a, e, &st.known);

	if (rc < 0)
		return rc;
	*out = (struct store_applied){.rev = st.known.rev, .state = st.known.at.state};
	if (st.known.is_gone)
		return 0;
	/* Said before, and whoever heard it then may have died before it told those who follow the task. */
	if (!merge_event(&st.known.at, e, &st.next))
		return sql_task_changed(s, &e->id);
	rc = choose_deliveries(&st);
	if (rc == 0)
		rc = st.known.at.exists ? update_row(&st) : insert_row(&st);
	if (rc == 0)
		rc = write_bodies(&st);
	if (rc == 0)
		rc = follow(&st, &has_due);
	*out = (struct store_applied){
		.has_changed = true, .has_due = has_due, .rev = st.known.rev + 1, .state = st.next.state};
	return rc;
}

/* One event that can fail alone: what it wrote is taken back and the others stand. */
static int apply_marked(
	struct sql *s, struct arena *a, const struct store_event *e, struct store_applied *out)
{
	size_t changed = changes_len(s->base.changes);
	int rc = sql_run(s, "SAVEPOINT event");

	if (rc < 0)
		return rc;
	rc = apply_one(s, a, e, out);
	if (rc == -EBADMSG) {
		changes_cut(s->base.changes, changed);
		*out = (struct store_applied){.rc = -EBADMSG};
		rc = sql_run(s, "ROLLBACK TO SAVEPOINT event");
	}
	return rc < 0 ? rc : sql_run(s, "RELEASE SAVEPOINT event");
}

typedef int apply_fn(struct sql *s, struct arena *a, const struct store_event *e, struct store_applied *out);

static int apply_each(struct sql *s, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out, apply_fn *apply)
{
	int rc = 0;

	for (size_t i = 0; i < len && rc == 0; i++)
		rc = apply(s, a, &events[i], &out[i]);
	return rc;
}

/* A mark for each event costs as much as its rows, so they are set only when one turned out to fail. */
int sql_apply(struct backend *b, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out)
{
	struct sql *s = sql_of(b);
	size_t changed = changes_len(b->changes);
	int rc = sql_run(s, "SAVEPOINT events");

	if (rc == 0)
		rc = apply_each(s, a, events, len, out, apply_one);
	if (rc == -EBADMSG) {
		changes_cut(b->changes, changed);
		rc = sql_run(s, "ROLLBACK TO SAVEPOINT events");
		if (rc == 0)
			rc = apply_each(s, a, events, len, out, apply_marked);
	}
	if (rc == 0)
		rc = sql_run(s, "RELEASE SAVEPOINT events");
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}
