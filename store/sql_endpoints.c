/*
 * Registered endpoints: kept, chosen for outcomes, judged after attempts.
 *
 * Outcomes by the thousand ask which endpoints their tenant has; so those that are enabled are read once a transaction.
 * What was read lives in the arena of the operation that asked first, until the transaction has ended and no longer: what
 * an operation gives back is a copy.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "store/deliver.h"
#include "store/endpoint.h"
#include "store/sql.h"

enum { OLD_SECRETS_BYTES_MAX = 4096 };

#define COLUMNS                                                                                        \
	"id, tenant, url, description, tasks, outcomes, secret, old_secrets, created_at, updated_at, " \
	"is_enabled, disabled_at, disabled_reason, failing_since "

static void read_endpoint(const struct query *q, struct arena *a, struct store_endpoint *e)
{
	*e = (struct store_endpoint){
		.id = row_id(q, 0),
		.tenant = row_copy(q, 1, a),
		.url = row_copy(q, 2, a),
		.description = row_copy(q, 3, a),
		.tasks = row_copy(q, 4, a),
		.outcomes = (uint32_t)row_int(q, 5),
		.secret = row_copy(q, 6, a),
		.old_secrets = row_copy(q, 7, a),
		.created_at_ms = row_int(q, 8),
		.updated_at_ms = row_int(q, 9),
		.is_enabled = row_int(q, 10) != 0,
		.disabled_at_ms = row_int(q, 11),
		.disabled_reason = row_copy(q, 12, a),
		.failing_since_ms = row_int(q, 13),
	};
}

/* Reads to the end of the query. */
static int read_endpoints(
	struct query *q, struct arena *a, struct store_endpoint *out, size_t max, size_t *len)
{
	int rc;

	while ((rc = query_next(q)) == 1 && *len < max)
		read_endpoint(q, a, &out[(*len)++]);
	if (rc == 1)
		query_done(q);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

/* ---- those of a tenant ---- */

static int load(struct sql *s, struct arena *a, const struct id *id, struct backend_endpoints *out)
{
	struct query q;

	*out = (struct backend_endpoints){.items = arena_alloc(a, 1, sizeof *out->items)};
	if (!out->items)
		return -ENOMEM;
	query_init(&q, s, "SELECT " COLUMNS "FROM endpoints WHERE id = ? /*pg: FOR UPDATE*/");
	query_id(&q, id);
	return read_endpoints(&q, a, out->items, 1, &out->len);
}

/* One; none when it is not there or another tenant's. */
static int load_own(struct sql *s, struct arena *a, const struct id *id, struct slice tenant,
	struct backend_endpoints *out)
{
	int rc = load(s, a, id, out);

