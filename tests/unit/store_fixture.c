#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "tests/unit/postgres_server.h"

enum { PATIENCE_MS = 120000 };

/* ---- waiting ---- */

static void on_impatient(evutil_socket_t fd, short what, void *arg)
{
	fail_msg("waited for too long");
}

void fixture_await(struct fixture *f, const bool *flag)
{
	struct event *timer = loop_timer(f->loop, on_impatient, NULL);

	timer_arm(timer, PATIENCE_MS);
	while (!*flag)
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	event_free(timer);
}

static void on_state(bool is_up, const char *why, void *arg)
{
	struct fixture *f = arg;

	f->was_told = true;
	f->told++;
	f->is_up = is_up;
	if (is_up)
		return;
	f->went_down = true;
	snprintf(f->why, sizeof f->why, "%s", why);
}

/* That it went down and came up again may be told in one turn of the loop. */
void fixture_await_up(struct fixture *f, bool is_up)
{
	while (is_up ? !f->is_up : !f->went_down) {
		f->was_told = false;
		fixture_await(f, &f->was_told);
	}
	f->went_down = false;
}

/* ---- life ---- */

void fixture_start_store(struct fixture *f)
{
	const struct store_options opt = {
		.url = f->url,
		.task_ttl_ms = 7 * DAY_MS,
		.result_ttl_ms = DAY_MS,
		.on_state = on_state,
		.arg = f,
	};
	char why[256];

	f->was_told = f->is_up = f->went_down = false;
	assert_int_equal(store_new(f->loop, &opt, why, sizeof why, &f->store), 0);
}

void fixture_stop_store(struct fixture *f)
{
	store_free(f->store);
	f->store = NULL;
}

static void start(struct fixture *f)
{
	struct id_key key = {{1, 2, 3}};

	id_minter_init(&f->minter, &key, random_u32());
	fixture_start_store(f);
	fixture_await_up(f, true);
}

static void make_sqlite(struct fixture *f)
{
	strcpy(f->folder, "/tmp/postback-store-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->url, sizeof f->url, "sqlite:%s/t.db", f->folder);
}

static void remove_sqlite(struct fixture *f)
{
	static const char *const names[] = {"/t.db", "/t.db-wal", "/t.db-shm", ""};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s%s", f->folder, names[i]);
		remove(path);
	}
}

static void make_postgres(struct fixture *f)
{
	static unsigned count;
	char text[128];

	snprintf(f->folder, sizeof f->folder, "test%d_%u", (int)getpid(), ++count);
	snprintf(text, sizeof text, "CREATE DATABASE %s OWNER postback", f->folder);
	postgres_server_run("postgres", text);
	postgres_server_url(f->url, sizeof f->url, f->folder);
}

static bool expects_no_scans;

void fixture_expect_no_scans(void)
{
	expects_no_scans = true;
}

/*
 * Each index read the empty table once when it was made, and version 2 of the schema read the endpoints. There are a few keys
 * of ids, and a line of meta, at most.
 */
static void expect_no_scans(const struct fixture *f)
{
	assert_int_equal(postgres_server_ask(f->folder,
				 "SELECT count(*) FROM pg_stat_user_tables WHERE schemaname = 'postback' "
				 "AND relname NOT IN ('id_keys', 'meta') "
				 "AND seq_scan > (SELECT count(*) FROM pg_index WHERE indrelid = relid) + "
				 "(relname = 'endpoints')::int"),
		0);
}

static void remove_postgres(struct fixture *f)
{
	char text[128];

	if (expects_no_scans)
		expect_no_scans(f);
	snprintf(text, sizeof text, "DROP DATABASE %s WITH (FORCE)", f->folder);
	postgres_server_run("postgres", text);
}

/* How a new and empty one comes to be, and goes. */
static const struct kind {
	const char *scheme;
	void (*make)(struct fixture *f);
	void (*remove)(struct fixture *f);
} kinds[] = {
	{"sqlite", make_sqlite, remove_sqlite},
	{"postgresql", make_postgres, remove_postgres},
};

