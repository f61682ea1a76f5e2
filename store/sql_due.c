/*
 * Rows that become due: claimed under a lease, ended by whoever holds it.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/deliver.h"
#include "store/sql.h"

/*
 * Rows of the channel "task" publish; everything else is a delivery, whose row stays as its history: due.state is its
 * enum store_delivery_state.
 */
enum { CLAIM_BYTES_MAX = 64 << 20, CLAIM_PREVIOUS_MAX = 16 << 20, CLAIM_TOGETHER = 32 };

/* ---- making rows ---- */

static int insert(struct sql *s, const struct id *task, struct slice tenant, const struct delivery *d,
	int64_t ordinal, int64_t due_ms, int64_t now_ms)
{
	struct id row = id_mint(&s->minter, ID_DELIVERY, tenant, (uint64_t)now_ms);
	struct query q;

	query_init(&q, s,
		"INSERT INTO due (row, task_id, channel, ordinal, target, due_at, ready_at, endpoint) "
		"VALUES (?, ?, ?, ?, ?, ?6, ?6, ?7) "
		"ON CONFLICT (task_id, channel, ordinal) DO UPDATE SET due_at = ?6, ready_at = ?6 WHERE due.owner IS NULL");
	query_id(&q, &row);
	query_id(&q, task);
	query_text(&q, d->channel);
	query_int(&q, ordinal);
	query_text(&q, d->target);
	query_int(&q, due_ms);
	query_id(&q, &d->endpoint);
	return query_run(&q);
}

int sql_due_task(struct sql *s, const struct id *id, struct slice tenant, uint32_t attempt, int64_t due_ms,
	int64_t now_ms)
{
	const struct delivery d = {.channel = slice_text("task")};

	return insert(s, id, tenant, &d, attempt, due_ms, now_ms);
}

int sql_due_deliveries(struct sql *s, const struct sql_end *end)
{
	int rc = 0;

	for (size_t i = 0; i < end->deliveries_len && rc == 0; i++)
		rc = insert(s, &end->id, end->tenant, &end->deliveries[i], (int64_t)i + 1, end->now_ms,
			end->now_ms);
	return rc;
}

int sql_due_drop(struct sql *s, const struct id *id, uint32_t up_to_attempt)
{
	struct query q;

	query_init(&q, s, "DELETE FROM due WHERE task_id = ? AND channel = 'task' AND ordinal <= ?");
	query_id(&q, id);
	query_int(&q, up_to_attempt);
	return query_run(&q);
}

/* ---- claiming ---- */

struct claiming {
	struct sql *s;
	struct arena *a;
	const struct backend_due_query *query;
	struct store_due *out;
	size_t len;
	int64_t next_due_ms;
	bool has_hurried;
};

static void read_due(struct claiming *c, struct query *q)
{
	bool is_task = slice_is_text(row_slice(q, 2), "task");

	c->out[c->len++] = (struct store_due){
		.row = row_id(q, 0),
		.task_id = row_id(q, 1),
		.channel = row_copy(q, 2, c->a),
		.attempt = (uint32_t)row_int(q, is_task ? 3 : 4),
		.target = row_copy(q, 5, c->a),
		.due_at_ms = row_int(q, 6),
		.endpoint = row_id(q, 7),
	};
}

static int find_ready(struct claiming *c, struct slice channel)
{
	struct query q;
	int rc;

	query_init(&q, c->s,
		"SELECT row, task_id, channel, ordinal, tries, target, due_at, endpoint FROM due INDEXED BY due_ready "
		"WHERE channel = ? AND ready_at <= ? ORDER BY ready_at LIMIT ? /*pg:FOR UPDATE SKIP LOCKED*/");
	query_text(&q, channel);
	query_int(&q, c->query->now_ms);
	query_int(&q, (int64_t)(c->query->limit - c->len));
	while ((rc = query_next(&q)) == 1)
		read_due(c, &q);
	return rc;
}

