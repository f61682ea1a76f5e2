/*
 * Reading tasks.
 */
#include <errno.h>

#include "store/changes.h"
#include "store/sql.h"

void sql_task_read(const struct query *q, struct arena *a, struct store_task *t)
{
	*t = (struct store_task){
		.presence = STORE_PRESENT,
		.id = row_id(q, 0),
		.tenant = row_copy(q, 1, a),
		.task = row_copy(q, 2, a),
		.state = (enum task_state)row_int(q, 3),
		.attempt = (uint32_t)row_int(q, 4),
		.created_at_ms = row_int(q, 5),
		.due_at_ms = row_int(q, 27) ? 0 : row_int(q, 6),
		.started_at_ms = row_int(q, 7),
		.finished_at_ms = row_int(q, 8),
		.rev = (uint64_t)row_int(q, 9),
		.progress = row_copy(q, 10, a),
		.metadata = row_copy(q, 11, a),
		.worker = row_copy(q, 12, a),
		.error = {.type = row_copy(q, 13, a),
			.message = row_copy(q, 14, a),
			.retryable = row_int(q, 15) != 0,
			.status = (int32_t)row_int(q, 16),
			.data = row_copy(q, 17, a)},
		.content_type = row_copy(q, 18, a),
		.result_len = row_int(q, 19),
		.result_is_json = row_int(q, 20) != 0,
		.waits_for = row_id(q, 21),
		.batch = row_id(q, 22),
		.retry_of = row_id(q, 23),
		.deliveries_pending = (uint32_t)row_int(q, 24),
		.deliveries_delivered = (uint32_t)row_int(q, 25),
		.deliveries_dead = (uint32_t)row_int(q, 26),
	};
}

static int load_body(struct sql *s, struct arena *a, const char *text, const struct id *id, struct slice *out)
{
	struct query q;
	int rc;

	query_init(&q, s, text);
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		*out = row_copy(&q, 0, a);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

static bool wants_result(const struct store_task *t, unsigned with)
{
	if (!slice_is_set(t->content_type))
		return false;
	return (with & STORE_WITH_RESULT) || ((with & STORE_WITH_JSON) && t->result_is_json);
}

static int load_bodies(struct sql *s, struct arena *a, unsigned with, struct store_task *t)
{
	int rc = 0;

	if (wants_result(t, with))
		rc = load_body(s, a, "SELECT body FROM results WHERE id = ?", &t->id, &t->result);
	if (rc == 0 && (with & STORE_WITH_REQUEST))
		rc = load_body(s, a, "SELECT body FROM requests WHERE id = ?", &t->id, &t->request);
	return rc;
}

static int load_tombstone(struct sql *s, struct arena *a, const struct id *id, struct store_task *t)
{
	struct query q;
	int rc;

	*t = (struct store_task){.presence = STORE_ABSENT, .id = *id};
	query_init(&q, s, "SELECT tenant, state FROM tombstones WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1) {
		t->presence = STORE_TOMBSTONE;
		t->tenant = row_copy(&q, 0, a);
		t->state = (enum task_state)row_int(&q, 1);
	}
	query_done(&q);
	return rc < 0 ? rc : 0;
}

int sql_task_load(struct sql *s, struct arena *a, const struct id *id, unsigned with, struct store_task *out)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT " SQL_TASK_COLUMNS "FROM tasks WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 0)
		return load_tombstone(s, a, id, out);
	if (rc == 1)
		sql_task_read(&q, a, out);
	query_done(&q);
	if (rc == 1)
		rc = load_bodies(s, a, with, out);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

int sql_task_changed(struct sql *s, const struct id *id)
{
	struct changes *c = s->base.changes;
	struct store_task task;
	int rc = c ? sql_task_load(s, &c->arena, id, 0, &task) : -ENOMEM;

	if (rc == 0 && task.presence == STORE_PRESENT)
		changes_add(c, &task);
	return rc == -ENOMEM ? 0 : rc;
}

int sql_tasks_get(struct backend *b, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out)
{
	int rc = 0;

	for (size_t i = 0; i < len && rc == 0; i++)
		rc = sql_task_load(sql_of(b), a, &ids[i], with, &out[i]);
	return rc;
}

