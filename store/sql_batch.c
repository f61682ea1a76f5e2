#include <errno.h>

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

static int state_of(struct sql *s, const struct id *id, enum task_state *out)
{
	struct query q;
	int rc;

	*out = TASK_QUEUED;
	query_init(&q, s,
		"SELECT state FROM tasks WHERE id = ?1 UNION ALL SELECT state FROM tombstones WHERE id = ?1 LIMIT 1");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		*out = (enum task_state)row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

int sql_batch_states(struct sql *s, struct slice ids, uint32_t by_state[TASK_STATES])
{
	int rc = 0;

	memset(by_state, 0, TASK_STATES * sizeof *by_state);
	for (size_t at = 0; at + ID_LEN <= ids.len && rc == 0; at += ID_LEN) {
		enum task_state state;
		struct id id;

		memcpy(id.bytes, ids.data + at, ID_LEN);
		rc = state_of(s, &id, &state);
		if (rc == 0)
			by_state[state]++;
	}
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

/*
 * Until now everything that ended was counted, also what the gateway could not say of whether it was accepted. From here
 * on only the accepted ones count, so those that ended before are counted afresh.
 */
int sql_batch_seal(struct backend *b, struct arena *a, const struct id *id, const struct id *accepted,
	size_t len, struct slice document, int64_t now_ms)
{
	struct sql *s = sql_of(b);
	struct slice ids = slice_of(accepted, len * sizeof *accepted);
	uint32_t by_state[TASK_STATES];
	bool has_due = false;
	struct query q;
	int rc = sql_batch_states(s, ids, by_state);

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
	if (rc < 0 || query_changes(&q) == 0 || ended(by_state) < len)
		return rc;
	return sql_end_release(s, a, id, now_ms, &has_due);
}

static bool has_item(struct slice ids, const struct id *item)
{
	for (size_t at = 0; at + ID_LEN <= ids.len; at += ID_LEN)
		if (memcmp(ids.data + at, item->bytes, ID_LEN) == 0)
			return true;
	return false;
}

int sql_batch_count_end(struct sql *s, struct arena *a, const struct id *batch, const struct id *item,
	int64_t now_ms, bool *has_due)
{
	bool counts, is_last;
	struct query q;
	int rc;

	query_init(&q, s, "SELECT sealed, total, done, ids FROM batches WHERE id = ?");
	query_id(&q, batch);
	rc = query_next(&q);
	if (rc <= 0)
		return rc;
	counts = row_int(&q, 0) == 0 || has_item(row_slice(&q, 3), item);
	is_last = row_int(&q, 0) == 1 && row_int(&q, 2) + 1 == row_int(&q, 1);
	query_done(&q);
	if (!counts)
		return 0;
	query_init(&q, s, "UPDATE batches SET done = done + 1 WHERE id = ?");
	query_id(&q, batch);
	rc = query_run(&q);
	if (rc < 0 || !is_last)
		return rc;
	return sql_end_release(s, a, batch, now_ms, has_due);
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
	return a->has_failed ? -ENOMEM : sql_batch_states(sql_of(b), out->batch.ids, out->by_state);
}