	if (rc == 0 && (out->len == 0 || !slice_is_equal(out->items[0].tenant, tenant)))
		*out = (struct backend_endpoints){.what = STORE_ENDPOINT_ABSENT};
	return rc;
}

static int list(struct sql *s, struct arena *a, struct slice tenant, struct backend_endpoints *out)
{
	struct query q;

	*out = (struct backend_endpoints){.items = arena_alloc(a, STORE_ENDPOINTS_MAX, sizeof *out->items)};
	if (!out->items)
		return -ENOMEM;
	query_init(&q, s,
		"SELECT " COLUMNS
		"FROM endpoints INDEXED BY endpoints_by_tenant WHERE tenant = ? ORDER BY id");
	query_text(&q, tenant);
	return read_endpoints(&q, a, out->items, STORE_ENDPOINTS_MAX, &out->len);
}

int sql_endpoints_get(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct backend_endpoints *out)
{
	struct query q;
	int rc;

	if (id_is_zero(id))
		return list(sql_of(b), a, tenant, out);
	*out = (struct backend_endpoints){.items = arena_alloc(a, 1, sizeof *out->items)};
	if (!out->items)
		return -ENOMEM;
	query_init(&q, sql_of(b), "SELECT " COLUMNS "FROM endpoints WHERE id = ? AND tenant = ?");
	query_id(&q, id);
	query_text(&q, tenant);
	rc = read_endpoints(&q, a, out->items, 1, &out->len);
	out->what = out->len ? STORE_ENDPOINT_DONE : STORE_ENDPOINT_ABSENT;
	return rc;
}

/* ---- changing them ---- */

/* What was read of any in this transaction counts no more. */
static void forget(struct sql *s)
{
	s->endpoints = NULL;
}

/* Where others write too: of those who add one at the same time each sees what the one before has added. */
static int hold_all(struct sql *s, struct slice tenant)
{
	struct query q;
	int rc;

	if (!s->driver->is_shared)
		return 0;
	query_init(&q, s, "SELECT 1 FROM endpoints WHERE tenant = ? /*pg:ORDER BY id FOR UPDATE*/");
	query_text(&q, tenant);
	while ((rc = query_next(&q)) == 1)
		;
	return rc;
}

static int count(struct sql *s, struct slice tenant, int64_t *out)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT count(*) FROM endpoints INDEXED BY endpoints_by_tenant WHERE tenant = ?");
	query_text(&q, tenant);
	rc = query_next(&q);
	if (rc == 1)
		*out = row_int(&q, 0);
	query_done(&q);
	return rc < 0 ? rc : 0;
}

static int insert(struct sql *s, const struct store_endpoint *e)
{
	struct query q;

	forget(s);
	query_init(&q, s,
		"INSERT INTO endpoints (id, tenant, url, description, tasks, outcomes, secret, created_at, updated_at, "
		"is_enabled, disabled_at, failing_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8, 1, 0, 0) "
		"ON CONFLICT (id) DO NOTHING");
	query_id(&q, &e->id);
	query_text(&q, e->tenant);
	query_text(&q, e->url);
	query_text(&q, e->description);
	query_text(&q, slice_is_set(e->tasks) ? e->tasks : slice_text(""));
	query_int(&q, e->outcomes);
	query_text(&q, e->secret);
	query_int(&q, e->created_at_ms);
	return query_run(&q);
}

int sql_endpoint_add(
	struct backend *b, struct arena *a, const struct store_endpoint *e, struct backend_endpoints *out)
{
	struct sql *s = sql_of(b);
	int64_t len = 0;
	int rc = load_own(s, a, &e->id, e->tenant, out);

	if (rc < 0 || out->len > 0)
		return rc;
	rc = hold_all(s, e->tenant);
	if (rc == 0)
		rc = count(s, e->tenant, &len);
	if (rc == 0 && len >= STORE_ENDPOINTS_MAX) {
		out->what = STORE_ENDPOINT_TOO_MANY;
		return 0;
	}
	if (rc == 0)
		rc = insert(s, e);
	return rc < 0 ? rc : load_own(s, a, &e->id, e->tenant, out);
}

static int write_endpoint(struct sql *s, const struct store_endpoint *e)
{
	struct query q;

	forget(s);
	query_init(&q, s,
		"UPDATE endpoints SET url = ?, description = ?, tasks = ?, outcomes = ?, secret = ?, old_secrets = ?, "
		"updated_at = ?, is_enabled = ?, disabled_at = ?, disabled_reason = ?, failing_since = ? "
		"WHERE id = ?");
	query_text(&q, e->url);
	query_text(&q, e->description);
	query_text(&q, e->tasks);
	query_int(&q, e->outcomes);
	query_text(&q, e->secret);
	query_text(&q, e->old_secrets);
	query_int(&q, e->updated_at_ms);
	query_int(&q, e->is_enabled);
	query_int(&q, e->disabled_at_ms);
	query_text(&q, e->disabled_reason);
	query_int(&q, e->failing_since_ms);
	query_id(&q, &e->id);
	return query_run(&q);
}

