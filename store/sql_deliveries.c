/*
 * Deliveries as people see them: with every attempt; and those that have ended, sent again.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/deliver.h"
#include "store/sql.h"

enum {
	ROWS_MAX = DELIVER_MAX + STORE_ENDPOINTS_MAX,
	ATTEMPTS_BYTES_MAX = 16 << 20, /* of all attempts in one answer; the rest is left out */
};

#define COLUMNS "row, task_id, channel, target, state, ready_at, made + tries, endpoint, ordinal "

/* ---- reading ---- */

struct found {
	struct store_delivery delivery;
	int64_t ordinal;
};

static void read_row(const struct query *q, struct arena *a, struct found *f)
{
	f->ordinal = row_int(q, 8);
	f->delivery = (struct store_delivery){
		.id = row_id(q, 0),
		.task_id = row_id(q, 1),
		.channel = row_copy(q, 2, a),
		.target = row_copy(q, 3, a),
		.state = (enum store_delivery_state)row_int(q, 4),
		.next_at_ms = row_int(q, 5),
		.attempts_made = (uint32_t)row_int(q, 6),
		.endpoint = row_id(q, 7),
	};
}

static void read_attempt(const struct query *q, struct arena *a, struct store_attempt *t)
{
	*t = (struct store_attempt){
		.number = (uint32_t)row_int(q, 0),
		.at_ms = row_int(q, 1),
		.took_ms = row_int(q, 2),
		.status = (int32_t)row_int(q, 3),
		.error = row_copy(q, 4, a),
		.response = row_copy(q, 5, a),
	};
}

/* The statement gives the newest first. */
static void reverse(struct store_attempt *attempts, size_t len)
{
	for (size_t i = 0; i < len / 2; i++) {
		struct store_attempt t = attempts[i];

		attempts[i] = attempts[len - 1 - i];
		attempts[len - 1 - i] = t;
	}
}

static int load_attempts(struct sql *s, struct arena *a, struct store_delivery *d)
{
	size_t max = d->attempts_made < STORE_ATTEMPTS_MAX ? d->attempts_made : STORE_ATTEMPTS_MAX;
	struct store_attempt *attempts = arena_alloc(a, max, sizeof *attempts);
	struct query q;
	int rc;

	if (max == 0 || a->total > ATTEMPTS_BYTES_MAX)
		return 0;
	if (!attempts)
		return -ENOMEM;
	query_init(&q, s,
		"SELECT number, at, took_ms, status, error, response FROM attempts WHERE row = ? "
		"ORDER BY number DESC LIMIT ?");
	query_id(&q, &d->id);
	query_int(&q, (int64_t)max);
	while ((rc = query_next(&q)) == 1)
		read_attempt(&q, a, &attempts[d->attempts_len++]);
	reverse(attempts, d->attempts_len);
	d->attempts = attempts;
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

static int compare_ordinals(const void *a, const void *b)
{
	int64_t x = ((const struct found *)a)->ordinal, y = ((const struct found *)b)->ordinal;

	return (x > y) - (x < y);
}

static int find_rows(struct sql *s, struct arena *a, const struct id *task, struct found *found, size_t *len)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT " COLUMNS "FROM due WHERE task_id = ? AND channel <> 'task' LIMIT ?");
	query_id(&q, task);
	query_int(&q, ROWS_MAX);
	while ((rc = query_next(&q)) == 1)
		read_row(&q, a, &found[(*len)++]);
	if (rc == 0)
		qsort(found, *len, sizeof *found, compare_ordinals);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

static int load_all(struct sql *s, struct arena *a, const struct id *task, struct backend_deliveries *out)
{
	struct found *found = arena_alloc(a, ROWS_MAX, sizeof *found);
	int rc = found ? find_rows(s, a, task, found, &out->len) : -ENOMEM;

	out->items = rc == 0 ? arena_alloc(a, out->len, sizeof *out->items) : NULL;
	if (rc == 0 && !out->items)
		rc = -ENOMEM;
	for (size_t i = 0; i < out->len && rc == 0; i++) {
		out->items[i] = found[i].delivery;
		rc = load_attempts(s, a, &out->items[i]);
	}
	return rc;
}

int sql_deliveries_get(
	struct backend *b, struct arena *a, const struct id *task, struct backend_deliveries *out)
{
	int rc;

	*out = (struct backend_deliveries){0};
	rc = sql_task_load(sql_of(b), a, task, 0, &out->task);
	if (rc < 0 || out->task.presence != STORE_PRESENT)
		return rc;
	return load_all(sql_of(b), a, task, out);
}

/* 1 when there is such a row. */
static int find_row(struct sql *s, struct arena *a, const struct id *id, struct found *found)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT " COLUMNS "FROM due WHERE row = ? AND channel <> 'task'");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		read_row(&q, a, found);
	query_done(&q);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : rc;
}

