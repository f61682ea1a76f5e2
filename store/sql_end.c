/*
 * How tasks end and what follows from it: their deliveries become rows, their batches count them, what waited for them becomes
 * due or is canceled with all that waits in turn. Chains can be long, so they are worked off turn by turn and not by
 * recursion: all that ended in one turn is asked about at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/deliver.h"
#include "store/sql.h"

/* What waits for a task or a batch, and what it takes to end it. */
struct waiting {
	struct id id, waits_for, batch;
	struct slice tenant, task, deliver;
};

struct waiting_list {
	struct waiting *items;
	size_t len, cap;
};

static int add_waiting(struct waiting_list *list, struct arena *a, const struct query *q)
{
	struct waiting *items = list->items;
	size_t cap = list->cap ? 2 * list->cap : 16;

	if (list->len == list->cap) {
		items = arena_alloc(a, cap, sizeof *items);
		if (!items)
			return -ENOMEM;
		if (list->len)
			memcpy(items, list->items, list->len * sizeof *items);
		list->items = items;
		list->cap = cap;
	}
	items[list->len++] = (struct waiting){
		.id = row_id(q, 0),
		.tenant = row_copy(q, 1, a),
		.waits_for = row_id(q, 2),
		.batch = row_id(q, 3),
		.deliver = row_copy(q, 4, a),
		.task = row_copy(q, 5, a),
	};
	return a->has_failed ? -ENOMEM : 0;
}

/* Read to the end before anything is changed: a statement must not walk what another one moves. */
static int list_waiting(
	struct sql *s, struct arena *a, const struct id *ids, size_t len, struct waiting_list *list)
{
	struct query q;
	int rc;

	*list = (struct waiting_list){0};
	if (len == 0)
		return 0;
	query_init(&q, s,
		"SELECT id, tenant, waits_for, batch, deliver, task FROM tasks "
		"WHERE waits_for = /*pg:ANY*/ (?) AND is_waiting = 1 /*pg:ORDER BY id FOR UPDATE*/");
	query_each(&q, ids, len);
	while ((rc = query_next(&q)) == 1) {
		rc = add_waiting(list, a, &q);
		if (rc < 0) {
			query_done(&q);
			return rc;
		}
	}
	return rc;
}

static int release(struct sql *s, const struct waiting *w, int64_t now_ms)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"UPDATE tasks SET is_waiting = 0, due_at = ?, sweep_at = ?, rev = rev + 1 WHERE id = ?");
	query_int(&q, now_ms);
	query_int(&q, lifetime_of_unfinished(&s->lifetime, now_ms));
	query_id(&q, &w->id);
	rc = query_run(&q);
	if (rc == 0)
		rc = sql_task_changed(s, &w->id);
	return rc < 0 ? rc : sql_due_task(s, &w->id, w->tenant, 1, now_ms, now_ms);
}

int sql_end_release(
	struct sql *s, struct arena *a, const struct id *ids, size_t len, int64_t now_ms, bool *has_due)
{
	struct waiting_list list;
	int rc = list_waiting(s, a, ids, len, &list);

	for (size_t i = 0; i < list.len && rc == 0; i++) {
		*has_due = true;
		rc = release(s, &list.items[i], now_ms);
	}
	return rc;
}

/* ---- ending by our own decision ---- */

struct reason {
	enum task_state state;
	const char *error_type;
	struct slice message;
	int64_t now_ms;
};

static int make_end(struct sql *s, struct arena *a, const struct waiting *w, const struct reason *why,
	struct sql_end *end)
{
	struct delivery *deliveries = NULL;
	int rc;

	*end = (struct sql_end){
		.id = w->id,
		.state = why->state,
		.now_ms = why->now_ms,
		.tenant = w->tenant,
		.batch = w->batch,
	};
	rc = deliver_select(w->deliver, why->state, a, &deliveries, &end->deliveries_len);
	/* It was checked when it came; should it be broken all the same, the task must end nevertheless. */
	if (rc == 0 || rc == -EBADMSG)
		rc = sql_endpoints_choose(
			s, a, end->tenant, w->task, why->state, &deliveries, &end->deliveries_len);
	end->deliveries = deliveries;
	return rc;
}

static int write_end(struct sql *s, const struct sql_end *end, const struct reason *why)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"UPDATE tasks SET state = ?, finished_at = ?, sweep_at = ?, pending = ?, error_type = ?, "
		"error_message = ?, error_retryable = 0, error_status = 0, error_data = NULL, deliver = NULL, "
		"is_waiting = 0, wants_previous = CASE WHEN ? <> 0 THEN 0 ELSE wants_previous END, rev = rev + 1 WHERE id = ?");
	query_int(&q, end->state);
	query_int(&q, end->now_ms);
	query_int(&q, lifetime_of_content(&s->lifetime, end->now_ms));
	query_int(&q, (int64_t)end->deliveries_len);
	query_text(&q, slice_text(why->error_type));
	query_text(&q, why->message);
	query_int(&q, end->state == TASK_CANCELED);
	query_id(&q, &end->id);
	rc = query_run(&q);
	if (rc == 0)
		rc = sql_task_changed(s, &end->id);
	if (rc < 0 || end->state != TASK_CANCELED)
		return rc;
	query_init(&q, s, "DELETE FROM requests WHERE id = ?");
	query_id(&q, &end->id);
	return query_run(&q);
}

