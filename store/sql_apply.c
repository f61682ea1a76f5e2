/*
 * What events do to tasks: the merge rule, the row, and what hangs on it.
 *
 * A batch is worked off in few turns, as the database may be far away: what is known of all its tasks is read at once, the
 * rows of those that are new are made, and then every event is applied in memory and its row written, in the order of the
 * ids. Somebody else may make the row of a new task at the same moment: then ours is not made, and what was written there
 * counts as known.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/changes.h"
#include "store/deliver.h"
#include "store/merge.h"
#include "store/sql.h"

struct step;

/* A task of the batch. */
struct known {
	struct id id;
	bool exists;
	bool is_gone; /* a tombstone: its story is over */
	bool is_old;  /* enough to have one */
	struct store_task row;
	uint32_t rank;
	uint64_t seq;
	struct slice deliver;	  /* kept from an earlier event */
	const struct step *maker; /* the event that makes its row */
	int64_t made;		  /* rows: 0 when somebody else was first */
};

/* An event of the batch. */
struct step {
	const struct store_event *event;
	struct store_applied *out;
	struct known *known;
	bool has_failed;
	struct merge_position next;
	struct store_task row; /* as it becomes */
	struct delivery *deliveries;
	size_t deliveries_len;
};

struct batch {
	struct sql *s;
	struct arena *a;
	struct step *steps; /* by id, those of one id as they came */
	size_t len;
	struct known *known; /* by id */
	size_t known_len;
	struct sql_end *ends;
	size_t ends_len;
};

/* ---- the batch ---- */

static int compare_steps(const void *a, const void *b)
{
	const struct store_event *x = ((const struct step *)a)->event, *y = ((const struct step *)b)->event;
	int order = memcmp(x->id.bytes, y->id.bytes, ID_LEN);

	return order ? order : (x > y) - (x < y);
}

static int compare_known(const void *id, const void *known)
{
	return memcmp(((const struct id *)id)->bytes, ((const struct known *)known)->id.bytes, ID_LEN);
}

static struct known *find_known(const struct batch *b, const struct id *id)
{
	return bsearch(id, b->known, b->known_len, sizeof *b->known, compare_known);
}

/* No task can have outlived its finish by result_ttl yet; the clocks of those who mint and sweep may differ. */
static bool is_too_young_for_tombstone(const struct sql *s, const struct store_event *e)
{
	enum { CLOCKS_DIFFER_MS = 5 * 60 * 1000 };

	return lifetime_of_content(&s->lifetime, (int64_t)id_time_ms(&e->id)) - CLOCKS_DIFFER_MS > e->at_ms;
}

static void note_task(struct batch *b, struct step *st)
{
	struct known *last = b->known_len ? &b->known[b->known_len - 1] : NULL;

	if (!last || !id_is_equal(&last->id, &st->event->id)) {
		last = &b->known[b->known_len++];
		last->id = st->event->id;
	}
	last->is_old |= !is_too_young_for_tombstone(b->s, st->event);
	st->known = last;
}

static int collect(struct batch *b, const struct store_event *events, struct store_applied *out)
{
	b->steps = arena_alloc(b->a, b->len, sizeof *b->steps);
	b->known = arena_alloc(b->a, b->len, sizeof *b->known);
	b->ends = arena_alloc(b->a, b->len, sizeof *b->ends);
	if (!b->steps || !b->known || !b->ends)
		return -ENOMEM;
	for (size_t i = 0; i < b->len; i++) {
		b->steps[i] = (struct step){.event = &events[i], .out = &out[i]};
		out[i] = (struct store_applied){0};
	}
	qsort(b->steps, b->len, sizeof *b->steps, compare_steps);
	for (size_t i = 0; i < b->len; i++)
		note_task(b, &b->steps[i]);
	return 0;
}

/* ---- what is known ---- */

typedef bool pick_fn(const struct known *k);

/* The ids of those tasks, in an array of the arena. */
static int pick(const struct batch *b, pick_fn *is_wanted, struct id **ids, size_t *len)
{
	*len = 0;
	*ids = arena_alloc(b->a, b->known_len, sizeof **ids);
	if (!*ids)
		return -ENOMEM;
	for (size_t i = 0; i < b->known_len; i++)
		if (is_wanted(&b->known[i]))
			(*ids)[(*len)++] = b->known[i].id;
	return 0;
}