int sql_endpoint_change(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	const struct store_endpoint_change *change, struct backend_endpoints *out)
{
	int rc = load_own(sql_of(b), a, id, tenant, out);

	if (rc < 0 || out->len == 0)
		return rc;
	endpoint_apply(&out->items[0], change);
	rc = write_endpoint(sql_of(b), &out->items[0]);
	return rc < 0 || out->items[0].is_enabled ? rc : sql_due_hurry(sql_of(b), id);
}

int sql_endpoint_rotate(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
	struct slice secret, int64_t old_until_ms, int64_t now_ms, struct backend_endpoints *out)
{
	int rc = load_own(sql_of(b), a, id, tenant, out);
	struct store_endpoint *e = out->items;
	struct buf old;

	if (rc < 0 || out->len == 0)
		return rc;
	buf_init(&old, OLD_SECRETS_BYTES_MAX);
	rc = endpoint_rotate(e, secret, old_until_ms, now_ms, &old);
	if (rc == 0) {
		e->old_secrets = arena_copy(a, buf_slice(&old));
		e->secret = secret;
		e->updated_at_ms = now_ms;
		rc = a->has_failed ? -ENOMEM : write_endpoint(sql_of(b), e);
	}
	if (old.data)
		explicit_bzero(old.data, old.cap);
	buf_done(&old);
	if (rc != -ENOSPC)
		return rc;
	*out = (struct backend_endpoints){.what = STORE_ENDPOINT_TOO_MANY_SECRETS};
	return 0;
}

int sql_endpoint_remove(
	struct backend *b, const struct id *id, struct slice tenant, struct backend_endpoints *out)
{
	struct query q;
	int rc;

	forget(sql_of(b));
	query_init(&q, sql_of(b), "DELETE FROM endpoints WHERE id = ? AND tenant = ?");
	query_id(&q, id);
	query_text(&q, tenant);
	rc = query_run(&q);
	if (rc == 0)
		rc = (int)query_changes(&q);
	if (rc < 0)
		return rc;
	*out = (struct backend_endpoints){.what = rc > 0 ? STORE_ENDPOINT_DONE : STORE_ENDPOINT_ABSENT};
	return rc > 0 ? sql_due_hurry(sql_of(b), id) : 0;
}

/* ---- the enabled ones, in a transaction ---- */

enum { BUCKETS = 64 };

struct subscriber {
	struct subscriber *next;
	struct id id;
	struct slice url, tasks, secret, old_secrets;
	uint32_t outcomes;
	struct slice target; /* JSON; unset: nobody wanted it yet */
};

/* Of one tenant. */
struct subscribers {
	struct subscribers *next;
	struct slice tenant;
	struct subscriber *first; /* in the order of ids */
};

struct sql_endpoints {
	struct subscribers *buckets[BUCKETS];
};

static int make_target(struct subscriber *to, struct arena *a)
{
	json_t *target = json_pack("{s:s%}", "url", (const char *)to->url.data, to->url.len);
	char *text = target ? json_dumps(target, JSON_COMPACT) : NULL;

	to->target = arena_copy(a, slice_text(text));
	free(text);
	json_decref(target);
	return slice_is_set(to->target) ? 0 : -ENOMEM;
}

static void read_subscriber(const struct query *q, struct arena *a, struct subscriber *to)
{
	*to = (struct subscriber){
		.id = row_id(q, 0),
		.url = row_copy(q, 1, a),
		.tasks = row_copy(q, 2, a),
		.outcomes = (uint32_t)row_int(q, 3),
		.secret = row_copy(q, 4, a),
		.old_secrets = row_copy(q, 5, a),
	};
}

