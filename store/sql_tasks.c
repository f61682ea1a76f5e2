/*
 * Reading tasks.
 */
#include <errno.h>
#include <stdlib.h>

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
		.waits = (enum store_wait)row_int(q, 28),
		.wants_previous = row_int(q, 29) != 0,
		.deliveries_pending = (uint32_t)row_int(q, 24),
		.deliveries_delivered = (uint32_t)row_int(q, 25),
		.deliveries_dead = (uint32_t)row_int(q, 26),
	};
}

/* ---- many at once ---- */

/* Where in the answer a task has its place. */
struct place {
	struct id id;
	struct store_task *task;
};

/* Those that are asked for, sorted by id: the same one may be asked for many times, and is read once. */
struct places {
	struct place *items;
	size_t len;
	struct id *ids; /* of these, each once */
	size_t *first;	/* where the items of each begin */
	size_t ids_len;
};

static int compare_places(const void *a, const void *b)
{
	return memcmp(((const struct place *)a)->id.bytes, ((const struct place *)b)->id.bytes, ID_LEN);
}

static int places_init(struct places *p, struct arena *a, size_t max)
{
	*p = (struct places){
		.items = arena_alloc(a, max, sizeof *p->items),
		.ids = arena_alloc(a, max, sizeof *p->ids),
		.first = arena_alloc(a, max, sizeof *p->first),
	};
	return p->items && p->ids && p->first ? 0 : -ENOMEM;
}

static void places_add(struct places *p, struct store_task *task)
{
	p->items[p->len++] = (struct place){task->id, task};
}

static void places_sort(struct places *p)
{
	if (p->len > 1)
		qsort(p->items, p->len, sizeof *p->items, compare_places);
	for (size_t i = 0; i < p->len; i++) {
		if (i > 0 && id_is_equal(&p->items[i].id, &p->items[i - 1].id))
			continue;
		p->first[p->ids_len] = i;
		p->ids[p->ids_len++] = p->items[i].id;
	}
}

/* The first of those that the row is for; others with its id follow. Where each id has its turn, it is known. */
static struct place *places_find(const struct places *p, const struct query *q)
{
	const struct id id = row_id(q, 0);
	const struct id *found = &p->ids[q->each_at];

	if (q->s->driver->bind_ids)
		found = bsearch(&id, p->ids, p->ids_len, sizeof *p->ids, sql_compare_ids);
	return &p->items[p->first[found - p->ids]];
}

/* Takes the row to all places of its id. */
static void put(const struct places *p, const struct query *q, struct arena *a,
	void (*read)(const struct query *q, struct arena *a, struct store_task *t))
{
	struct place *at = places_find(p, q), *first = at;

	read(q, a, at->task);
	while (++at < p->items + p->len && id_is_equal(&at->id, &first->id))
		*at->task = *first->task;
}

static int read_all(struct sql *s, struct arena *a, const char *text, const struct places *p,
	void (*read)(const struct query *q, struct arena *a, struct store_task *t))
{
	struct query q;
	int rc;

	if (p->len == 0)
		return 0;
	query_init(&q, s, text);
	query_each(&q, p->ids, p->ids_len);
	while ((rc = query_next(&q)) == 1)
		put(p, &q, a, read);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

static void read_tombstone(const struct query *q, struct arena *a, struct store_task *t)
{
	t->presence = STORE_TOMBSTONE;
	t->tenant = row_copy(q, 1, a);
	t->state = (enum task_state)row_int(q, 2);
}

static bool is_any_absent(const struct store_task *tasks, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (tasks[i].presence == STORE_ABSENT)
			return true;
	return false;
}

static int load_tombstones(struct sql *s, struct arena *a, struct store_task *tasks, size_t len)
{
	struct places p;
	int rc = places_init(&p, a, len);

	for (size_t i = 0; i < len && rc == 0; i++)
		if (tasks[i].presence == STORE_ABSENT)
			places_add(&p, &tasks[i]);
	if (rc < 0)
		return rc;
	places_sort(&p);
	return read_all(s, a, "SELECT id, tenant, state FROM tombstones WHERE id = /*pg:ANY*/ (?)", &p,
		read_tombstone);
}

static int load_rows(struct sql *s, struct arena *a, const struct id *ids, size_t len, struct store_task *out)
{
	struct places p;
	int rc = places_init(&p, a, len);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < len; i++) {
		out[i] = (struct store_task){.presence = STORE_ABSENT, .id = ids[i]};
		places_add(&p, &out[i]);
	}
	places_sort(&p);
	rc = read_all(
		s, a, "SELECT " SQL_TASK_COLUMNS "FROM tasks WHERE id = /*pg:ANY*/ (?)", &p, sql_task_read);
	return rc < 0 || !is_any_absent(out, len) ? rc : load_tombstones(s, a, out, len);
}