static void read_known(const struct query *q, struct arena *a, struct known *k)
{
	k->exists = true;
	sql_task_read(q, a, &k->row);
	k->rank = (uint32_t)row_int(q, 30);
	k->seq = (uint64_t)row_int(q, 31);
	k->deliver = row_copy(q, 32, a);
}

/* And holds them: they are about to be written. */
static int load(const struct batch *b, pick_fn *is_wanted)
{
	struct query q;
	struct id *ids;
	size_t len;
	int rc = pick(b, is_wanted, &ids, &len);

	if (rc < 0 || len == 0)
		return rc;
	query_init(&q, b->s,
		"SELECT " SQL_TASK_COLUMNS ", rank, seq, deliver FROM tasks WHERE id = /*pg:ANY*/ (?) "
		"/*pg:ORDER BY id FOR UPDATE*/");
	query_each(&q, ids, len);
	while ((rc = query_next(&q)) == 1) {
		const struct id id = row_id(&q, 0);

		read_known(&q, b->a, find_known(b, &id));
	}
	return rc < 0 ? rc : b->a->has_failed ? -ENOMEM : 0;
}

static int load_tombstones(const struct batch *b, pick_fn *is_wanted)
{
	struct query q;
	struct id *ids;
	size_t len;
	int rc = pick(b, is_wanted, &ids, &len);

	if (rc < 0 || len == 0)
		return rc;
	query_init(&q, b->s, "SELECT id, state FROM tombstones WHERE id = /*pg:ANY*/ (?)");
	query_each(&q, ids, len);
	while ((rc = query_next(&q)) == 1) {
		const struct id id = row_id(&q, 0);
		struct known *k = find_known(b, &id);

		k->is_gone = true;
		k->row.state = (enum task_state)row_int(&q, 1);
	}
	return rc;
}

static bool is_any(const struct known *k)
{
	return true;
}

static bool may_be_gone(const struct known *k)
{
	return !k->exists && k->is_old;
}

static bool was_lost(const struct known *k)
{
	return k->maker && k->made == 0;
}

static struct merge_position position(const struct known *k)
{
	return (struct merge_position){
		.state = k->row.state,
		.attempt = k->row.attempt,
		.rank = k->rank,
		.seq = k->seq,
		.exists = k->exists,
	};
}

/* ---- the row ---- */

static bool is_terminal(const struct step *st)
{
	return task_state_is_terminal(st->next.state);
}

static int64_t sweep_at(const struct sql *s, const struct step *st)
{
	const struct store_event *e = st->event;

	if (is_terminal(st))
		return lifetime_of_content(&s->lifetime, e->at_ms);
	return lifetime_of_unfinished(&s->lifetime, e->kind == STORE_EVENT_RETRY ? e->retry_at_ms : e->at_ms);
}

static int64_t finished_at(const struct step *st)
{
	if (!is_terminal(st))
		return 0;
	return st->event->finished_at_ms ? st->event->finished_at_ms : st->event->at_ms;
}

static struct slice deliver_left(const struct step *st)
{
	if (is_terminal(st))
		return slice_of(NULL, 0);
	return slice_is_set(st->event->deliver) ? st->event->deliver : st->known->deliver;
}

/* A result that is there but bears no type still has to read as one. */
static struct slice content_type(const struct store_event *e)
{
	if (e->kind != STORE_EVENT_SUCCEEDED || !slice_is_set(e->result))
		return slice_of(NULL, 0);
	return slice_is_set(e->content_type) ? e->content_type : slice_text("application/octet-stream");
}

static struct store_task born(const struct store_event *e)
{
	return (struct store_task){
		.presence = STORE_PRESENT,
		.id = e->id,
		.tenant = e->tenant,
		.task = e->task,
		.created_at_ms = (int64_t)id_time_ms(&e->id),
		.metadata = e->metadata,
		.batch = e->batch,
		.retry_of = e->retry_of,
	};
}