/* ---- lists ---- */

#define LIST(index, where)                                                                       \
	"SELECT " SQL_TASK_COLUMNS "FROM tasks INDEXED BY " index " WHERE id < ?1 AND tenant = ?2 " where \
	"ORDER BY id DESC LIMIT ?3"

static const char *const lists[2][2] = {
	{LIST("tasks_by_tenant", ""), LIST("tasks_by_state", "AND state = ?4 ")},
	{LIST("tasks_by_task", "AND task = ?4 "),
		LIST("tasks_by_task_and_state", "AND task = ?4 AND state = ?5 ")},
};

/* Older than all ones, when there is no cursor: no UUID of version 7 is that high. */
static struct id list_start(const struct store_list_query *q)
{
	struct id top;

	if (!id_is_zero(&q->before))
		return q->before;
	memset(top.bytes, 0xff, ID_LEN);
	return top;
}

int sql_tasks_list(struct backend *b, struct arena *a, const struct store_list_query *query,
	struct store_task *out, size_t *len)
{
	bool has_task = slice_is_set(query->task);
	struct id before = list_start(query);
	struct query q;
	int rc;

	*len = 0;
	query_init(&q, sql_of(b), lists[has_task][query->has_state]);
	query_id(&q, &before);
	query_text(&q, query->tenant);
	query_int(&q, (int64_t)query->limit);
	if (has_task)
		query_text(&q, query->task);
	if (query->has_state)
		query_int(&q, query->state);
	while ((rc = query_next(&q)) == 1)
		sql_task_read(&q, a, &out[(*len)++]);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

/* ---- counts ---- */

struct count_link {
	struct count_link *next;
	struct store_task_count count;
};

static int collect(struct query *q, struct arena *a, struct count_link **first, size_t *len)
{
	struct count_link **end = first;
	int rc;

	while ((rc = query_next(q)) == 1) {
		struct count_link *link = arena_alloc(a, 1, sizeof *link);

		if (!link) {
			query_done(q);
			return -ENOMEM;
		}
		link->count.task = row_copy(q, 0, a);
		link->count.scheduled = (uint64_t)row_int(q, 1);
		link->count.running = (uint64_t)row_int(q, 2);
		*end = link;
		end = &link->next;
		(*len)++;
	}
	return rc;
}

/* From one name to the next by the index: the rows of a name are many, and most have ended. */
static const char count_tasks[] =
	"WITH RECURSIVE names(task) AS ("
	"SELECT min(task) FROM tasks INDEXED BY tasks_by_task WHERE tenant = ?1 "
	"UNION ALL SELECT (SELECT min(t.task) FROM tasks t INDEXED BY tasks_by_task "
	"WHERE t.tenant = ?1 AND t.task > names.task) FROM names WHERE names.task IS NOT NULL), "
	"counts(task, scheduled, running) AS MATERIALIZED (SELECT task, "
	"(SELECT count(*) FROM tasks t INDEXED BY tasks_unfinished "
	"WHERE t.tenant = ?1 AND t.task = names.task AND t.state < 3 AND t.state = 0), "
	"(SELECT count(*) FROM tasks t INDEXED BY tasks_unfinished "
	"WHERE t.tenant = ?1 AND t.task = names.task AND t.state < 3 AND t.state = 2) "
	"FROM names WHERE task IS NOT NULL) "
	"SELECT task, scheduled, running FROM counts ORDER BY scheduled + running = 0, task";

int sql_tasks_count(
	struct backend *b, struct arena *a, struct slice tenant, struct store_task_count **out, size_t *len)
{
	struct count_link *first = NULL;
	struct store_task_count *counts;
	struct query q;
	size_t n = 0;
	int rc;

	query_init(&q, sql_of(b), count_tasks);
	query_text(&q, tenant);
	rc = collect(&q, a, &first, &n);
	if (rc < 0)
		return rc;
	counts = arena_alloc(a, n, sizeof *counts);
	if (!counts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++, first = first->next)
		counts[i] = first->count;
	*out = counts;
	*len = n;
	return a->has_failed ? -ENOMEM : 0;
}
