/*
 * How a task ends and what follows from it: its deliveries become rows, its batch counts it, what waited for it becomes due
 * or is canceled with all that waits in turn. Chains can be long, so they are worked off a list and not by recursion.
 */
#include <errno.h>

#include "store/deliver.h"
#include "store/sql.h"

struct waiting {
	struct waiting *next;
	struct id id;
	struct slice tenant;
};

/* Read to the end before anything is changed: a statement must not walk what another one moves. */
static int list_waiting(struct sql *s, struct arena *a, const struct id *id, struct waiting **list)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT id, tenant FROM tasks WHERE waits_for = ? AND is_waiting = 1");
	query_id(&q, id);
	while ((rc = query_next(&q)) == 1) {
		struct waiting *w = arena_alloc(a, 1, sizeof *w);

		if (!w) {
			query_done(&q);
			return -ENOMEM;
		}
		*w = (struct waiting){.next = *list, .id = row_id(&q, 0), .tenant = row_copy(&q, 1, a)};
		*list = w;
	}
	return rc;
}

static int release_one(struct sql *s, const struct waiting *w, int64_t now_ms)
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

int sql_end_release(struct sql *s, struct arena *a, const struct id *id, int64_t now_ms, bool *has_due)
{
	struct waiting *list = NULL;
	int rc = list_waiting(s, a, id, &list);

	for (; list && rc == 0; list = list->next) {
		*has_due = true;
		rc = release_one(s, list, now_ms);
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

/* 0 with *end filled, -ENOENT when there is no such unfinished row. */
static int load_end(
	struct sql *s, struct arena *a, const struct id *id, const struct reason *why, struct sql_end *end)
{
	struct delivery *deliveries = NULL;
	struct slice deliver, task;
	struct query q;
	int rc;

	query_init(&q, s, "SELECT tenant, batch, deliver, task FROM tasks WHERE id = ? AND state < 3");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	*end = (struct sql_end){
		.id = *id,
		.state = why->state,
		.now_ms = why->now_ms,
		.tenant = row_copy(&q, 0, a),
		.batch = row_id(&q, 1),
	};
	deliver = row_copy(&q, 2, a);
	task = row_copy(&q, 3, a);
	query_done(&q);
	if (a->has_failed)
		return -ENOMEM;
	rc = deliver_select(deliver, why->state, a, &deliveries, &end->deliveries_len);
	/* It was checked when it came; should it be broken all the same, the task must end nevertheless. */
	if (rc == 0 || rc == -EBADMSG)
		rc = sql_endpoints_choose(
			s, a, end->tenant, task, why->state, &deliveries, &end->deliveries_len);
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
		"is_waiting = 0, rev = rev + 1 WHERE id = ?");
	query_int(&q, end->state);
	query_int(&q, end->now_ms);
	query_int(&q, lifetime_of_content(&s->lifetime, end->now_ms));
	query_int(&q, (int64_t)end->deliveries_len);
	query_text(&q, slice_text(why->error_type));
	query_text(&q, why->message);
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

/* Everything but the cascade: what waited in vain is put on the list. */
static int follow_one(
	struct sql *s, struct arena *a, const struct sql_end *end, struct waiting **canceled, bool *has_due)
{
	int rc = 0;

	if (end->deliveries_len > 0) {
		*has_due = true;
		rc = sql_due_deliveries(s, end);
	}
	if (rc == 0 && !end->is_new)
		rc = sql_due_drop(s, &end->id, UINT32_MAX);
	if (rc == 0 && !id_is_zero(&end->batch))
		rc = sql_batch_count_end(s, a, &end->batch, &end->id, end->now_ms, has_due);
	if (rc < 0)
		return rc;
	if (end->state == TASK_SUCCEEDED)
		return sql_end_release(s, a, &end->id, end->now_ms, has_due);
	return list_waiting(s, a, &end->id, canceled);
}

static int cancel_all(struct sql *s, struct arena *a, struct waiting *list, int64_t now_ms, bool *has_due)
{
	const struct reason why = {TASK_CANCELED, "previous_failed",
		slice_text("the task that it waited for did not succeed"), now_ms};
	int rc = 0;

	while (list && rc == 0) {
		struct waiting *w = list;
		struct sql_end end;

		list = w->next;
		rc = load_end(s, a, &w->id, &why, &end);
		if (rc == -ENOENT) {
			rc = 0;
			continue;
		}
		if (rc == 0)
			rc = write_end(s, &end, &why);
		if (rc == 0)
			rc = follow_one(s, a, &end, &list, has_due);
	}
	return rc;
}

int sql_end_follow(struct sql *s, struct arena *a, const struct sql_end *end, bool *has_due)
{
	struct waiting *canceled = NULL;
	int rc = follow_one(s, a, end, &canceled, has_due);

	return rc < 0 ? rc : cancel_all(s, a, canceled, end->now_ms, has_due);
}

int sql_end_task(struct sql *s, struct arena *a, const struct id *id, enum task_state state,
	const char *error_type, struct slice message, int64_t now_ms)
{
	const struct reason why = {state, error_type, message, now_ms};
	struct sql_end end;
	bool has_due = false;
	int rc = load_end(s, a, id, &why, &end);

	if (rc == 0)
		rc = write_end(s, &end, &why);
	return rc < 0 ? rc : sql_end_follow(s, a, &end, &has_due);
}