/* A request that comes back from its run has what came before in it; one that is dropped lacks nothing. */
static bool wants_previous(const struct step *st)
{
	const struct store_event *e = st->event;

	if (e->kind == STORE_EVENT_SUCCEEDED || e->kind == STORE_EVENT_CANCELED || slice_is_set(e->request))
		return false;
	return st->row.wants_previous;
}

/*
 * What an event does not say stays as it was, but for what belongs to one attempt: the next one begins without progress
 * and error.
 */
static void make_row(struct step *st)
{
	const struct store_event *e = st->event;
	struct store_task *row = &st->row;

	*row = st->known->exists ? st->known->row : born(e);
	if (row->attempt != st->next.attempt || slice_is_set(e->progress))
		row->progress = e->progress;
	row->state = st->next.state;
	row->attempt = st->next.attempt;
	row->rev++;
	if (e->kind == STORE_EVENT_RETRY)
		row->due_at_ms = e->retry_at_ms;
	if (e->started_at_ms)
		row->started_at_ms = e->started_at_ms;
	row->finished_at_ms = finished_at(st);
	if (slice_is_set(e->worker))
		row->worker = e->worker;
	row->error = e->error;
	row->content_type = content_type(e);
	row->result_len = (int64_t)e->result.len;
	row->result_is_json = e->result_is_json;
	row->deliveries_pending = (uint32_t)st->deliveries_len;
	row->wants_previous = wants_previous(st);
}

static void bind_error(struct query *q, const struct store_error *e)
{
	query_text(q, e->type);
	query_text(q, e->message);
	query_int(q, e->retryable);
	query_int(q, e->status);
	query_text(q, e->data);
}

/* The parameters that the two statements below have in common. */
static void bind_common(struct query *q, const struct step *st)
{
	const struct store_task *row = &st->row;

	query_id(q, &row->id);
	query_int(q, row->state);
	query_int(q, row->attempt);
	query_int(q, st->next.rank);
	query_int(q, (int64_t)st->next.seq);
	query_int(q, (int64_t)row->rev);
	query_int(q, row->due_at_ms);
	query_int(q, row->started_at_ms);
	query_int(q, row->finished_at_ms);
	query_int(q, sweep_at(q->s, st));
	query_int(q, row->deliveries_pending);
	query_text(q, row->progress);
	query_text(q, row->worker);
	bind_error(q, &row->error);
	query_text(q, row->content_type);
	query_int(q, row->result_len);
	query_int(q, row->result_is_json);
	query_text(q, deliver_left(st));
}

static int insert_row(const struct batch *b, struct step *st)
{
	const struct store_task *row = &st->row;
	struct query q;

	query_init(&q, b->s,
		"INSERT INTO tasks (id, state, attempt, rank, seq, rev, due_at, started_at, finished_at, sweep_at, "
		"pending, progress, worker, error_type, error_message, error_retryable, error_status, error_data, "
		"content_type, result_len, result_is_json, deliver, tenant, task, metadata, batch, retry_of, "
		"created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
		"ON CONFLICT (id) DO NOTHING");
	bind_common(&q, st);
	query_text(&q, row->tenant);
	query_text(&q, row->task);
	query_text(&q, row->metadata);
	query_id(&q, &row->batch);
	query_id(&q, &row->retry_of);
	query_int(&q, row->created_at_ms);
	return query_run_into(&q, &st->known->made);
}

