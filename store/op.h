/*
 * One call on its way through a thread of the store: what it was given, what came of it, whom to tell. Belongs to the
 * loop until it is posted, then to the thread, then to the loop again.
 */
#ifndef STORE_OP_H
#define STORE_OP_H

#include "runtime/mailbox.h"
#include "store/arena.h"
#include "store/backend.h"

struct op;

struct op_type {
	const char *name;
	bool is_write;
	/* In the thread, inside a transaction. 0 or what a backend returns. */
	int (*run)(struct backend *b, struct op *op);
	/* On the loop. */
	void (*reply)(struct op *op);
};

struct op {
	struct mail mail; /* first */
	const struct op_type *type;
	struct arena arena; /* of the arguments and the results */
	int rc;
	void *arg;
	union {
		/* calls that only say whether it worked */
		struct {
			store_done_cb *cb;
			union {
				struct {
					const struct store_later *tasks;
					size_t len;
					bool is_gone;
				} later;
				struct {
					const struct id *ids;
					size_t len;
				} undo;
				struct {
					struct id id;
					struct slice tenant;
					int64_t now_ms;
				} batch;
				struct {
					struct id id;
					const struct id *accepted;
					size_t len;
					struct slice document;
					int64_t now_ms;
				} seal;
				struct {
					struct slice tenant, key;
					enum store_claim_end how;
					struct slice answer;
				} claim_end;
				struct store_dead_letter dead_letter;
			};
		} done;
		struct {
			store_keys_cb *cb;
			struct id_key add;
			int64_t now_ms;
			struct id_key keys[STORE_KEYS_MAX];
			size_t len;
		} keys;
		struct {
			store_tasks_cb *cb;
			const struct id *ids;
			unsigned with;
			struct store_list_query query;
			struct store_task *tasks;
			size_t len;
		} tasks;
		struct {
			store_counts_cb *cb;
			struct slice tenant;
			struct store_task_count *counts;
			size_t len;
		} counts;
		struct {
			store_version_cb *cb;
			uint64_t version;
		} version;
		struct {
			store_batch_cb *cb;
			struct id id;
			struct backend_batch found;
		} batch_get;
		struct {
			store_claim_cb *cb;
			struct store_claim claim;
			struct backend_claimed claimed;
		} claim;
		struct {
			store_apply_cb *cb;
			const struct store_event *events;
			size_t len;
			struct store_applied *applied;
		} apply;
		struct {
			store_cancel_cb *cb;
			struct id id;
			int64_t now_ms;
			enum store_cancel what;
		} cancel;
		struct {
			store_due_cb *cb;
			struct backend_due_query query;
			struct store_due *due;
			size_t len;
			int64_t next_due_ms;
		} due;
		struct {
			store_due_end_cb *cb;
			uint64_t owner;
			const struct store_due_result *results;
			size_t len;
			struct backend_endpoints disabled;
		} due_end;
		struct {
			store_deliveries_cb *cb;
			struct id id;
			struct slice tenant;
			struct backend_deliveries found;
		} deliveries;
		struct {
			store_retry_cb *cb;
			struct id id;
			struct slice tenant;
			int64_t now_ms;
			enum store_retry what;
			struct backend_deliveries found;
		} retry;
		struct {
			store_replay_cb *cb;
			struct store_replay replay;
			size_t count;
			bool has_more;
		} replay;
		struct {
			store_endpoints_cb *cb;
			struct id id;
			struct slice tenant;
			struct store_endpoint add;
			struct store_endpoint_change change;
			struct slice secret;
			int64_t old_until_ms, now_ms;
			struct backend_endpoints found;
		} endpoint;
		struct {
			store_sweep_cb *cb;
			int64_t now_ms;
			size_t limit;
			struct store_sweep swept;
		} sweep;
		/* what a transaction changed */
		struct {
			const struct store_task *tasks;
			size_t len;
		} changes;
		/* what a thread tells of itself */
		struct {
			bool is_writer, is_up;
			char why[BACKEND_WHY_LEN];
		} state;
	};
};

/* Zeroed but for type and arg; NULL when out of memory. */
struct op *op_new(const struct op_type *type, void *arg);
void op_free(struct op *op);
static inline struct op *op_of(struct mail *mail)
{
	return (struct op *)mail;
}

/* Copies into the op's arena; what is not there stays so. A failure shows in arena.has_failed. */
static inline struct slice op_copy(struct op *op, struct slice s)
{
	return arena_copy(&op->arena, s);
}
struct id *op_copy_ids(struct op *op, const struct id *ids, size_t len);
void *op_copy_array(struct op *op, const void *items, size_t count, size_t size);

/*
 * Hands the op to the thread of its type. Takes the op whatever comes. 0, -ENOMEM (also when one of the copies failed),
 * -EAGAIN, -ENOTCONN. In store.c.
 */
int store_submit(struct store *s, struct op *op);

#endif