/* ---- bodies ---- */

static bool wants_result(const struct store_task *t, unsigned with)
{
	if (!slice_is_set(t->content_type))
		return false;
	return (with & STORE_WITH_RESULT) || ((with & STORE_WITH_JSON) && t->result_is_json);
}

static bool wants_request(const struct store_task *t, unsigned with)
{
	return t->presence == STORE_PRESENT && (with & STORE_WITH_REQUEST);
}

static struct slice *result_of(struct store_task *t)
{
	return &t->result;
}

static struct slice *request_of(struct store_task *t)
{
	return &t->request;
}

/* One kind of body, for those that have one that is wanted. */
static int load_bodies(struct sql *s, struct arena *a, const char *text, struct store_task *tasks, size_t len,
	unsigned with, bool (*wants)(const struct store_task *t, unsigned with),
	struct slice *(*body_of)(struct store_task *t))
{
	struct places p;
	struct query q;
	int rc = places_init(&p, a, len);

	for (size_t i = 0; i < len && rc == 0; i++)
		if (wants(&tasks[i], with))
			places_add(&p, &tasks[i]);
	if (rc < 0 || p.len == 0)
		return rc;
	places_sort(&p);
	query_init(&q, s, text);
	query_each(&q, p.ids, p.ids_len);
	while ((rc = query_next(&q)) == 1) {
		struct place *at = places_find(&p, &q), *first = at;
		struct slice body = row_copy(&q, 1, a);

		for (; at < p.items + p.len && id_is_equal(&at->id, &first->id); at++)
			*body_of(at->task) = body;
	}
	return rc;
}

int sql_tasks_load_bodies(struct sql *s, struct arena *a, struct store_task *tasks, size_t len, unsigned with)
{
	int rc = 0;

	if (with & (STORE_WITH_RESULT | STORE_WITH_JSON))
		rc = load_bodies(s, a, "SELECT id, body FROM results WHERE id = /*pg:ANY*/ (?)", tasks, len,
			with, wants_result, result_of);
	if (rc == 0 && (with & STORE_WITH_REQUEST))
		rc = load_bodies(s, a, "SELECT id, body FROM requests WHERE id = /*pg:ANY*/ (?)", tasks, len,
			with, wants_request, request_of);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

int sql_tasks_load(struct sql *s, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out)
{
	int rc = load_rows(s, a, ids, len, out);

	return rc < 0 ? rc : sql_tasks_load_bodies(s, a, out, len, with);
}

int sql_task_load(struct sql *s, struct arena *a, const struct id *id, unsigned with, struct store_task *out)
{
	return sql_tasks_load(s, a, id, 1, with, out);
}

int sql_tasks_get(struct backend *b, struct arena *a, const struct id *ids, size_t len, unsigned with,
	struct store_task *out)
{
	return sql_tasks_load(sql_of(b), a, ids, len, with, out);
}

/* ---- who follows them ---- */

int sql_task_changed(struct sql *s, const struct id *id)
{
	if (s->base.changes)
		changes_add_unread(s->base.changes, id);
	return 0;
}

/*
 * A row that was changed `times` in ways that only the database knows. Those changes are told in one with the last that is
 * known: whoever waits for each by itself would wait in vain.
 */
static void tell_read(struct changes *c, size_t told, struct store_task *row, uint32_t times)
{
	struct store_task *last = NULL;

	row->span = times;
	for (size_t i = 0; i < told; i++) {
		if (!id_is_equal(&c->items[i].id, &row->id))
			continue;
		last = &c->items[i];
		row->span++;
	}
	if (last && last->rev == row->rev)
		last->span = row->span;
	else if (row->presence == STORE_PRESENT)
		changes_add(c, row);
}

int sql_changes_read(struct backend *b)
{
	struct changes *c = b->changes;
	struct store_task *tasks = arena_alloc(&c->arena, c->unread_len, sizeof *tasks);
	size_t told = c->len;
	uint32_t times = 0;
	int rc;

	qsort(c->unread, c->unread_len, sizeof *c->unread, sql_compare_ids);
	rc = tasks ? sql_tasks_load(sql_of(b), &c->arena, c->unread, c->unread_len, 0, tasks) : -ENOMEM;
	for (size_t i = 0; i < c->unread_len && rc == 0; i++) {
		times++;
		if (i + 1 < c->unread_len && id_is_equal(&c->unread[i], &c->unread[i + 1]))
			continue;
		tell_read(c, told, &tasks[i], times);
		times = 0;
	}
	c->unread_len = 0;
	c->arena.has_failed = false;
	/* Whoever follows tasks reads them now and then in any case. */
	return rc == -ENOMEM ? 0 : rc;
}

/* ---- lists ---- */

#define LIST(index, where)                                                                                \
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