static int update_row(const struct batch *b, const struct step *st)
{
	struct query q;

	query_init(&q, b->s,
		"UPDATE tasks SET state = ?2, attempt = ?3, rank = ?4, seq = ?5, rev = ?6, due_at = ?7, "
		"started_at = ?8, finished_at = ?9, sweep_at = ?10, pending = ?11, progress = ?12, worker = ?13, "
		"error_type = ?14, error_message = ?15, error_retryable = ?16, error_status = ?17, error_data = ?18, "
		"content_type = ?19, result_len = ?20, result_is_json = ?21, deliver = ?22, "
		"is_waiting = 0, wants_previous = ?23 WHERE id = ?1");
	bind_common(&q, st);
	query_int(&q, st->row.wants_previous);
	return query_run(&q);
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

static int write_bodies(struct sql *s, const struct step *st, bool is_new)
{
	const struct store_event *e = st->event;

	if (e->kind == STORE_EVENT_SUCCEEDED && slice_is_set(e->result)) {
		int rc = put_body(s, "INSERT INTO results (id, body) VALUES (?, ?)", &e->id, e->result);
		if (rc < 0)
			return rc;
	}
	if (e->kind == STORE_EVENT_SUCCEEDED || e->kind == STORE_EVENT_CANCELED)
		return is_new ? 0 : drop_request(s, &e->id);
	if (slice_is_set(e->request))
		return put_body(s,
			"INSERT INTO requests (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
			&e->id, e->request);
	return 0;
}

/* ---- who follows it ---- */

static struct slice told_result(const struct store_event *e)
{
	bool is_told = e->kind == STORE_EVENT_SUCCEEDED && e->result_is_json &&
		       e->result.len <= STORE_CHANGE_RESULT_MAX;

	return is_told ? e->result : slice_of(NULL, 0);
}

static void tell(const struct batch *b, const struct store_task *row, struct slice result)
{
	struct store_task told = *row;

	told.result = result;
	if (b->s->base.changes)
		changes_add_copy(b->s->base.changes, &told);
}

/* ---- what follows ---- */

static void note_end(struct batch *b, const struct step *st, bool is_new)
{
	b->ends[b->ends_len++] = (struct sql_end){
		.id = st->row.id,
		.batch = id_is_zero(&st->row.batch) ? st->event->batch : st->row.batch,
		.tenant = st->row.tenant,
		.state = st->row.state,
		.now_ms = st->event->at_ms,
		.deliveries = st->deliveries,
		.deliveries_len = st->deliveries_len,
		.is_new = is_new,
		.has_due = &st->out->has_due,
	};
}

static int follow(struct batch *b, const struct step *st, const struct known *before)
{
	const struct store_event *e = st->event;
	int rc = 0;

	if (is_terminal(st)) {
		note_end(b, st, !before->exists);
		return 0;
	}
	/* Its reply proves that this attempt was published. */
	if (before->exists && before->row.state == TASK_SCHEDULED)
		rc = sql_due_drop(b->s, &e->id, e->attempt);
	if (rc < 0 || e->kind != STORE_EVENT_RETRY)
		return rc;
	st->out->has_due = true;
	return sql_due_task(b->s, &e->id, st->row.tenant, e->attempt + 1, e->retry_at_ms, e->at_ms);
}

static int choose_deliveries(const struct batch *b, struct step *st)
{
	const struct known *k = st->known;
	struct slice text = slice_is_set(st->event->deliver) ? st->event->deliver : k->deliver;
	struct slice tenant = k->exists ? k->row.tenant : st->event->tenant;
	int rc;

	st->deliveries = NULL;
	st->deliveries_len = 0;
	if (!is_terminal(st))
		return 0;
	rc = deliver_select(text, st->next.state, b->a, &st->deliveries, &st->deliveries_len);
	if (rc < 0)
		return rc;
	return sql_endpoints_choose(
		b->s, b->a, tenant, st->event->task, st->next.state, &st->deliveries, &st->deliveries_len);
}

/* 1: the event counts and st->row is what becomes of the task; 0: it says nothing new. */
static int merge(const struct batch *b, struct step *st)
{
	const struct merge_position now = position(st->known);
	int rc;

	if (st->known->is_gone || !merge_event(&now, st->event, &st->next))
		return 0;
	rc = choose_deliveries(b, st);
	if (rc < 0)
		return rc;
	make_row(st);
	return 1;
}

/* ---- the course of a batch ---- */

static int fail(struct step *st)
{
	st->has_failed = true;
	*st->out = (struct store_applied){.rc = -EBADMSG};
	return 0;
}

static int make_new_row(const struct batch *b, struct step *st)
{
	struct known *k = st->known;
	int rc;

	if (k->exists || k->is_gone || k->maker)
		return 0;
	rc = merge(b, st);
	if (rc != 1)
		return rc == -EBADMSG ? fail(st) : rc;
	k->maker = st;
	return insert_row(b, st);
}

static int make_new_rows(const struct batch *b)
{
	int rc = 0;

	for (size_t i = 0; i < b->len && rc == 0; i++)
		rc = make_new_row(b, &b->steps[i]);
	if (rc == 0 && b->s->driver->is_shared)
		rc = sql_settle(b->s);
	return rc < 0 ? rc : load(b, was_lost);
}

/* The row is written: what it was before tells what follows. */
static int adopt(struct batch *b, struct step *st)
{
	const struct known before = *st->known;
	int rc;

	st->known->exists = true;
	st->known->row = st->row;
	st->known->rank = st->next.rank;
	st->known->seq = st->next.seq;
	st->known->deliver = deliver_left(st);
	*st->out = (struct store_applied){.has_changed = true, .rev = st->row.rev, .state = st->row.state};
	tell(b, &st->row, told_result(st->event));
	rc = write_bodies(b->s, st, !before.exists);
	return rc < 0 ? rc : follow(b, st, &before);
}

static int apply_step(struct batch *b, struct step *st)
{
	struct known *k = st->known;
	int rc;

	if (st->has_failed)
		return 0;
	if (k->maker == st && k->made)
		return adopt(b, st);
	rc = merge(b, st);
	if (rc < 0)
		return rc == -EBADMSG ? fail(st) : rc;
	if (rc == 1) {
		rc = update_row(b, st);
		return rc < 0 ? rc : adopt(b, st);
	}
	*st->out = (struct store_applied){.rev = k->row.rev, .state = k->row.state};
	/* Said before, and whoever heard it then may have died before it told those who follow the task. */
	if (!k->is_gone)
		tell(b, &k->row, slice_of(NULL, 0));
	return 0;
}

/* Whoever inserts what waits for these tasks is to come before or after their end, not beside it. */
static int lock_chains(const struct batch *b)
{
	struct id *ids = arena_alloc(b->a, b->len, sizeof *ids);
	size_t len = 0;

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < b->len; i++)
		if (b->steps[i].event->has_next && b->steps[i].event->kind >= STORE_EVENT_SUCCEEDED)
			ids[len++] = b->steps[i].event->id;
	return sql_lock_chains(b->s, ids, len, false);
}

