/*
 * Dead letters, and the sweep: what the passing of time alone does. Each part takes at most `limit` rows by an index on
 * the time at which they are to be looked at.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/sql.h"

int sql_dead_letter_add(struct backend *b, const struct store_dead_letter *d)
{
	struct query q;

	query_init(&q, sql_of(b), "INSERT INTO dead_letters (at, queue, reason, body) VALUES (?, ?, ?, ?)");
	query_int(&q, d->at_ms);
	query_text(&q, slice_is_set(d->queue) ? d->queue : slice_text(""));
	query_text(&q, slice_is_set(d->reason) ? d->reason : slice_text(""));
	query_blob(&q, slice_is_set(d->body) ? d->body : slice_text(""));
	return query_run(&q);
}

struct sweep {
	struct sql *s;
	struct arena *a;
	int64_t now_ms;
	size_t limit;
	struct store_sweep *out;
};

struct found {
	struct id id;
	struct slice tenant;
	enum task_state state;
	bool is_waiting;
	enum store_wait waits;
	struct id waits_for, batch;
};

static int run_for(struct sql *s, const char *text, const struct id *id)
{
	struct query q;

	query_init(&q, s, text);
	query_id(&q, id);
	return query_run(&q);
}

static int look_again(const struct sweep *w, const struct id *id)
{
	struct query q;

	query_init(&q, w->s, "UPDATE tasks SET sweep_at = ? WHERE id = ?");
	query_int(&q, w->now_ms + LIFETIME_RECHECK_MS);
	query_id(&q, id);
	return query_run(&q);
}

/* ---- finished tasks ---- */

/* Those of one sweep, by id. */
struct finished {
	const struct found **items;
	struct id *ids;
	bool *is_wanted;
	size_t len;
};

static int compare_found(const void *a, const void *b)
{
	const struct found *x = *(const struct found *const *)a, *y = *(const struct found *const *)b;

	return memcmp(x->id.bytes, y->id.bytes, ID_LEN);
}

static int collect_finished(
	const struct sweep *w, const struct found *found, size_t len, struct finished *out)
{
	*out = (struct finished){
		.items = arena_alloc(w->a, len, sizeof *out->items),
		.ids = arena_alloc(w->a, len, sizeof *out->ids),
		.is_wanted = arena_alloc(w->a, len, sizeof *out->is_wanted),
	};
	if (!out->items || !out->ids || !out->is_wanted)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		if (task_state_is_terminal(found[i].state))
			out->items[out->len++] = &found[i];
	if (out->len > 1)
		qsort(out->items, out->len, sizeof *out->items, compare_found);
	for (size_t i = 0; i < out->len; i++)
		out->ids[i] = out->items[i]->id;
	return 0;
}

/* A next step that is still to run, or can be retried without ever having run, wants one's result as its `previous`. */
static int find_wanted(const struct sweep *w, const struct finished *f)
{
	struct query q;
	int rc;

	query_init(&q, w->s,
		"SELECT waits_for FROM tasks INDEXED BY tasks_wanting "
		"WHERE waits_for = /*pg:ANY*/ (?) AND wants_previous = 1");
	query_each(&q, f->ids, f->len);
	while ((rc = query_next(&q)) == 1) {
		const struct found key = {.id = row_id(&q, 0)}, *at = &key;
		const struct found **found = bsearch(&at, f->items, f->len, sizeof *f->items, compare_found);

		f->is_wanted[found - f->items] = true;
	}
	return rc;
}

static const char *const contents[] = {
	"DELETE FROM results WHERE id = /*pg:ANY*/ (?)",
	"DELETE FROM requests WHERE id = /*pg:ANY*/ (?)",
	"DELETE FROM attempts WHERE row IN (SELECT row FROM due WHERE task_id = /*pg:ANY*/ (?))",
	"DELETE FROM due WHERE task_id = /*pg:ANY*/ (?)",
	"DELETE FROM tasks WHERE id = /*pg:ANY*/ (?)",
};

/* Its batch counts one by its tombstone, however late it ended, and keeps that for as long as it is there itself. */
static int64_t forget_at(const struct sweep *w, const struct found *f)
{
	int64_t by_id_ms = lifetime_of_id(&w->s->lifetime, &f->id);

	if (id_is_zero(&f->batch))
		return by_id_ms;
	return (by_id_ms > w->now_ms ? by_id_ms : w->now_ms) + 2 * LIFETIME_RECHECK_MS;
}