static int find_next(struct claiming *c, struct slice channel)
{
	struct query q;
	int rc;

	query_init(&q, c->s,
		"SELECT ready_at FROM due INDEXED BY due_ready WHERE channel = ? AND ready_at IS NOT NULL "
		"ORDER BY ready_at LIMIT 1");
	query_text(&q, channel);
	rc = query_next(&q);
	if (rc == 1 && row_int(&q, 0) < c->next_due_ms)
		c->next_due_ms = row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

static int lease(struct claiming *c, const struct store_due *d)
{
	struct query q;

	query_init(&q, c->s, "UPDATE due SET owner = ?, ready_at = ?, target = ? WHERE row = ?");
	query_int(&q, (int64_t)c->query->owner);
	query_int(&q, c->query->now_ms + c->query->lease_ms);
	query_text(&q, d->target);
	query_id(&q, &d->row);
	return query_run(&q);
}

static int load_batch_counts(struct claiming *c, const struct id *batch, uint32_t by_state[TASK_STATES])
{
	struct slice ids = {0};
	struct query q;
	int rc;

	query_init(&q, c->s, "SELECT ids FROM batches WHERE id = ?");
	query_id(&q, batch);
	rc = query_next(&q);
	if (rc == 1)
		ids = row_copy(&q, 0, c->a);
	query_done(&q);
	return rc < 0 ? rc : sql_batch_states(c->s, c->a, ids, by_state);
}

static int load_previous(struct claiming *c, struct store_due *d)
{
	const struct store_task *t = &d->task;

	d->wants_previous = t->wants_previous;
	if (!t->wants_previous)
		return 0;
	if (t->waits == STORE_WAITS_TASK)
		return sql_task_load(c->s, c->a, &t->waits_for, STORE_WITH_RESULT, &d->previous);
	d->previous_batch = t->waits_for;
	return load_batch_counts(c, &t->waits_for, d->previous_counts);
}

/* Its endpoint takes nothing more; what else is pending for it follows, a part with each claim. */
static int give_up(struct claiming *c, const struct store_due *d, const char *why)
{
	int rc = sql_due_bury(c->s, &d->row, c->query->now_ms, why);

	if (rc < 0 || c->has_hurried)
		return rc;
	c->has_hurried = true;
	return sql_due_hurry(c->s, &d->endpoint);
}

/* 1 when it is the caller's now; 0 when there is nobody left to send it to, and it is dead. */
static int take(struct claiming *c, struct store_due *d)
{
	bool is_task = slice_is_text(d->channel, "task");
	const char *why = NULL;
	int rc = is_task ? load_previous(c, d) : 0;

	if (rc == 0 && !id_is_zero(&d->endpoint) && d->task.presence == STORE_PRESENT)
		rc = sql_endpoint_fill(c->s, c->a, d, &why);
	if (rc < 0)
		return rc;
	rc = why ? give_up(c, d, why) : lease(c, d);
	return rc < 0 ? rc : !why;
}

/* Rows with their tasks, at first without what can be large. */
struct some {
	const struct store_due *found;
	struct store_task tasks[CLAIM_TOGETHER];
	struct id ids[CLAIM_TOGETHER];
	size_t sizes[CLAIM_TOGETHER];
	size_t len;
	unsigned with;
};

static void note_size(struct some *some, const struct id *id, size_t size)
{
	for (size_t i = 0; i < some->len; i++)
		if (id_is_equal(&some->ids[i], id))
			some->sizes[i] = size;
}

static int load_sizes(struct claiming *c, struct some *some)
{
	struct query q;
	int rc;

	for (size_t i = 0; i < some->len; i++)
		some->sizes[i] = some->tasks[i].result_is_json ? (size_t)some->tasks[i].result_len : 0;
	if (some->with != STORE_WITH_REQUEST)
		return 0;
	query_init(&q, c->s, "SELECT id, length(body) FROM requests WHERE id = /*pg:ANY*/ (?)");
	query_each(&q, some->ids, some->len);
	while ((rc = query_next(&q)) == 1) {
		const struct id id = row_id(&q, 0);

		note_size(some, &id, (size_t)row_int(&q, 1));
	}
	return rc;
}

static bool is_full(const struct claiming *c)
{
	return c->len > 0 && c->a->total > CLAIM_BYTES_MAX;
}

/* Those that fit, and one more. */
static void cut(const struct claiming *c, struct some *some)
{
	size_t total = c->a->total;

	for (size_t i = 0; i < some->len; i++) {
		total += some->sizes[i];
		if (total > CLAIM_BYTES_MAX)
			some->len = i + 1;
	}
}

static int take_some(struct claiming *c, struct some *some)
{
	size_t allowed;
	int rc;

	for (size_t i = 0; i < some->len; i++)
		some->ids[i] = some->found[i].task_id;
	rc = sql_tasks_load(c->s, c->a, some->ids, some->len, 0, some->tasks);
	if (rc == 0)
		rc = load_sizes(c, some);
	cut(c, some);
	if (rc == 0)
		rc = sql_tasks_load_bodies(c->s, c->a, some->tasks, some->len, some->with);
	/* What came before a task can be large too. */
	allowed = c->a->total + CLAIM_PREVIOUS_MAX;
	for (size_t i = 0; i < some->len && rc >= 0 && (i == 0 || c->a->total <= allowed); i++) {
		struct store_due d = some->found[i];

		d.task = some->tasks[i];
		rc = take(c, &d);
		if (rc == 1)
			c->out[c->len++] = d;
	}
	return rc < 0 ? rc : 0;
}

/* The rest of what would be too much to have in memory at once stays for the next claim. */
static int fill(struct claiming *c, size_t from)
{
	size_t len = c->len - from;
	struct store_due *found = arena_alloc(c->a, len, sizeof *found);
	struct some *some = arena_alloc(c->a, 1, sizeof *some);
	int rc = found && some ? 0 : -ENOMEM;

	if (rc == 0 && len)
		memcpy(found, c->out + from, len * sizeof *found);
	c->len = from;
	for (size_t i = 0; i < len && rc == 0 && !is_full(c); i += CLAIM_TOGETHER) {
		*some = (struct some){
			.found = found + i,
			.len = len - i < CLAIM_TOGETHER ? len - i : CLAIM_TOGETHER,
			.with = slice_is_text(found->channel, "task") ? STORE_WITH_REQUEST : STORE_WITH_JSON,
		};
		rc = take_some(c, some);
	}
	return rc;
}

static int claim_channel(struct claiming *c, struct slice channel)
{
	size_t from = c->len;
	int rc = c->len < c->query->limit && c->a->total <= CLAIM_BYTES_MAX ? find_ready(c, channel) : 0;

	if (rc == 0)
		rc = fill(c, from);
	return rc < 0 ? rc : find_next(c, channel);
}

/* The channels that have rows, one look-up each. */
int sql_due_next_channel(struct sql *s, struct arena *a, struct slice after, struct slice *out)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"SELECT channel FROM due INDEXED BY due_ready WHERE channel > ? AND ready_at IS NOT NULL "
		"ORDER BY channel LIMIT 1");
	query_text(&q, after);
	rc = query_next(&q);
	if (rc == 1)
		*out = row_copy(&q, 0, a);
	query_done(&q);
	return rc;
}

