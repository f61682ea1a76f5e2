/*
 * What a kind of database has to do: execute the store's operations on one connection, one after the other, blocking,
 * in the thread that has the connection. Threads, queues, grouping into transactions and callbacks are not its matter.
 *
 * Operations return 0, or
 *   -EBADMSG  this operation alone cannot be done (rolled back to its savepoint, the others go on),
 *   -ERESTART others wrote at the same time: the transaction failed and may well work when it is run again,
 *   -EBUSY    somebody else holds the database for too long: the transaction failed, the connection is good,
 *   -ENOMEM   the same, for memory,
 *   -EIO      the connection or the database failed: it is closed and opened again later.
 * With the last four `why` says what happened and what to do about it, for people.
 *
 * Everything that an operation returns by pointer lives in the arena that it was given.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "store/arena.h"
#include "store/lifetime.h"
#include "store/store.h"

#define BACKEND_WHY_LEN 512

struct backend_type;
struct changes;

/* A connection; embedded first in the kind's own struct. */
struct backend {
	const struct backend_type *type;
	char why[BACKEND_WHY_LEN];
	uint64_t transaction;	 /* counts them: what was read in another one may be different now */
	struct changes *changes; /* of the transaction; NULL: nobody wants to hear of them */
};

struct backend_options {
	const char *location; /* the URL behind its scheme */
	const char *password; /* beside the URL; NULL: none */
	struct lifetime lifetime;
	bool is_writer; /* else it only ever reads */
};

struct backend_due_query {
	uint64_t owner;
	const char *channels; /* comma separated; NULL: all */
	int64_t now_ms, lease_ms;
	size_t limit;
};

struct backend_claimed {
	enum store_claim_state state;
	struct id id;
	struct slice answer;
};

struct backend_batch {
	struct store_batch batch;
	uint32_t by_state[TASK_STATES];
};

/* What an operation on endpoints or deliveries gives. */
struct backend_endpoints {
	enum store_endpoint_outcome what;
	struct store_endpoint *items;
	size_t len;
};

struct backend_deliveries {
	struct store_task task;
	struct store_delivery *items;
	size_t len;
};

struct backend_type {
	const char *scheme; /* of the URL, without the colon */
	const char *alias;  /* another one that means the same; NULL: none */

	/* 0, or -EINVAL with `why` written when the location can never be one. */
	int (*check)(const char *location, char *why, size_t why_len);
	/* The location as people may see it: no password. */
	void (*describe)(const char *location, char *out, size_t len);
	/* A writer creates and migrates what is missing and proves that it can write. On failure *out is NULL, `why` set. */
	int (*open)(const struct backend_options *opt, struct backend **out, char why[BACKEND_WHY_LEN]);
	void (*close)(struct backend *b);

	/*
	 * A writer's transaction has the database to itself, or is kept apart from others' by what it locks; a reader's is
	 * a snapshot. Whether the commit that failed with -EIO took place may be unknown: whoever calls the store does
	 * everything again, so every operation done twice is done once.
	 */
	int (*begin)(struct backend *b);
	int (*commit)(struct backend *b);
	/* Before a commit that somebody wants to hear of: `changes` gets what it lacks. */
	int (*changes_read)(struct backend *b);
	/* Safe when there is none. */
	void (*rollback)(struct backend *b);
	/*
	 * Around each operation of a transaction: a mark, and back to it or on without it. Costs something, so a
	 * transaction is tried without marks first; then a failure may show later than at the operation that it belongs to.
	 */
	int (*mark)(struct backend *b);
	int (*mark_keep)(struct backend *b);
	int (*mark_undo)(struct backend *b);

	/* Reading. */
	int (*keys_get)(struct backend *b, struct id_key keys[STORE_KEYS_MAX], size_t *len);
	int (*tasks_get)(struct backend *b, struct arena *a, const struct id *ids, size_t len, unsigned with,
		struct store_task *out);
	int (*tasks_list)(struct backend *b, struct arena *a, const struct store_list_query *q,
		struct store_task *out, size_t *len);
	int (*tasks_count)(struct backend *b, struct arena *a, struct slice tenant,
		struct store_task_count **out, size_t *len);
	int (*batch_get)(struct backend *b, struct arena *a, const struct id *id, struct backend_batch *out);
	int (*version)(struct backend *b, uint64_t *out);
	/* NULL, or a descriptor that becomes readable between transactions when the connection has something to say: look at it. */
	int (*fd)(const struct backend *b);
	int (*look)(struct backend *b);
	int (*deliveries_get)(
		struct backend *b, struct arena *a, const struct id *task, struct backend_deliveries *out);
	int (*delivery_get)(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
		struct backend_deliveries *out);
	/* A zero id: all of the tenant's. */
	int (*endpoints_get)(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
		struct backend_endpoints *out);

	/* Writing. */
	int (*keys_add)(struct backend *b, const struct id_key *key, int64_t now_ms);
	int (*later_insert)(struct backend *b, struct arena *a, const struct store_later *tasks, size_t len,
		bool *is_gone);
	int (*later_undo)(struct backend *b, const struct id *ids, size_t len);
	int (*batch_insert)(struct backend *b, const struct id *id, struct slice tenant, int64_t now_ms);
	int (*batch_seal)(struct backend *b, struct arena *a, const struct id *id, const struct id *accepted,
		size_t len, struct slice document, int64_t now_ms);
	int (*claim)(
		struct backend *b, struct arena *a, const struct store_claim *c, struct backend_claimed *out);
	int (*claim_end)(struct backend *b, struct slice tenant, struct slice key, enum store_claim_end how,
		struct slice answer);
	int (*apply)(struct backend *b, struct arena *a, const struct store_event *events, size_t len,
		struct store_applied *out);
	int (*task_cancel)(struct backend *b, struct arena *a, const struct id *id, int64_t now_ms,
		enum store_cancel *out);
	int (*due_claim)(struct backend *b, struct arena *a, const struct backend_due_query *q,
		struct store_due *out, size_t *len, int64_t *next_due_ms);
	int (*due_end)(struct backend *b, struct arena *a, uint64_t owner,
		const struct store_due_result *results, size_t len, struct backend_endpoints *disabled);
	int (*delivery_retry)(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
		int64_t now_ms, enum store_retry *what, struct backend_deliveries *out);
	int (*deliveries_replay)(struct backend *b, struct arena *a, const struct store_replay *r,
		size_t *count, bool *has_more);
	int (*endpoint_add)(struct backend *b, struct arena *a, const struct store_endpoint *e,
		struct backend_endpoints *out);
	int (*endpoint_change)(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
		const struct store_endpoint_change *change, struct backend_endpoints *out);
	int (*endpoint_rotate)(struct backend *b, struct arena *a, const struct id *id, struct slice tenant,
		struct slice secret, int64_t old_until_ms, int64_t now_ms, struct backend_endpoints *out);
	int (*endpoint_remove)(
		struct backend *b, const struct id *id, struct slice tenant, struct backend_endpoints *out);
	int (*dead_letter_add)(struct backend *b, const struct store_dead_letter *d);
	int (*sweep)(
		struct backend *b, struct arena *a, int64_t now_ms, size_t limit, struct store_sweep *out);
};

extern const struct backend_type backend_sqlite, backend_postgres;

#endif