static const struct kind *used = &kinds[0];

int fixture_use(const char *scheme)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].scheme, scheme) == 0) {
			used = &kinds[i];
			return 0;
		}
	}
	return -EINVAL;
}

void fixture_open(struct fixture *f)
{
	*f = (struct fixture){0};
	used->make(f);
	assert_int_equal(loop_new(&f->loop), 0);
	start(f);
}

void fixture_join(struct fixture *f, const struct fixture *first)
{
	*f = (struct fixture){0};
	memcpy(f->url, first->url, sizeof f->url);
	f->loop = first->loop;
	start(f);
}

void fixture_close(struct fixture *f)
{
	fixture_stop_store(f);
	arena_done(&f->arena);
	if (!*f->folder)
		return;
	loop_free(f->loop);
	used->remove(f);
}

int fixture_setup(void **state)
{
	struct fixture *f = malloc(sizeof *f);

	fixture_open(f);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

/* ---- examples ---- */

struct id new_id(struct fixture *f, int64_t at_ms)
{
	return id_mint(&f->minter, ID_TASK, TENANT, (uint64_t)at_ms);
}

struct store_event event_of(enum store_event_kind kind, const struct id *id, uint32_t attempt, int64_t at_ms)
{
	return (struct store_event){
		.kind = kind,
		.id = *id,
		.attempt = attempt,
		.tenant = TENANT,
		.task = TASK,
		.at_ms = at_ms,
		.started_at_ms = at_ms - 100,
		.finished_at_ms = kind >= STORE_EVENT_SUCCEEDED ? at_ms : 0,
		.retry_at_ms = kind == STORE_EVENT_RETRY ? at_ms + 1000 : 0,
		.request = kind == STORE_EVENT_RETRY ? slice_text("the request") : slice_of(NULL, 0),
	};
}

struct store_later later_of(const struct id *id, int64_t at_ms, int64_t due_ms)
{
	return (struct store_later){
		.id = *id,
		.tenant = TENANT,
		.task = TASK,
		.created_at_ms = at_ms,
		.due_at_ms = due_ms,
		.request = slice_text("the request"),
	};
}

/* ---- calls ---- */

/* What a callback leaves behind. */
struct answer {
	struct fixture *f;
	bool has_come;
	int rc;
	size_t len;
	struct store_task *tasks;
	struct store_applied *applied;
	struct store_due *due;
	int64_t next_ms;
	struct store_sweep swept;
	struct store_batch batch;
	uint32_t by_state[TASK_STATES];
	enum store_claim_state claim;
	enum store_cancel cancel;
	struct id id;
	struct slice kept;
	struct id_key keys[STORE_KEYS_MAX];
	uint64_t version;
	struct store_task_count *counts;
};

static int await_answer(struct answer *a, int rc)
{
	assert_int_equal(rc, 0);
	fixture_await(a->f, &a->has_come);
	return a->rc;
}

static void keep(struct answer *a, struct slice *s)
{
	*s = arena_copy(&a->f->arena, *s);
}

static void come(struct answer *a, int rc)
{
	a->rc = rc;
	a->has_come = true;
}

static void keep_task(struct answer *a, struct store_task *t)
{
	struct slice *const all[] = {&t->tenant, &t->task, &t->progress, &t->metadata, &t->worker,
		&t->error.type, &t->error.message, &t->error.data, &t->content_type, &t->result, &t->request};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		keep(a, all[i]);
}

static void *keep_array(struct answer *a, const void *items, size_t len, size_t size)
{
	void *copy = arena_alloc(&a->f->arena, len, size);

	if (len > 0)
		memcpy(copy, items, len * size);
	return copy;
}

static void on_done(int rc, void *arg)
{
	come(arg, rc);
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	struct answer *a = arg;

	a->tasks = keep_array(a, tasks, len, sizeof *tasks);
	a->len = len;
	for (size_t i = 0; i < len; i++)
		keep_task(a, &a->tasks[i]);
	come(a, rc);
}

int get_tasks(
	struct fixture *f, const struct id *ids, size_t len, unsigned with, const struct store_task **out)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_tasks_get(f->store, ids, len, with, on_tasks, &a));

	if (rc == 0)
		assert_int_equal(a.len, len);
	*out = a.tasks;
	return rc;
}