int sql_delivery_get(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct backend_deliveries *out)
{
	struct found *found = arena_alloc(a, 1, sizeof *found);
	int rc = found ? find_row(sql_of(b), a, id, found) : -ENOMEM;

	*out = (struct backend_deliveries){0};
	if (rc <= 0)
		return rc;
	rc = sql_task_load(sql_of(b), a, &found->delivery.task_id, 0, &out->task);
	if (rc < 0 || out->task.presence != STORE_PRESENT || !slice_is_equal(out->task.tenant, tenant)) {
		*out = (struct backend_deliveries){0};
		return rc;
	}
	out->items = &found->delivery;
	out->len = 1;
	return load_attempts(sql_of(b), a, out->items);
}

/* ---- again ---- */

static int may_retry(struct sql *s, const struct store_delivery *d, enum store_retry *what)
{
	bool is_enabled = true;
	int rc = 0;

	if (!id_is_zero(&d->endpoint))
		rc = sql_endpoint_is_enabled(s, &d->endpoint, &is_enabled);
	if (d->state == STORE_DELIVERY_PENDING)
		*what = STORE_RETRY_PENDING;
	else
		*what = is_enabled ? STORE_RETRY_DONE : STORE_RETRY_NO_ENDPOINT;
	return rc;
}

int sql_delivery_retry(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	int64_t now_ms, enum store_retry *what, struct backend_deliveries *out)
{
	struct store_delivery *d;
	int rc = sql_delivery_get(b, a, id, tenant, out);

	*what = STORE_RETRY_ABSENT;
	if (rc < 0 || out->len == 0)
		return rc;
	d = out->items;
	rc = may_retry(sql_of(b), d, what);
	if (rc < 0 || *what != STORE_RETRY_DONE)
		return rc;
	rc = sql_lock_tasks(sql_of(b), &d->task_id, 1);
	if (rc == 0)
		rc = sql_due_revive(sql_of(b), id, &d->task_id, d->state, now_ms);
	if (rc < 0)
		return rc;
	if (rc == 0)
		*what = STORE_RETRY_PENDING;
	d->state = STORE_DELIVERY_PENDING;
	d->next_at_ms = now_ms;
	return 0;
}

#define DEAD(where)                                                                                  \
	"SELECT row, task_id FROM due INDEXED BY due_dead WHERE dead_tenant = ?1 AND dead_at >= ?2 " \
	"AND dead_at < ?3 AND dead_at IS NOT NULL AND (endpoint IS NULL OR EXISTS "                  \
	"(SELECT 1 FROM endpoints WHERE endpoints.id = due.endpoint AND is_enabled = 1)) " where     \
	"ORDER BY dead_at LIMIT ?4"

static const char *const dead[2][2] = {
	{DEAD(""), DEAD("AND channel = ?5 ")},
	{DEAD("AND endpoint = ?5 "), DEAD("AND channel = ?5 AND endpoint = ?6 ")},
};

struct dead_rows {
	struct id *rows, *tasks;
	size_t len;
};

static int find_dead(struct sql *s, const struct store_replay *r, struct dead_rows *found)
{
	bool has_channel = slice_is_set(r->channel), has_endpoint = !id_is_zero(&r->endpoint);
	struct query q;
	int rc;

	query_init(&q, s, dead[has_endpoint][has_channel]);
	query_text(&q, r->tenant);
	query_int(&q, r->since_ms);
	query_int(&q, r->until_ms);
	query_int(&q, (int64_t)r->limit + 1);
	if (has_channel)
		query_text(&q, r->channel);
	if (has_endpoint)
		query_id(&q, &r->endpoint);
	while ((rc = query_next(&q)) == 1) {
		found->rows[found->len] = row_id(&q, 0);
		found->tasks[found->len++] = row_id(&q, 1);
	}
	return rc;
}

/* Somebody else may do the same at this moment: each is sent again by one of them. */
int sql_deliveries_replay(
	struct backend *b, struct arena *a, const struct store_replay *r, size_t *count, bool *has_more)
{
	struct sql *s = sql_of(b);
	struct dead_rows found = {
		.rows = arena_alloc(a, r->limit + 1, sizeof *found.rows),
		.tasks = arena_alloc(a, r->limit + 1, sizeof *found.tasks),
	};
	int rc = found.rows && found.tasks ? find_dead(s, r, &found) : -ENOMEM;

	*count = 0;
	*has_more = found.len > r->limit;
	if (*has_more)
		found.len = r->limit;
	if (rc == 0)
		rc = sql_lock_tasks(s, found.tasks, found.len);
	for (size_t i = 0; i < found.len && rc >= 0; i++) {
		rc = sql_due_revive(s, &found.rows[i], &found.tasks[i], STORE_DELIVERY_DEAD, r->now_ms);
		*count += rc == 1;
	}
	return rc < 0 ? rc : 0;
}