static int claim_all_channels(struct claiming *c)
{
	struct slice channel = slice_text("");
	int rc;

	while ((rc = sql_due_next_channel(c->s, c->a, channel, &channel)) == 1) {
		rc = claim_channel(c, channel);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int claim_named_channels(struct claiming *c, const char *names)
{
	int rc = 0;

	while (*names && rc == 0) {
		size_t len = strcspn(names, ",");

		rc = claim_channel(c, slice_of(names, len));
		names += len;
		names += *names == ',';
	}
	return rc;
}

int sql_due_claim(struct backend *b, struct arena *a, const struct backend_due_query *query,
	struct store_due *out, size_t *len, int64_t *next_due_ms)
{
	struct claiming c = {.s = sql_of(b), .a = a, .query = query, .out = out, .next_due_ms = INT64_MAX};
	int rc = query->channels ? claim_named_channels(&c, query->channels) : claim_all_channels(&c);

	if (rc < 0)
		return rc;
	*len = c.len;
	*next_due_ms = c.next_due_ms;
	return a->has_failed ? -ENOMEM : 0;
}

/* ---- ending ---- */

struct held {
	struct id row, task_id;
	bool is_task;
	uint32_t ordinal;
	uint32_t made; /* attempts, ever */
	struct id endpoint;
	bool is_over; /* a result of it has been written */
};

/* Those that `owner` still has. */
struct held_list {
	struct id *rows, *tasks; /* asked for; theirs */
	struct held *items;	 /* by row */
	size_t asked, len;
};

static int compare_held(const void *a, const void *b)
{
	return memcmp(((const struct held *)a)->row.bytes, ((const struct held *)b)->row.bytes, ID_LEN);
}

static struct held *find_held(const struct held_list *l, const struct id *row)
{
	return bsearch(&(struct held){.row = *row}, l->items, l->len, sizeof *l->items, compare_held);
}

/* Tasks are held before their rows; only the rows tell which they are. */
static int hold_tasks(struct sql *s, const struct held_list *l)
{
	struct query q;
	size_t len = 0;
	int rc;

	if (!s->driver->is_shared)
		return 0;
	query_init(&q, s, "SELECT task_id FROM due WHERE row = /*pg:ANY*/ (?)");
	query_each(&q, l->rows, l->asked);
	while ((rc = query_next(&q)) == 1)
		l->tasks[len++] = row_id(&q, 0);
	return rc < 0 ? rc : sql_lock_tasks(s, l->tasks, len);
}

static int load_held(struct sql *s, uint64_t owner, struct held_list *l)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"SELECT row, task_id, channel, ordinal, made + tries, endpoint FROM due "
		"WHERE row = /*pg:ANY*/ (?) AND owner = ? AND ready_at IS NOT NULL /*pg:ORDER BY row FOR UPDATE*/");
	query_each(&q, l->rows, l->asked);
	query_int(&q, (int64_t)owner);
	while ((rc = query_next(&q)) == 1)
		l->items[l->len++] = (struct held){
			.row = row_id(&q, 0),
			.task_id = row_id(&q, 1),
			.is_task = slice_is_text(row_slice(&q, 2), "task"),
			.ordinal = (uint32_t)row_int(&q, 3),
			.made = (uint32_t)row_int(&q, 4),
			.endpoint = row_id(&q, 5),
		};
	if (l->len > 1)
		qsort(l->items, l->len, sizeof *l->items, compare_held);
	return rc;
}