static int bury(const struct sweep *w, const struct found *f)
{
	int64_t forget_ms = forget_at(w, f);
	struct query q;

	if (forget_ms <= w->now_ms)
		return 0;
	query_init(&q, w->s,
		"INSERT INTO tombstones (id, tenant, state, forget_at) VALUES (?, ?, ?, ?) "
		"ON CONFLICT (id) DO UPDATE SET state = excluded.state, forget_at = excluded.forget_at");
	query_id(&q, &f->id);
	query_text(&q, f->tenant);
	query_int(&q, f->state);
	query_int(&q, forget_ms);
	return query_run(&q);
}

static int run_for_each(struct sql *s, const char *text, const struct id *ids, size_t len)
{
	struct query q;

	query_init(&q, s, text);
	query_each(&q, ids, len);
	return query_run(&q);
}

static int drop_contents(const struct sweep *w, const struct id *ids, size_t len)
{
	int rc = 0;

	if (len == 0)
		return 0;
	for (size_t i = 0; i < sizeof contents / sizeof *contents && rc == 0; i++)
		rc = run_for_each(w->s, contents[i], ids, len);
	w->out->expired += len;
	return rc;
}

static int sweep_finished(const struct sweep *w, const struct found *found, size_t len)
{
	struct finished f;
	size_t dropped = 0;
	int rc = collect_finished(w, found, len, &f);

	if (rc < 0 || f.len == 0)
		return rc;
	rc = find_wanted(w, &f);
	for (size_t i = 0; i < f.len && rc == 0; i++) {
		if (f.is_wanted[i]) {
			rc = look_again(w, &f.ids[i]);
		} else {
			rc = bury(w, f.items[i]);
			f.ids[dropped++] = f.ids[i];
		}
	}
	return rc < 0 ? rc : drop_contents(w, f.ids, dropped);
}

/* ---- unfinished tasks ---- */

static int is_row_unfinished(const struct sweep *w, const struct id *id, bool *out)
{
	struct store_task t;
	int rc = sql_task_load(w->s, w->a, id, 0, &t);

	*out = rc == 0 && t.presence == STORE_PRESENT && !task_state_is_terminal(t.state);
	return rc;
}

/* Does the statement find a row for one of these ids? */
static int find_any(const struct sweep *w, const char *text, struct slice ids, bool *out)
{
	struct query q;
	int rc;

	*out = false;
	if (ids.len < ID_LEN)
		return 0;
	query_init(&q, w->s, text);
	query_each(&q, (const struct id *)ids.data, ids.len / ID_LEN);
	rc = query_next(&q);
	*out = rc == 1;
	query_done(&q);
	return rc < 0 ? rc : 0;
}