static int read_subscribers(struct sql *s, struct arena *a, struct subscribers *set)
{
	struct subscriber **end = &set->first;
	struct query q;
	int rc;

	query_init(&q, s,
		"SELECT id, url, tasks, outcomes, secret, old_secrets FROM endpoints "
		"INDEXED BY endpoints_by_tenant WHERE tenant = ? AND is_enabled = 1 ORDER BY id");
	query_text(&q, set->tenant);
	while ((rc = query_next(&q)) == 1) {
		struct subscriber *to = arena_alloc(a, 1, sizeof *to);

		if (!to) {
			query_done(&q);
			return -ENOMEM;
		}
		read_subscriber(&q, a, to);
		*end = to;
		end = &to->next;
	}
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

static int load_subscribers(struct sql *s, struct arena *a, struct slice tenant, struct subscribers **bucket,
	struct subscribers **out)
{
	struct subscribers *set = arena_alloc(a, 1, sizeof *set);
	int rc;

	if (!set)
		return -ENOMEM;
	set->tenant = arena_copy(a, tenant);
	rc = a->has_failed ? -ENOMEM : read_subscribers(s, a, set);
	if (rc < 0)
		return rc;
	set->next = *bucket;
	*bucket = set;
	*out = set;
	return 0;
}

static int find_subscribers(struct sql *s, struct arena *a, struct slice tenant, struct subscribers **out)
{
	struct subscribers **bucket;

	if (s->endpoints_of != s->base.transaction)
		s->endpoints = NULL;
	if (!s->endpoints && !(s->endpoints = arena_alloc(a, 1, sizeof *s->endpoints)))
		return -ENOMEM;
	s->endpoints_of = s->base.transaction;
	bucket = &s->endpoints->buckets[slice_hash(tenant) % BUCKETS];
	for (struct subscribers *set = *bucket; set; set = set->next) {
		if (slice_is_equal(set->tenant, tenant)) {
			*out = set;
			return 0;
		}
	}
	return load_subscribers(s, a, tenant, bucket, out);
}

static size_t count_wanting(const struct subscribers *set, struct slice task, enum task_state state)
{
	size_t count = 0;

	for (const struct subscriber *one = set->first; one; one = one->next)
		count += endpoint_wants(one->tasks, one->outcomes, task, state);
	return count;
}

int sql_endpoints_choose(struct sql *s, struct arena *a, struct slice tenant, struct slice task,
	enum task_state state, struct delivery **chosen, size_t *len)
{
	struct subscribers *set;
	struct delivery *all;
	size_t wanting;
	int rc = find_subscribers(s, a, tenant, &set);

	if (rc < 0)
		return rc;
	wanting = count_wanting(set, task, state);
	if (wanting == 0)
		return 0;
	all = arena_alloc(a, *len + wanting, sizeof *all);
	if (!all)
		return -ENOMEM;
	if (*len > 0)
		memcpy(all, *chosen, *len * sizeof *all);
	for (struct subscriber *one = set->first; one && rc == 0; one = one->next) {
		if (!endpoint_wants(one->tasks, one->outcomes, task, state))
			continue;
		if (!slice_is_set(one->target))
			rc = make_target(one, a);
		all[(*len)++] = (struct delivery){slice_text("webhook"), one->target, one->id};
	}
	*chosen = all;
	return rc;
}

static struct subscriber *find_subscriber(const struct subscribers *set, const struct id *id)
{
	struct subscriber *one = set->first;

	while (one && !id_is_equal(&one->id, id))
		one = one->next;
	return one;
}

/* ---- deliveries to one ---- */

static int read_enabled(struct sql *s, const struct id *id, bool *is_there, bool *is_enabled)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT is_enabled FROM endpoints WHERE id = ?");
	query_id(&q, id);
	rc = query_next(&q);
	*is_there = rc == 1;
	*is_enabled = rc == 1 && row_int(&q, 0) != 0;
	query_done(&q);
	return rc < 0 ? rc : 0;
}

int sql_endpoint_is_enabled(struct sql *s, const struct id *id, bool *out)
{
	bool is_there;

	return read_enabled(s, id, &is_there, out);
}