int get_task(struct fixture *f, const struct id *id, unsigned with, const struct store_task **out)
{
	return get_tasks(f, id, 1, with, out);
}

int list_tasks(
	struct fixture *f, const struct store_list_query *q, const struct store_task **out, size_t *len)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_tasks_list(f->store, q, on_tasks, &a));

	*out = a.tasks;
	*len = a.len;
	return rc;
}

static void on_applied(int rc, const struct store_applied *applied, size_t len, void *arg)
{
	struct answer *a = arg;

	a->applied = keep_array(a, applied, len, sizeof *applied);
	a->len = len;
	come(a, rc);
}

int apply_all(struct fixture *f, const struct store_event *e, size_t len, struct store_applied *out)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_apply(f->store, e, len, on_applied, &a));

	if (rc == 0 && out)
		memcpy(out, a.applied, len * sizeof *out);
	return rc;
}

int apply_one(struct fixture *f, const struct store_event *e, struct store_applied *out)
{
	return apply_all(f, e, 1, out);
}

int insert_later(struct fixture *f, const struct store_later *tasks, size_t len)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_later_insert(f->store, tasks, len, on_done, &a));
}

int undo_later(struct fixture *f, const struct id *ids, size_t len)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_later_undo(f->store, ids, len, on_done, &a));
}

static void on_cancel(int rc, enum store_cancel what, void *arg)
{
	struct answer *a = arg;

	a->cancel = what;
	come(a, rc);
}

int cancel_task(struct fixture *f, const struct id *id, int64_t now_ms, enum store_cancel *out)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_task_cancel(f->store, id, now_ms, on_cancel, &a));

	*out = a.cancel;
	return rc;
}

static void on_due(int rc, const struct store_due *due, size_t len, int64_t next_ms, void *arg)
{
	struct answer *a = arg;

	a->due = keep_array(a, due, len, sizeof *due);
	a->len = len;
	a->next_ms = next_ms;
	for (size_t i = 0; i < len; i++) {
		keep(a, &a->due[i].channel);
		keep(a, &a->due[i].target);
		keep(a, &a->due[i].secret);
		keep(a, &a->due[i].old_secrets);
		keep_task(a, &a->due[i].task);
		keep_task(a, &a->due[i].previous);
	}
	come(a, rc);
}

int claim_due(struct fixture *f, uint64_t owner, const char *channels, int64_t now_ms, int64_t lease_ms,
	size_t limit, const struct store_due **out, size_t *len, int64_t *next_ms)
{
	struct answer a = {.f = f};
	int rc = await_answer(
		&a, store_due_claim(f->store, owner, channels, now_ms, lease_ms, limit, on_due, &a));

	*out = a.due;
	*len = a.len;
	if (next_ms)
		*next_ms = a.next_ms;
	return rc;
}

static void on_due_ended(int rc, const struct store_endpoint *disabled, size_t len, void *arg)
{
	on_done(rc, arg);
}

int end_due(struct fixture *f, uint64_t owner, const struct store_due_result *r, size_t len)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_due_end(f->store, owner, r, len, on_due_ended, &a));
}

static void on_swept(int rc, const struct store_sweep *swept, void *arg)
{
	struct answer *a = arg;

	a->swept = *swept;
	come(a, rc);
}

int sweep_store(struct fixture *f, int64_t now_ms, size_t limit, struct store_sweep *out)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_sweep(f->store, now_ms, limit, on_swept, &a));

	*out = a.swept;
	return rc;
}