static int hold(struct sql *s, struct arena *a, uint64_t owner, const struct store_due_result *results,
	size_t len, struct held_list *l)
{
	int rc;

	*l = (struct held_list){
		.rows = arena_alloc(a, len, sizeof *l->rows),
		.tasks = arena_alloc(a, len, sizeof *l->tasks),
		.items = arena_alloc(a, len, sizeof *l->items),
		.asked = len,
	};
	if (!l->rows || !l->tasks || !l->items)
		return -ENOMEM;
	if (len == 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		l->rows[i] = results[i].row;
	rc = hold_tasks(s, l);
	return rc < 0 ? rc : load_held(s, owner, l);
}

static int put_off(struct sql *s, const struct id *row, int64_t at_ms, bool was_tried)
{
	struct query q;

	query_init(&q, s, "UPDATE due SET ready_at = ?, owner = NULL, tries = tries + ? WHERE row = ?");
	query_int(&q, at_ms);
	query_int(&q, was_tried);
	query_id(&q, row);
	return query_run(&q);
}

/* Its reply may have come before this: what is further on stays so. */
static int queue_task(struct sql *s, const struct held *h, int64_t at_ms)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"UPDATE tasks SET state = 1, attempt = ?2, rank = 0, seq = 0, sweep_at = ?3, rev = rev + 1 "
		"WHERE id = ?1 AND state = 0 AND (attempt < ?2 OR (attempt = ?2 AND rank = 0))");
	query_id(&q, &h->task_id);
	query_int(&q, h->ordinal);
	query_int(&q, lifetime_of_unfinished(&s->lifetime, at_ms));
	rc = query_run(&q);
	if (rc == 0)
		rc = sql_task_changed(s, &h->task_id);
	return rc < 0 ? rc : sql_due_drop(s, &h->task_id, h->ordinal);
}

static int end_publish(struct sql *s, struct arena *a, const struct held *h, const struct store_due_result *r)
{
	struct slice message = slice_is_set(r->error) ? r->error : slice_text("it could not be published");
	int rc;

	switch (r->how) {
	case STORE_DUE_DONE: return queue_task(s, h, r->at_ms);
	case STORE_DUE_AGAIN: return put_off(s, &r->row, r->again_at_ms, true);
	case STORE_DUE_LATER: return put_off(s, &r->row, r->again_at_ms, false);
	case STORE_DUE_DEAD: break;
	}
	rc = sql_end_task(s, a, &h->task_id, TASK_DEAD, "unpublishable", message, r->at_ms);
	return rc == -ENOENT ? sql_due_drop(s, &h->task_id, h->ordinal) : rc;
}