/* An item without a row at this age was lost with its message, or never sent. */
static int is_batch_alive(const struct sweep *w, const struct id *id, bool *out)
{
	struct slice ids = {0};
	struct query q;
	int rc;

	query_init(&q, w->s, "SELECT ids FROM batches WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		ids = row_copy(&q, 0, w->a);
	query_done(&q);
	if (rc < 0)
		return rc;
	return find_any(w, "SELECT 1 FROM tasks WHERE id = /*pg:ANY*/ (?) AND state < 3", ids, out);
}

static int check_waiting(const struct sweep *w, const struct found *f)
{
	bool is_alive;
	int rc = f->waits == STORE_WAITS_BATCH ? is_batch_alive(w, &f->waits_for, &is_alive)
					       : is_row_unfinished(w, &f->waits_for, &is_alive);

	if (rc < 0 || is_alive)
		return rc < 0 ? rc : look_again(w, &f->id);
	w->out->died++;
	return sql_end_task(w->s, w->a, &f->id, TASK_CANCELED, "previous_failed",
		slice_text("what it waited for never came to an end"), w->now_ms);
}

static int expire(const struct sweep *w, const struct found *f)
{
	w->out->died++;
	return sql_end_task(w->s, w->a, &f->id, TASK_DEAD, "expired",
		slice_text("nothing was heard of it within its lifetime"), w->now_ms);
}

/* A cascade earlier in this sweep may have ended it, or moved its time. */
static int is_still_due(const struct sweep *w, const struct id *id, bool *out)
{
	struct query q;
	int rc;

	query_init(&q, w->s, "SELECT 1 FROM tasks WHERE id = ? AND sweep_at <= ? AND pending = 0");
	query_id(&q, id);
	query_int(&q, w->now_ms);
	rc = query_next(&q);
	*out = rc == 1;
	query_done(&q);
	return rc < 0 ? rc : 0;
}

static int sweep_unfinished(const struct sweep *w, const struct found *f)
{
	bool is_due;
	int rc = is_still_due(w, &f->id, &is_due);

	if (rc < 0 || !is_due)
		return rc;
	return f->is_waiting ? check_waiting(w, f) : expire(w, f);
}

static int find_tasks(const struct sweep *w, struct found *found, size_t *len)
{
	struct query q;
	int rc;

	*len = 0;
	query_init(&q, w->s,
		"SELECT id, tenant, state, is_waiting, waits, waits_for, batch FROM tasks INDEXED BY tasks_to_sweep "
		"WHERE sweep_at <= ? AND pending = 0 ORDER BY sweep_at LIMIT ? /*pg:FOR UPDATE SKIP LOCKED*/");
	query_int(&q, w->now_ms);
	query_int(&q, (int64_t)w->limit);
	while ((rc = query_next(&q)) == 1)
		found[(*len)++] = (struct found){
			.id = row_id(&q, 0),
			.tenant = row_copy(&q, 1, w->a),
			.state = (enum task_state)row_int(&q, 2),
			.is_waiting = row_int(&q, 3) != 0,
			.waits = (enum store_wait)row_int(&q, 4),
			.waits_for = row_id(&q, 5),
			.batch = row_id(&q, 6),
		};
	return rc < 0 ? rc : w->a->has_failed ? -ENOMEM : 0;
}

static int sweep_tasks(const struct sweep *w)
{
	struct found *found = arena_alloc(w->a, w->limit, sizeof *found);
	size_t len;
	int rc = found ? find_tasks(w, found, &len) : -ENOMEM;

	if (rc < 0)
		return rc;
	w->out->has_more |= len == w->limit;
	rc = sweep_finished(w, found, len);
	for (size_t i = 0; i < len && rc == 0; i++)
		if (!task_state_is_terminal(found[i].state))
			rc = sweep_unfinished(w, &found[i]);
	return rc;
}

/* ---- deliveries that nobody takes ---- */

struct stale {
	struct id row;
	struct slice channel;
};

static int find_stale(
	const struct sweep *w, struct slice channel, struct id *rows, struct id *tasks, size_t *len)
{
	struct query q;
	int rc;

	*len = 0;
	query_init(&q, w->s,
		"SELECT row, task_id FROM due INDEXED BY due_ready WHERE channel = ? AND ready_at <= ? LIMIT ?");
	query_text(&q, channel);
	query_int(&q, w->now_ms - lifetime_of_unfinished(&w->s->lifetime, 0));
	query_int(&q, (int64_t)w->limit);
	while ((rc = query_next(&q)) == 1) {
		rows[*len] = row_id(&q, 0);
		tasks[(*len)++] = row_id(&q, 1);
	}
	return rc;
}

static int sweep_channel(const struct sweep *w, struct slice channel, struct id *rows, struct id *tasks)
{
	size_t len;
	int rc = find_stale(w, channel, rows, tasks, &len);

	if (rc == 0)
		rc = sql_lock_tasks(w->s, tasks, len);
	w->out->has_more |= len == w->limit;
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = sql_due_bury(w->s, &rows[i], w->now_ms, "nobody delivered it within task_ttl");
	return rc;
}

/* Publishing is bounded by the task's own lifetime. */
static int sweep_deliveries(const struct sweep *w)
{
	struct id *rows = arena_alloc(w->a, w->limit, sizeof *rows);
	struct id *tasks = arena_alloc(w->a, w->limit, sizeof *tasks);
	struct slice channel = slice_text("");
	int rc;

	if (!rows || !tasks)
		return -ENOMEM;
	while ((rc = sql_due_next_channel(w->s, w->a, channel, &channel)) == 1) {
		if (!slice_is_text(channel, "task"))
			rc = sweep_channel(w, channel, rows, tasks);
		if (rc < 0)
			break;
	}
	return rc < 0 ? rc : 0;
}

/* ---- what is simply forgotten ---- */

static const struct {
	const char *text;
	int64_t age_ms;
} forgotten[] = {
	{"DELETE FROM tombstones WHERE id IN "
	 "(SELECT id FROM tombstones WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)",
		0},
	{"DELETE FROM claims WHERE (tenant, key) IN "
	 "(SELECT tenant, key FROM claims WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
		0},
	{"DELETE FROM dead_letters WHERE seq IN "
	 "(SELECT seq FROM dead_letters WHERE at <= ? ORDER BY at LIMIT ?)",
		LIFETIME_DEAD_LETTER_MS},
};

static int forget(const struct sweep *w, const char *text, int64_t until_ms)
{
	struct query q;
	int rc;

	query_init(&q, w->s, text);
	query_int(&q, until_ms);
	query_int(&q, (int64_t)w->limit);
	rc = query_run(&q);
	if (rc < 0)
		return rc;
	w->out->forgotten += (uint64_t)query_changes(&q);
	w->out->has_more |= (size_t)query_changes(&q) == w->limit;
	return 0;
}

/* A batch stays as long as one of its tasks is known, or one that waits for it or wants it as its `previous`. */
static int has_rows(const struct sweep *w, const struct id *id, struct slice ids, bool *out)
{
	struct slice self = slice_of(id->bytes, ID_LEN);
	int rc = find_any(w, "SELECT 1 FROM tasks WHERE id = /*pg:ANY*/ (?)", ids, out);

	if (rc == 0 && !*out)
		rc = find_any(w, "SELECT 1 FROM tasks WHERE waits_for = /*pg:ANY*/ (?) AND is_waiting = 1",
			self, out);
	if (rc == 0 && !*out)
		rc = find_any(w,
			"SELECT 1 FROM tasks WHERE waits_for = /*pg:ANY*/ (?) AND wants_previous = 1", self,
			out);
	return rc;
}

/* Beyond the next look at their batch, and further, so that this seldom writes. */
static int keep_tombstones(const struct sweep *w, struct slice ids)
{
	struct query q;

	if (ids.len < ID_LEN)
		return 0;
	query_init(&q, w->s,
		"UPDATE tombstones SET forget_at = ?2 WHERE id = /*pg:ANY*/ (?1) AND forget_at < ?3");
	query_each(&q, (const struct id *)ids.data, ids.len / ID_LEN);
	query_int(&q, w->now_ms + 24 * LIFETIME_RECHECK_MS);
	query_int(&q, w->now_ms + 2 * LIFETIME_RECHECK_MS);
	return query_run(&q);
}

static int sweep_batch(const struct sweep *w, const struct id *id, struct slice ids)
{
	bool is_known;
	struct query q;
	int rc = has_rows(w, id, ids, &is_known);

	if (rc < 0)
		return rc;
	if (!is_known) {
		w->out->forgotten++;
		return run_for(w->s, "DELETE FROM batches WHERE id = ?", id);
	}
	query_init(&q, w->s, "UPDATE batches SET sweep_at = ? WHERE id = ?");
	query_int(&q, w->now_ms + LIFETIME_RECHECK_MS);
	query_id(&q, id);
	rc = query_run(&q);
	return rc < 0 ? rc : keep_tombstones(w, ids);
}

struct batch_found {
	struct id id;
	struct slice ids;
};

static int sweep_batches(const struct sweep *w)
{
	struct batch_found *found = arena_alloc(w->a, w->limit, sizeof *found);
	struct query q;
	size_t len = 0;
	int rc;

	if (!found)
		return -ENOMEM;
	query_init(&q, w->s,
		"SELECT id, ids FROM batches WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ? "
		"/*pg:FOR UPDATE SKIP LOCKED*/");
	query_int(&q, w->now_ms);
	query_int(&q, (int64_t)w->limit);
	while ((rc = query_next(&q)) == 1)
		found[len++] = (struct batch_found){row_id(&q, 0), row_copy(&q, 1, w->a)};
	w->out->has_more |= len == w->limit;
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = sweep_batch(w, &found[i].id, found[i].ids);
	return rc;
}

int sql_sweep(struct backend *b, struct arena *a, int64_t now_ms, size_t limit, struct store_sweep *out)
{
	const struct sweep w = {.s = sql_of(b), .a = a, .now_ms = now_ms, .limit = limit, .out = out};
	int rc;

	*out = (struct store_sweep){0};
	rc = sweep_tasks(&w);
	if (rc == 0)
		rc = sweep_deliveries(&w);
	if (rc == 0)
		rc = sweep_batches(&w);
	for (size_t i = 0; i < sizeof forgotten / sizeof *forgotten && rc == 0; i++)
		rc = forget(&w, forgotten[i].text, now_ms - forgotten[i].age_ms);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}