int insert_batch(struct fixture *f, const struct id *id, int64_t now_ms)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_batch_insert(f->store, id, TENANT, now_ms, on_done, &a));
}

int seal_batch(struct fixture *f, const struct id *id, const struct id *items, size_t len, int64_t now_ms)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_batch_seal(f->store, id, items, len, slice_text("[\"document\"]"),
					now_ms, on_done, &a));
}

static void on_batch(int rc, const struct store_batch *batch, const uint32_t by_state[TASK_STATES], void *arg)
{
	struct answer *a = arg;

	a->batch = *batch;
	keep(a, &a->batch.tenant);
	keep(a, &a->batch.document);
	keep(a, &a->batch.ids);
	memcpy(a->by_state, by_state, sizeof a->by_state);
	come(a, rc);
}

int get_batch(struct fixture *f, const struct id *id, const struct store_batch **out,
	uint32_t by_state[TASK_STATES])
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_batch_get(f->store, id, on_batch, &a));

	*out = keep_array(&a, &a.batch, 1, sizeof a.batch);
	memcpy(by_state, a.by_state, sizeof a.by_state);
	return rc;
}

static void on_claim(
	int rc, enum store_claim_state state, const struct id *id, struct slice answer, void *arg)
{
	struct answer *a = arg;

	a->claim = state;
	a->id = *id;
	a->kept = answer;
	keep(a, &a->kept);
	come(a, rc);
}

int claim_key(struct fixture *f, const struct store_claim *c, enum store_claim_state *out, struct id *id,
	struct slice *answer)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_claim(f->store, c, on_claim, &a));

	*out = a.claim;
	*id = a.id;
	*answer = a.kept;
	return rc;
}

int end_key(struct fixture *f, struct slice key, enum store_claim_end how, struct slice answer)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_claim_end(f->store, TENANT, key, how, answer, on_done, &a));
}

static void on_keys(int rc, const struct id_key *keys, size_t len, void *arg)
{
	struct answer *a = arg;

	memcpy(a->keys, keys, len * sizeof *keys);
	a->len = len;
	come(a, rc);
}

int get_keys(struct fixture *f, struct id_key keys[STORE_KEYS_MAX], size_t *len)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_keys(f->store, on_keys, &a));

	memcpy(keys, a.keys, sizeof a.keys);
	*len = a.len;
	return rc;
}

int add_key(struct fixture *f, const struct id_key *key, struct id_key keys[STORE_KEYS_MAX], size_t *len)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_keys_add(f->store, key, T0, on_keys, &a));

	memcpy(keys, a.keys, sizeof a.keys);
	*len = a.len;
	return rc;
}

static void on_version(int rc, uint64_t version, void *arg)
{
	struct answer *a = arg;

	a->version = version;
	come(a, rc);
}

int get_version(struct fixture *f, uint64_t *out)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_version(f->store, on_version, &a));

	*out = a.version;
	return rc;
}

static void on_counts(int rc, const struct store_task_count *counts, size_t len, void *arg)
{
	struct answer *a = arg;

	a->counts = keep_array(a, counts, len, sizeof *counts);
	a->len = len;
	for (size_t i = 0; i < len; i++)
		keep(a, &a->counts[i].task);
	come(a, rc);
}

int count_tasks(struct fixture *f, const struct store_task_count **out, size_t *len)
{
	struct answer a = {.f = f};
	int rc = await_answer(&a, store_tasks_count(f->store, TENANT, on_counts, &a));

	*out = a.counts;
	*len = a.len;
	return rc;
}

int add_dead_letter(struct fixture *f, const struct store_dead_letter *d)
{
	struct answer a = {.f = f};

	return await_answer(&a, store_dead_letter_add(f->store, d, on_done, &a));
}

void fixture_expect_works(struct fixture *f)
{
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	const struct store_task *t;

	assert_int_equal(apply_one(f, &e, NULL), 0);
	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_int_equal(t->presence, STORE_PRESENT);
}