static int note_attempt(struct sql *s, uint32_t number, const struct store_due_result *r)
{
	struct query q;

	query_init(&q, s,
		"INSERT INTO attempts (row, number, at, took_ms, status, error, response) "
		"VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (row, number) DO UPDATE SET at = excluded.at, "
		"took_ms = excluded.took_ms, status = excluded.status, error = excluded.error, "
		"response = excluded.response");
	query_id(&q, &r->row);
	query_int(&q, number);
	query_int(&q, r->at_ms);
	query_int(&q, r->took_ms);
	query_int(&q, r->status);
	query_text(&q, r->error);
	query_blob(&q, r->response);
	return query_run(&q);
}

static int close_row(struct sql *s, const struct id *row, bool is_delivered, int64_t at_ms)
{
	struct query q;

	if (is_delivered) {
		query_init(&q, s,
			"UPDATE due SET state = 1, ready_at = NULL, owner = NULL, tries = tries + 1 WHERE row = ?");
	} else {
		query_init(&q, s,
			"UPDATE due SET state = 2, ready_at = NULL, owner = NULL, tries = tries + 1, dead_at = ?, "
			"dead_tenant = (SELECT tenant FROM tasks WHERE id = due.task_id) WHERE row = ?");
		query_int(&q, at_ms);
	}
	query_id(&q, row);
	return query_run(&q);
}

/* What became of deliveries, as their tasks count them. */
struct tally {
	struct id task;
	int64_t delivered, dead;
	int64_t keep_until_ms; /* by its schedule a delivery dies days after the task's end: it can still be sent again */
};

static void count_end(struct sql *s, struct tally *t, bool is_delivered, int64_t at_ms)
{
	t->delivered += is_delivered;
	t->dead += !is_delivered;
	if (!is_delivered)
		t->keep_until_ms = lifetime_of_content(&s->lifetime, at_ms);
}

static int settle(struct sql *s, const struct tally *t)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"UPDATE tasks SET pending = pending - ?1 - ?2, delivered = delivered + ?1, undelivered = undelivered + ?2, "
		"sweep_at = CASE WHEN sweep_at < ?3 THEN ?3 ELSE sweep_at END, rev = rev + 1 WHERE id = ?4");
	query_int(&q, t->delivered);
	query_int(&q, t->dead);
	query_int(&q, t->keep_until_ms);
	query_id(&q, &t->task);
	rc = query_run(&q);
	return rc < 0 ? rc : sql_task_changed(s, &t->task);
}

static int compare_tallies(const void *a, const void *b)
{
	return sql_compare_ids(&((const struct tally *)a)->task, &((const struct tally *)b)->task);
}

static void tally_add(struct tally *to, const struct tally *from)
{
	to->delivered += from->delivered;
	to->dead += from->dead;
	if (from->keep_until_ms > to->keep_until_ms)
		to->keep_until_ms = from->keep_until_ms;
}

/* A task with many deliveries is written once for all that ended together. */
static int settle_all(struct sql *s, struct tally *tallies, size_t len)
{
	int rc = 0;

	if (len > 1)
		qsort(tallies, len, sizeof *tallies, compare_tallies);
	for (size_t i = 0; i < len && rc == 0; i++) {
		if (i + 1 < len && id_is_equal(&tallies[i].task, &tallies[i + 1].task))
			tally_add(&tallies[i + 1], &tallies[i]);
		else
			rc = settle(s, &tallies[i]);
	}
	return rc;
}

struct ending {
	struct sql *s;
	struct arena *a;
	struct held_list held;
	struct tally *tallies;
	size_t tallies_len;
	struct backend_endpoints *disabled;
};

static int close_delivery(struct ending *e, const struct held *h, bool is_delivered, int64_t at_ms)
{
	struct tally *t = &e->tallies[e->tallies_len++];

	*t = (struct tally){.task = h->task_id};
	count_end(e->s, t, is_delivered, at_ms);
	return close_row(e->s, &h->row, is_delivered, at_ms);
}

static int end_delivery(struct ending *e, const struct held *h, const struct store_due_result *r)
{
	int rc = r->how == STORE_DUE_LATER ? 0 : note_attempt(e->s, h->made + 1, r);

	if (rc < 0)
		return rc;
	switch (r->how) {
	case STORE_DUE_AGAIN: return put_off(e->s, &r->row, r->again_at_ms, true);
	case STORE_DUE_LATER: return put_off(e->s, &r->row, r->again_at_ms, false);
	case STORE_DUE_DONE: return close_delivery(e, h, true, r->at_ms);
	case STORE_DUE_DEAD: break;
	}
	return close_delivery(e, h, false, r->at_ms);
}

