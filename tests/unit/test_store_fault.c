/*
 * Disks that are full or broken, memory that is not there: the 1st, 2nd, … write, sync or allocation fails. Nothing is ever
 * half done, nobody is told that something worked which did not, and it comes back by itself.
 */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/store_fixture.h"

/* ---- a disk that fails when told to ---- */

static struct {
	atomic_int countdown; /* operations until the failure; below 0: works, 0: fails from now on */
	atomic_int code;
	atomic_bool only_database; /* the log still works */
	atomic_uint syncs;
} disk = {.countdown = -1};

/* SQLite has other methods for its log (1) than for the database (0). */
static const sqlite3_io_methods *real[2];
static sqlite3_io_methods faulty[2];
static sqlite3_vfs vfs, *real_vfs;

static bool must_fail(void)
{
	int left = atomic_load(&disk.countdown);

	while (left > 0 && !atomic_compare_exchange_weak(&disk.countdown, &left, left - 1))
		;
	return left == 0 || left == 1;
}

/* The log's files have names that end so; which file it is cannot be asked of an open one, so it is kept by address. */
enum { FILES_MAX = 64 };
static _Atomic(sqlite3_file *) logs[FILES_MAX];

static bool is_log(sqlite3_file *file)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (atomic_load(&logs[i]) == file)
			return true;
	return false;
}

static const sqlite3_io_methods *real_of(sqlite3_file *file)
{
	return real[is_log(file)];
}

static bool fails(sqlite3_file *file)
{
	if (atomic_load(&disk.only_database) && is_log(file))
		return false;
	return must_fail();
}

static int faulty_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	return fails(file) ? atomic_load(&disk.code) : real_of(file)->xWrite(file, data, len, at);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
	if (fails(file))
		return SQLITE_IOERR_FSYNC;
	if (is_log(file))
		atomic_fetch_add(&disk.syncs, 1);
	return real_of(file)->xSync(file, flags);
}

static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return fails(file) ? SQLITE_IOERR_TRUNCATE : real_of(file)->xTruncate(file, size);
}

static int faulty_close(sqlite3_file *file)
{
	const sqlite3_io_methods *methods = real_of(file);

	for (size_t i = 0; i < FILES_MAX; i++)
		if (atomic_load(&logs[i]) == file)
			atomic_store(&logs[i], NULL);
	return methods->xClose(file);
}

static void note_log(sqlite3_file *file)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		sqlite3_file *none = NULL;

		if (atomic_compare_exchange_strong(&logs[i], &none, file))
			return;
	}
}

/* Made by the first file of each kind, before there is a second thread that opens any. */
static const sqlite3_io_methods *wrap(const sqlite3_io_methods *methods, int kind)
{
	if (!real[kind]) {
		real[kind] = methods;
		faulty[kind] = *methods;
		faulty[kind].xWrite = faulty_write;
		faulty[kind].xSync = faulty_sync;
		faulty[kind].xTruncate = faulty_truncate;
		faulty[kind].xClose = faulty_close;
	}
	return &faulty[kind];
}

static int faulty_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	int rc = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);

	if (rc != SQLITE_OK || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return rc;
	file->pMethods = wrap(file->pMethods, flags & SQLITE_OPEN_WAL ? 1 : 0);
	if (flags & SQLITE_OPEN_WAL)
		note_log(file);
	return rc;
}

static void install_disk(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "faulty";
	vfs.xOpen = faulty_open;
	sqlite3_vfs_register(&vfs, 1);
}

static void break_disk(int after, int code)
{
	atomic_store(&disk.code, code);
	atomic_store(&disk.countdown, after);
}

static bool mend_disk(void)
{
	return atomic_exchange(&disk.countdown, -1) == 0;
}

/* ---- memory that fails when told to ---- */

static struct {
	atomic_int countdown; /* allocations until one fails; below 0: none will */
} memory = {.countdown = -1};

static sqlite3_mem_methods real_memory;

static bool is_memory_gone(void)
{
	int left = atomic_load(&memory.countdown);

	while (left >= 0 && !atomic_compare_exchange_weak(&memory.countdown, &left, left - 1))
		;
	return left == 0;
}

static void *faulty_malloc(int len)
{
	return is_memory_gone() ? NULL : real_memory.xMalloc(len);
}

static void *faulty_realloc(void *p, int len)
{
	return is_memory_gone() ? NULL : real_memory.xRealloc(p, len);
}