static int apply(struct sql *s, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out)
{
	struct batch b = {.s = s, .a = a, .len = len};
	int rc = collect(&b, events, out);

	if (rc == 0)
		rc = lock_chains(&b);
	if (rc == 0)
		rc = load(&b, is_any);
	if (rc == 0)
		rc = load_tombstones(&b, may_be_gone);
	if (rc == 0)
		rc = make_new_rows(&b);
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = apply_step(&b, &b.steps[i]);
	return rc < 0 ? rc : sql_end_follow(s, a, b.ends, b.ends_len);
}

/* One event that can fail alone: what it wrote is taken back and the others stand. */
static int apply_marked(
	struct sql *s, struct arena *a, const struct store_event *e, struct store_applied *out)
{
	const struct backend_type *t = s->base.type;
	size_t changed = changes_len(s->base.changes);
	int rc = t->mark(&s->base);

	if (rc == 0)
		rc = apply(s, a, e, 1, out);
	if (rc == 0)
		rc = t->mark_keep(&s->base);
	if (rc == -EBADMSG) {
		changes_cut(s->base.changes, changed);
		*out = (struct store_applied){.rc = -EBADMSG};
		rc = t->mark_undo(&s->base);
	}
	return rc;
}

/* A mark for each event costs as much as its rows, so they are set only when one turned out to fail. */
int sql_apply(struct backend *b, struct arena *a, const struct store_event *events, size_t len,
	struct store_applied *out)
{
	size_t changed = changes_len(b->changes);
	int rc = b->type->mark(b);

	if (rc == 0)
		rc = apply(sql_of(b), a, events, len, out);
	if (rc == 0)
		rc = b->type->mark_keep(b);
	if (rc == -EBADMSG) {
		changes_cut(b->changes, changed);
		rc = b->type->mark_undo(b);
		for (size_t i = 0; i < len && rc == 0; i++)
			rc = apply_marked(sql_of(b), a, &events[i], &out[i]);
	}
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}