static int end_held(struct ending *e, const struct held *h, const struct store_due_result *result)
{
	struct store_due_result r = *result;
	bool is_open = true;
	int rc = 0;

	if (h->is_task)
		return end_publish(e->s, e->a, h, &r);
	if (!id_is_zero(&h->endpoint) && r.how != STORE_DUE_LATER)
		rc = sql_endpoint_judge(e->s, e->a, &h->endpoint, &r, e->disabled, &is_open);
	/* Nothing more goes there: it is due at once, and ends. */
	if (!is_open && r.how == STORE_DUE_AGAIN)
		r.again_at_ms = r.at_ms;
	return rc < 0 ? rc : end_delivery(e, h, &r);
}

int sql_due_end(struct backend *b, struct arena *a, uint64_t owner, const struct store_due_result *results,
	size_t len, struct backend_endpoints *disabled)
{
	struct ending e = {
		.s = sql_of(b),
		.a = a,
		.tallies = arena_alloc(a, len, sizeof *e.tallies),
		.disabled = disabled,
	};
	int rc = e.tallies ? hold(e.s, a, owner, results, len, &e.held) : -ENOMEM;

	*disabled = (struct backend_endpoints){0};
	for (size_t i = 0; i < len && rc == 0; i++) {
		struct held *h = find_held(&e.held, &results[i].row);

		/* Who was late may have claimed the same once more: of two results one counts. */
		if (!h || h->is_over)
			continue;
		h->is_over = true;
		rc = end_held(&e, h, &results[i]);
	}
	return rc < 0 ? rc : settle_all(e.s, e.tallies, e.tallies_len);
}

int sql_due_bury(struct sql *s, const struct id *row, int64_t now_ms, const char *error)
{
	const struct store_due_result r = {.row = *row, .at_ms = now_ms, .error = slice_text(error)};
	struct tally tally = {0};
	uint32_t made = 0;
	struct query q;
	int rc;

	query_init(&q, s,
		"SELECT task_id, made + tries FROM due WHERE row = ? AND ready_at IS NOT NULL /*pg:FOR UPDATE*/");
	query_id(&q, row);
	rc = query_next(&q);
	if (rc == 1) {
		tally.task = row_id(&q, 0);
		made = (uint32_t)row_int(&q, 1);
	}
	query_done(&q);
	if (rc <= 0)
		return rc;
	count_end(s, &tally, false, now_ms);
	rc = note_attempt(s, made + 1, &r);
	if (rc == 0)
		rc = close_row(s, row, false, now_ms);
	return rc < 0 ? rc : settle(s, &tally);
}

int sql_due_hurry(struct sql *s, const struct id *endpoint)
{
	struct query q;

	query_init(&q, s,
		"UPDATE due SET ready_at = due_at WHERE row IN (SELECT row FROM due INDEXED BY due_to_endpoint "
		"WHERE endpoint = ? AND ready_at > due_at AND owner IS NULL LIMIT 1000 /*pg:FOR UPDATE SKIP LOCKED*/)");
	query_id(&q, endpoint);
	return query_run(&q);
}

int sql_due_revive(struct sql *s, const struct id *row, const struct id *task,
	enum store_delivery_state state, int64_t now_ms)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"UPDATE due SET state = 0, made = made + tries, tries = 0, due_at = ?1, ready_at = ?1, owner = NULL, "
		"dead_at = NULL, dead_tenant = NULL WHERE row = ?2 AND state = ?3");
	query_int(&q, now_ms);
	query_id(&q, row);
	query_int(&q, state);
	rc = query_run(&q);
	if (rc == 0)
		rc = (int)query_changes(&q);
	if (rc <= 0)
		return rc;
	query_init(&q, s,
		"UPDATE tasks SET pending = pending + 1, delivered = delivered - ?, undelivered = undelivered - ?, "
		"rev = rev + 1 WHERE id = ?");
	query_int(&q, state == STORE_DELIVERY_DELIVERED);
	query_int(&q, state == STORE_DELIVERY_DEAD);
	query_id(&q, task);
	rc = query_run(&q);
	if (rc == 0)
		rc = sql_task_changed(s, task);
	return rc < 0 ? rc : 1;
}