static void install_memory(void)
{
	sqlite3_mem_methods methods;

	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
	methods = real_memory;
	methods.xMalloc = faulty_malloc;
	methods.xRealloc = faulty_realloc;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* ---- our own memory: malloc and calloc are wrapped by the linker, SQLite's are not ---- */

static atomic_int our_countdown = -1; /* allocations until one fails; below 0: none will */

static bool is_our_memory_gone(void)
{
	int left = atomic_load(&our_countdown);

	while (left >= 0 && !atomic_compare_exchange_weak(&our_countdown, &left, left - 1))
		;
	return left == 0;
}

/* The linker fixes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t len)
{
	return is_our_memory_gone() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_our_memory_gone() ? NULL : __real_calloc(count, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- one piece of work of several parts, done whole or not at all ---- */

struct work {
	struct id done, again;
	struct store_event events[2];
	uint8_t *bytes;
	unsigned endpoints; /* that are told */
};

enum { BYTES = 100000 };

static void prepare(struct fixture *f, struct work *w)
{
	*w = (struct work){.done = new_id(f, T0), .again = new_id(f, T0)};
	w->bytes = calloc(1, BYTES);
	w->events[0] = event_of(STORE_EVENT_SUCCEEDED, &w->done, 1, T0);
	w->events[0].result = slice_of(w->bytes, BYTES);
	w->events[0].deliver = slice_text("[{\"channel\":\"webhook\",\"target\":{}}]");
	w->events[1] = event_of(STORE_EVENT_RETRY, &w->again, 1, T0);
}

static void expect_all_or_nothing(struct fixture *f, const struct work *w, bool all)
{
	const struct id ids[] = {w->done, w->again};
	const struct store_task *t;

	assert_int_equal(get_tasks(f, ids, 2, STORE_WITH_RESULT | STORE_WITH_REQUEST, &t), 0);
	assert_int_equal(t[0].presence, all ? STORE_PRESENT : STORE_ABSENT);
	assert_int_equal(t[1].presence, all ? STORE_PRESENT : STORE_ABSENT);
	if (!all)
		return;
	assert_int_equal(t[0].result.len, BYTES);
	assert_int_equal(t[0].deliveries_pending, 1 + w->endpoints);
	assert_true(slice_is_set(t[1].request));
}

static void expect_sound(const struct fixture *f)
{
	sqlite3_stmt *statement;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->url + strlen("sqlite:"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
	sqlite3_finalize(statement);
	sqlite3_close(db);
}

static void await_calls(struct fixture *f)
{
	struct store_stats stats;

	do {
		event_base_loop(loop_base(f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
		store_stats(f->store, &stats);
	} while (stats.waiting > 0);
}

/* With the n-th operation and all that follow failing. False when the work needed fewer. */
static bool survive(struct fixture *f, int n, int code)
{
	struct work w;
	bool was_hit;
	int rc;

	prepare(f, &w);
	break_disk(n, code);
	rc = apply_all(f, w.events, 2, NULL);
	if (rc < 0) {
		assert_int_equal(rc, -EIO);
		fixture_await_up(f, false);
		assert_non_null(strstr(f->why, "t.db"));
		assert_true(strlen(f->why) > 40);
	}
	was_hit = mend_disk();
	fixture_await_up(f, true);
	if (rc == 0)
		assert_false(was_hit && code == SQLITE_FULL && n == 1);
	expect_all_or_nothing(f, &w, rc == 0);
	assert_int_equal(apply_all(f, w.events, 2, NULL), 0);
	expect_all_or_nothing(f, &w, true);
	await_calls(f);
	free(w.bytes);
	return was_hit;
}

static void sweep_disk(struct fixture *f, int code)
{
	int n = 1;

	while (survive(f, n, code))
		n++;
	/* 100 kB are 25 pages at least, each a write, and a sync. */
	assert_true(n > 25);
	expect_sound(f);
}

static void a_full_disk_loses_nothing_at_whichever_write(void **state)
{
	sweep_disk(*state, SQLITE_FULL);
}

static void a_broken_disk_loses_nothing_at_whichever_write(void **state)
{
	sweep_disk(*state, SQLITE_IOERR_WRITE);
}

static void a_disk_full_at_the_start_is_told_and_waited_for(void **state)
{
	struct fixture *f = *state;
	struct work w;

	fixture_stop_store(f);
	break_disk(1, SQLITE_FULL);
	fixture_start_store(f);
	fixture_await_up(f, false);
	assert_non_null(strstr(f->why, "make room"));
	prepare(f, &w);
	assert_int_equal(store_apply(f->store, w.events, 2, NULL, NULL), -ENOTCONN);
	mend_disk();
	fixture_await_up(f, true);
	assert_int_equal(apply_all(f, w.events, 2, NULL), 0);
	expect_all_or_nothing(f, &w, true);
	free(w.bytes);
}

static void reading_goes_on_while_the_disk_is_full(void **state)
{
	struct fixture *f = *state;
	const struct store_task *t;
	struct id id = new_id(f, T0);
	struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);
	struct work w;

	assert_int_equal(apply_one(f, &e, NULL), 0);
	prepare(f, &w);
	break_disk(1, SQLITE_FULL);
	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_int_equal(t->presence, STORE_PRESENT);
	assert_int_equal(apply_all(f, w.events, 2, NULL), -EIO);
	fixture_await_up(f, false);
	assert_int_equal(get_task(f, &id, 0, &t), 0);
	assert_int_equal(t->presence, STORE_PRESENT);
	mend_disk();
	fixture_await_up(f, true);
	free(w.bytes);
}

/* What is written back from the log can be written back later. */
static void a_checkpoint_that_fails_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct id ids[200];

	atomic_store(&disk.only_database, true);
	break_disk(1, SQLITE_FULL);
	for (size_t i = 0; i < 200; i++) {
		struct work w;

		prepare(f, &w);
		ids[i] = w.done;
		assert_int_equal(apply_all(f, w.events, 2, NULL), 0);
		free(w.bytes);
	}
	assert_true(mend_disk());
	atomic_store(&disk.only_database, false);
	fixture_stop_store(f);
	fixture_start_store(f);
	fixture_await_up(f, true);
	for (size_t i = 0; i < 200; i++) {
		const struct store_task *t;

		assert_int_equal(get_task(f, &ids[i], 0, &t), 0);
		assert_int_equal(t->presence, STORE_PRESENT);
	}
	expect_sound(f);
}

static void whatever_is_told_to_be_done_was_synced_before(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++) {
		unsigned before = atomic_load(&disk.syncs);
		struct id id = new_id(f, T0);
		struct store_event e = event_of(STORE_EVENT_SUCCEEDED, &id, 1, T0);

		assert_int_equal(apply_one(f, &e, NULL), 0);
		assert_true(atomic_load(&disk.syncs) > before);
	}
}

static void memory_that_fails_at_whichever_allocation_loses_nothing(void **state)
{
	struct fixture *f = *state;
	bool was_hit = true;
	struct work w;

	for (int n = 0; was_hit; n++) {
		int rc;

		prepare(f, &w);
		atomic_store(&memory.countdown, n);
		rc = apply_all(f, w.events, 2, NULL);
		was_hit = atomic_exchange(&memory.countdown, -1) < 0;
		assert_true(rc == 0 || rc == -EIO);
		fixture_await_up(f, true);
		expect_all_or_nothing(f, &w, rc == 0);
		assert_int_equal(apply_all(f, w.events, 2, NULL), 0);
		free(w.bytes);
	}
	expect_sound(f);
}

struct told {
	bool has_come;
	int rc;
};

static void on_told(int rc, const struct store_applied *applied, size_t len, void *arg)
{
	struct told *t = arg;

	atomic_store(&our_countdown, -1);
	*t = (struct told){true, rc};
}

static void on_added(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	on_told(rc, NULL, 0, arg);
}

static void add_endpoint(struct fixture *f)
{
	const struct store_endpoint e = {
		.id = id_mint(&f->minter, ID_ENDPOINT, TENANT, (uint64_t)T0),
		.tenant = TENANT,
		.url = slice_text("http://x/"),
		.secret = slice_text("whsec_x"),
		.created_at_ms = T0,
	};
	struct told t = {0};

	assert_int_equal(store_endpoint_add(f->store, &e, on_added, &t), 0);
	fixture_await(f, &t.has_come);
	assert_int_equal(t.rc, 0);
}

static void our_own_allocations_may_fail_one_by_one(void **state)
{
	struct fixture *f = *state;
	bool was_hit = true;
	int refused = 0, failed = 0;
	char deliver[20000];

	/* Long enough that the thread needs memory too. */
	snprintf(deliver, sizeof deliver, "[{\"channel\":\"webhook\",\"target\":{\"x\":\"%019900d\"}}]", 0);
	add_endpoint(f);
	for (int n = 0; was_hit; n++) {
		struct told t = {0};
		struct work w;
		int rc;

		prepare(f, &w);
		w.endpoints = 1;
		w.events[0].deliver = slice_text(deliver);
		atomic_store(&our_countdown, n);
		rc = store_apply(f->store, w.events, 2, on_told, &t);
		if (rc < 0)
			assert_int_equal(rc, -ENOMEM);
		else
			fixture_await(f, &t.has_come);
		was_hit = n < 200 && (rc < 0 || t.rc < 0);
		refused += rc < 0;
		failed += t.rc < 0;
		atomic_store(&our_countdown, -1);
		expect_all_or_nothing(f, &w, rc == 0 && t.rc == 0);
		free(w.bytes);
	}
	assert_true(refused >= 2);
	assert_true(failed >= 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_loses_nothing_at_whichever_write),
		TEST(a_broken_disk_loses_nothing_at_whichever_write),
		TEST(a_disk_full_at_the_start_is_told_and_waited_for),
		TEST(reading_goes_on_while_the_disk_is_full),
		TEST(a_checkpoint_that_fails_loses_nothing),
		TEST(whatever_is_told_to_be_done_was_synced_before),
		TEST(memory_that_fails_at_whichever_allocation_loses_nothing),
		TEST(our_own_allocations_may_fail_one_by_one),
	};

	install_memory();
	install_disk();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
