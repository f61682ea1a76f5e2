/*
 * The store's calls made to wait, for tests: each runs the loop until its callback came and copies what that was given.
 * Knows no kind of database but by the URL.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "store/arena.h"
#include "store/store.h"

#define HOUR_MS ((int64_t)3600 * 1000)
#define DAY_MS	(24 * HOUR_MS)

/* A moment to invent others from. */
#define T0 ((int64_t)1700000000000)

struct fixture {
	struct loop *loop;
	struct store *store;
	struct arena arena; /* of what was read */
	struct id_minter minter;
	char folder[64]; /* or the name of the database; empty: joined another one's */
	char url[128];
	char why[512]; /* it went down last */
	bool was_told, is_up;
	bool went_down; /* since that was awaited last */
	unsigned told;
};

/* Which kind of store fixture_open makes: the scheme of its URL. 0 or -EINVAL. Without it: sqlite. */
int fixture_use(const char *scheme);
/* Of a server: no statement of a test read a whole table. */
void fixture_expect_no_scans(void);
/* A new, empty store that is up. */
void fixture_open(struct fixture *f);
/* Another connection to the same database, as another process would have it; on the same loop. */
void fixture_join(struct fixture *f, const struct fixture *first);
void fixture_close(struct fixture *f);
/* For cmocka: a new fixture for each test. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Runs the loop until *flag. Fails the test after two minutes. */
void fixture_await(struct fixture *f, const bool *flag);
/* True: it is up. False: it went down since the last of these calls, whatever it is now. */
void fixture_await_up(struct fixture *f, bool is_up);
/* Only the store, with the folder as it is. */
void fixture_start_store(struct fixture *f);
void fixture_stop_store(struct fixture *f);
/* What is written now is there afterwards. */
void fixture_expect_works(struct fixture *f);

struct id new_id(struct fixture *f, int64_t at_ms);
/* An event with everything that it must have. */
struct store_event event_of(enum store_event_kind kind, const struct id *id, uint32_t attempt, int64_t at_ms);
struct store_later later_of(const struct id *id, int64_t at_ms, int64_t due_ms);

#define TENANT slice_text("acme")
#define TASK   slice_text("echo")

/* Each returns the callback's rc. What is read stays valid until fixture_close. */
int get_task(struct fixture *f, const struct id *id, unsigned with, const struct store_task **out);
int get_tasks(
	struct fixture *f, const struct id *ids, size_t len, unsigned with, const struct store_task **out);
int list_tasks(
	struct fixture *f, const struct store_list_query *q, const struct store_task **out, size_t *len);
int apply_one(struct fixture *f, const struct store_event *e, struct store_applied *out);
int apply_all(struct fixture *f, const struct store_event *e, size_t len, struct store_applied *out);
int insert_later(struct fixture *f, const struct store_later *tasks, size_t len);
int undo_later(struct fixture *f, const struct id *ids, size_t len);
int cancel_task(struct fixture *f, const struct id *id, int64_t now_ms, enum store_cancel *out);
int claim_due(struct fixture *f, uint64_t owner, const char *channels, int64_t now_ms, int64_t lease_ms,
	size_t limit, const struct store_due **out, size_t *len, int64_t *next_ms);
int end_due(struct fixture *f, uint64_t owner, const struct store_due_result *r, size_t len);
int sweep_store(struct fixture *f, int64_t now_ms, size_t limit, struct store_sweep *out);
int insert_batch(struct fixture *f, const struct id *id, int64_t now_ms);
int seal_batch(struct fixture *f, const struct id *id, const struct id *items, size_t len, int64_t now_ms);
int get_batch(struct fixture *f, const struct id *id, const struct store_batch **out,
	uint32_t by_state[TASK_STATES]);
int claim_key(struct fixture *f, const struct store_claim *c, enum store_claim_state *out, struct id *id,
	struct slice *answer);
int end_key(struct fixture *f, struct slice key, enum store_claim_end how, struct slice answer);
int get_keys(struct fixture *f, struct id_key keys[STORE_KEYS_MAX], size_t *len);
int add_key(struct fixture *f, const struct id_key *key, struct id_key keys[STORE_KEYS_MAX], size_t *len);
int get_version(struct fixture *f, uint64_t *out);
int count_tasks(struct fixture *f, const struct store_task_count **out, size_t *len);
int add_dead_letter(struct fixture *f, const struct store_dead_letter *d);

#endif
