#include <errno.h>
#include <stdlib.h>

#include "store/sql.h"

int sql_batch_insert(struct backend *b, const struct id *id, struct slice tenant, int64_t now_ms)
{
	struct sql *s = sql_of(b);
	struct query q;

	query_init(&q, s,
		"INSERT INTO batches (id, tenant, created_at, sweep_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
	query_id(&q, id);
	query_text(&q, tenant);
	query_int(&q, now_ms);
	query_int(&q, lifetime_of_id(&s->lifetime, id));
	return query_run(&q);
}

/* ---- states of its items ---- */

/* Adds what the statement finds of these; those are taken off the list. */
static int count_states(struct sql *s, const char *text, struct arena *a, struct id *ids, size_t *len,
	uint32_t by_state[TASK_STATES])
{
	struct id *left = arena_alloc(a, *len, sizeof *left);
	bool *is_found = arena_alloc(a, *len, sizeof *is_found);
	size_t left_len = 0;
	struct query q;
	int rc;

	if (!left || !is_found)
		return -ENOMEM;
	query_init(&q, s, text);
	query_each(&q, ids, *len);
	while ((rc = query_next(&q)) == 1) {
		const struct id id = row_id(&q, 0),
				*found = bsearch(&id, ids, *len, sizeof *ids, sql_compare_ids);

		is_found[found - ids] = true;
		by_state[row_int(&q, 1)]++;
	}
	for (size_t i = 0; i < *len && rc == 0; i++)
		if (!is_found[i])
			left[left_len++] = ids[i];
	memcpy(ids, left, left_len * sizeof *left);
	*len = left_len;
	return rc;
}

int sql_batch_states(struct sql *s, struct arena *a, struct slice ids, uint32_t by_state[TASK_STATES])
{
	size_t len = ids.len / ID_LEN;
	struct id *sorted = arena_alloc(a, len, sizeof *sorted);
	int rc = sorted ? 0 : -ENOMEM;

	memset(by_state, 0, TASK_STATES * sizeof *by_state);
	if (rc < 0 || len == 0)
		return rc;
	memcpy(sorted, ids.data, len * sizeof *sorted);
	qsort(sorted, len, sizeof *sorted, sql_compare_ids);
	rc = count_states(
		s, "SELECT id, state FROM tasks WHERE id = /*pg:ANY*/ (?)", a, sorted, &len, by_state);
	if (rc == 0 && len > 0)
		rc = count_states(s, "SELECT id, state FROM tombstones WHERE id = /*pg:ANY*/ (?)", a, sorted,
			&len, by_state);
	by_state[TASK_QUEUED] += (uint32_t)len;
	return rc;
}

/* ---- sealing and counting ---- */

static uint32_t ended(const uint32_t by_state[TASK_STATES])
{
	uint32_t n = 0;

	for (int state = 0; state < TASK_STATES; state++)
		if (task_state_is_terminal((enum task_state)state))
			n += by_state[state];
	return n;
}

int sql_batch_lock(struct sql *s, const struct id *ids, size_t len)
{
	return sql_lock(
		s, "SELECT 1 FROM batches WHERE id = /*pg:ANY*/ (?) /*pg:ORDER BY id FOR UPDATE*/", ids, len);
}

/*
 * Until now everything that ended was counted, also what the gateway could not say of whether it was accepted. From here
 * on only the accepted ones count, so those that ended before are counted afresh.
 */
int sql_batch_seal(struct backend *b, struct arena *a, const struct id *id, const struct id *accepted,
	size_t len, struct slice document, int64_t now_ms)
{
	struct sql *s = sql_of(b);
	struct slice ids = slice_of(accepted, len * sizeof *accepted);
	uint32_t by_state[TASK_STATES] = {0};
	bool has_due = false;
	struct query q;
	int rc = sql_batch_lock(s, id, 1);

	if (rc == 0)
		rc = sql_batch_states(s, a, ids, by_state);
	if (rc < 0)
		return rc;
	query_init(&q, s,
		"UPDATE batches SET sealed = 1, total = ?, done = ?, document = ?, ids = ? WHERE id = ? AND sealed = 0");
	query_int(&q, (int64_t)len);
	query_int(&q, ended(by_state));
	query_text(&q, document);
	query_blob(&q, ids);
	query_id(&q, id);
	rc = query_run(&q);
	if (rc == 0)
		rc = (int)query_changes(&q);
	if (rc <= 0 || ended(by_state) < len)
		return rc < 0 ? rc : 0;
	return sql_end_release(s, a, id, 1, now_ms, &has_due);
}

/* One that ended. */
struct item {
	struct id batch;
	const struct sql_end *end;
};

static int compare_items(const void *a, const void *b)
{
	return sql_compare_ids(&((const struct item *)a)->batch, &((const struct item *)b)->batch);
}

static bool has_item(struct slice ids, const struct id *item)
{
	for (size_t at = 0; at + ID_LEN <= ids.len; at += ID_LEN)
		if (memcmp(ids.data + at, item->bytes, ID_LEN) == 0)
			return true;
	return false;
}

static size_t count_accepted(const struct query *q, const struct item *items, size_t len)
{
	bool is_sealed = row_int(q, 1) == 1;
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += !is_sealed || has_item(row_slice(q, 4), &items[i].end->id);
	return n;
}

static int add_done(struct sql *s, const struct id *batch, size_t done)
{
	struct query q;

	if (done == 0)
		return 0;
	query_init(&q, s, "UPDATE batches SET done = done + ? WHERE id = ?");
	query_int(&q, (int64_t)done);
	query_id(&q, batch);
	return query_run(&q);
}

/* The batch of the first of these items, all of which are in it. */
static int count_batch(struct sql *s, const struct item *items, size_t len, bool *is_complete)
{
	struct query q;
	size_t done;
	int rc;

	query_init(&q, s, "SELECT id, sealed, total, done, ids FROM batches WHERE id = ? /*pg:FOR UPDATE*/");
	query_id(&q, &items->batch);
	rc = query_next(&q);
	if (rc <= 0)
		return rc;
	done = count_accepted(&q, items, len);
	*is_complete = row_int(&q, 1) == 1 && done > 0 && row_int(&q, 3) + (int64_t)done == row_int(&q, 2);
	query_done(&q);
	return add_done(s, &items->batch, done);
}

static int count_items(struct sql *s, struct arena *a, const struct item *items, size_t len)
{
	bool is_complete = false;
	int rc = count_batch(s, items, len, &is_complete);

	if (rc < 0 || !is_complete)
		return rc;
	return sql_end_release(s, a, &items->batch, 1, items->end->now_ms, items->end->has_due);
}

int sql_batch_count_ends(struct sql *s, struct arena *a, const struct sql_end *ends, size_t len)
{
	struct item *items = arena_alloc(a, len, sizeof *items);
	size_t items_len = 0, group;
	int rc = items ? 0 : -ENOMEM;

	for (size_t i = 0; i < len && rc == 0; i++)
		if (!id_is_zero(&ends[i].batch))
			items[items_len++] = (struct item){ends[i].batch, &ends[i]};
	if (rc == 0 && items_len > 1)
		qsort(items, items_len, sizeof *items, compare_items);
	for (size_t i = 0; i < items_len && rc == 0; i += group) {
		for (group = 1; i + group < items_len && compare_items(&items[i], &items[i + group]) == 0;
			group++)
			;
		rc = count_items(s, a, &items[i], group);
	}
	return rc;
}

int sql_batch_is_complete(struct sql *s, const struct id *id, bool *found, bool *is_complete)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT sealed = 1 AND done >= total FROM batches WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	*found = rc == 1;
	*is_complete = rc == 1 && row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

/* ---- reading ---- */

int sql_batch_get(struct backend *b, struct arena *a, const struct id *id, struct backend_batch *out)
{
	struct query q;
	int rc;

	*out = (struct backend_batch){.batch = {.id = *id}};
	query_init(&q, sql_of(b),
		"SELECT tenant, created_at, total, done, sealed, document, ids FROM batches WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc <= 0)
		return rc;
	out->batch = (struct store_batch){
		.found = true,
		.id = *id,
		.tenant = row_copy(&q, 0, a),
		.created_at_ms = row_int(&q, 1),
		.total = (uint32_t)row_int(&q, 2),
		.done = (uint32_t)row_int(&q, 3),
		.sealed = row_int(&q, 4) != 0,
		.document = row_copy(&q, 5, a),
		.ids = row_copy(&q, 6, a),
	};
	query_done(&q);
	return a->has_failed ? -ENOMEM : sql_batch_states(sql_of(b), a, out->batch.ids, out->by_state);
}