/* ---- what follows ---- */

static int write_rows(struct sql *s, const struct sql_end *end)
{
	int rc = 0;

	if (end->deliveries_len > 0) {
		*end->has_due = true;
		rc = sql_due_deliveries(s, end);
	}
	if (rc == 0 && !end->is_new)
		rc = sql_due_drop(s, &end->id, UINT32_MAX);
	return rc;
}

static int compare_ends(const void *a, const void *b)
{
	return memcmp(((const struct sql_end *)a)->id.bytes, ((const struct sql_end *)b)->id.bytes, ID_LEN);
}

/* What waited in vain ends too: these are the ends of the next turn. */
static int cancel(struct sql *s, struct arena *a, const struct waiting *w, const struct sql_end *before,
	struct sql_end *end)
{
	const struct reason why = {TASK_CANCELED, "previous_failed",
		slice_text("the task that it waited for did not succeed"), before->now_ms};
	int rc = make_end(s, a, w, &why, end);

	end->has_due = before->has_due;
	return rc < 0 ? rc : write_end(s, end, &why);
}

static int follow_waiting(
	struct sql *s, struct arena *a, struct sql_end **ends, size_t *len, const struct waiting_list *list)
{
	struct sql_end *next = arena_alloc(a, list->len, sizeof *next);
	size_t next_len = 0;
	int rc = next ? 0 : -ENOMEM;

	for (size_t i = 0; i < list->len && rc == 0; i++) {
		const struct waiting *w = &list->items[i];
		const struct sql_end *before = bsearch(
			&(struct sql_end){.id = w->waits_for}, *ends, *len, sizeof **ends, compare_ends);

		if (before->state == TASK_SUCCEEDED) {
			*before->has_due = true;
			rc = release(s, w, before->now_ms);
		} else {
			rc = cancel(s, a, w, before, &next[next_len++]);
		}
	}
	*ends = next;
	*len = next_len;
	return rc;
}

static int take_turn(struct sql *s, struct arena *a, struct sql_end **ends, size_t *len)
{
	struct id *ids = arena_alloc(a, *len, sizeof *ids);
	struct waiting_list list = {0};
	int rc = ids ? 0 : -ENOMEM;

	if (rc == 0)
		qsort(*ends, *len, sizeof **ends, compare_ends);
	for (size_t i = 0; i < *len && rc == 0; i++) {
		ids[i] = (*ends)[i].id;
		rc = write_rows(s, &(*ends)[i]);
	}
	if (rc == 0)
		rc = sql_batch_count_ends(s, a, *ends, *len);
	if (rc == 0)
		rc = list_waiting(s, a, ids, *len, &list);
	return rc < 0 ? rc : follow_waiting(s, a, ends, len, &list);
}

int sql_end_follow(struct sql *s, struct arena *a, struct sql_end *ends, size_t len)
{
	int rc = 0;

	while (len > 0 && rc == 0)
		rc = take_turn(s, a, &ends, &len);
	return rc;
}

/* 0 with *out filled, -ENOENT when there is no such unfinished row. */
static int load_unfinished(struct sql *s, struct arena *a, const struct id *id, struct waiting *out)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"SELECT tenant, batch, deliver, task FROM tasks WHERE id = ? AND state < 3 /*pg:FOR UPDATE*/");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		*out = (struct waiting){
			.id = *id,
			.tenant = row_copy(&q, 0, a),
			.batch = row_id(&q, 1),
			.deliver = row_copy(&q, 2, a),
			.task = row_copy(&q, 3, a),
		};
	query_done(&q);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	return a->has_failed ? -ENOMEM : 0;
}

int sql_end_task(struct sql *s, struct arena *a, const struct id *id, enum task_state state,
	const char *error_type, struct slice message, int64_t now_ms)
{
	const struct reason why = {state, error_type, message, now_ms};
	struct waiting task = {0};
	struct sql_end end;
	bool has_due = false;
	int rc = load_unfinished(s, a, id, &task);

	if (rc == 0)
		rc = make_end(s, a, &task, &why, &end);
	if (rc < 0)
		return rc;
	end.has_due = &has_due;
	rc = write_end(s, &end, &why);
	return rc < 0 ? rc : sql_end_follow(s, a, &end, 1);
}