static int explain_absence(struct sql *s, const struct id *id, const char **why)
{
	bool is_there, is_enabled;
	int rc = read_enabled(s, id, &is_there, &is_enabled);

	*why = is_there ? "not sent: its endpoint is disabled" : "not sent: its endpoint was removed";
	return rc;
}

int sql_endpoint_fill(struct sql *s, struct arena *a, struct store_due *due, const char **why)
{
	struct subscriber *found;
	struct subscribers *set;
	int rc = find_subscribers(s, a, due->task.tenant, &set);

	if (rc < 0)
		return rc;
	found = find_subscriber(set, &due->endpoint);
	if (!found)
		return explain_absence(s, &due->endpoint, why);
	if (!slice_is_set(found->target) && make_target(found, a) < 0)
		return -ENOMEM;
	/* What was read may be another operation's, which is told, and gone, before this one is. */
	due->target = arena_copy(a, found->target);
	due->secret = arena_copy(a, found->secret);
	due->old_secrets = arena_copy(a, found->old_secrets);
	return a->has_failed ? -ENOMEM : 0;
}

/* ---- judging ---- */

static int write_failing(struct sql *s, const struct id *id, int64_t since_ms)
{
	struct query q;

	query_init(&q, s, "UPDATE endpoints SET failing_since = ? WHERE id = ?");
	query_int(&q, since_ms);
	query_id(&q, id);
	return query_run(&q);
}

static int disable(struct sql *s, struct arena *a, const struct id *id,
	const struct store_endpoint_change *change, struct backend_endpoints *disabled)
{
	struct backend_endpoints found;
	struct store_endpoint *all;
	int rc = load(s, a, id, &found);

	if (rc < 0 || found.len == 0 || !found.items[0].is_enabled)
		return rc;
	endpoint_apply(&found.items[0], change);
	if (found.items[0].failing_since_ms == 0)
		found.items[0].failing_since_ms = change->now_ms;
	rc = write_endpoint(s, &found.items[0]);
	if (rc == 0)
		rc = sql_due_hurry(s, id);
	all = rc == 0 ? arena_alloc(a, disabled->len + 1, sizeof *all) : NULL;
	if (!all)
		return rc < 0 ? rc : -ENOMEM;
	if (disabled->len > 0)
		memcpy(all, disabled->items, disabled->len * sizeof *all);
	all[disabled->len++] = found.items[0];
	disabled->items = all;
	return 0;
}

/* 1 when it is there and enabled, with *since_ms. */
static int read_failing(struct sql *s, const struct id *id, int64_t *since_ms)
{
	struct query q;
	int rc;

	query_init(&q, s, "SELECT failing_since FROM endpoints WHERE id = ? AND is_enabled = 1");
	query_id(&q, id);
	rc = query_next(&q);
	if (rc == 1)
		*since_ms = row_int(&q, 0);
	query_done(&q);
	return rc;
}

int sql_endpoint_judge(struct sql *s, struct arena *a, const struct id *id, const struct store_due_result *r,
	struct backend_endpoints *disabled, bool *is_open)
{
	struct store_endpoint_change change = {.has_enabled = true, .now_ms = r->at_ms};
	enum endpoint_verdict verdict;
	int64_t since_ms = 0;
	int rc = read_failing(s, id, &since_ms);

	*is_open = rc == 1;
	if (rc <= 0)
		return rc;
	verdict = endpoint_judge(r, since_ms);
	switch (verdict) {
	case ENDPOINT_WORKS: return since_ms != 0 ? write_failing(s, id, 0) : 0;
	case ENDPOINT_FAILS: return since_ms == 0 ? write_failing(s, id, r->at_ms) : 0;
	case ENDPOINT_FAILED:
	case ENDPOINT_IS_GONE: break;
	}
	*is_open = false;
	change.reason = slice_text(endpoint_verdict_text(verdict));
	return disable(s, a, id, &change, disabled);
}
