/*
 * A thread of the store with one connection. It takes what waits in its mailbox, runs it in one transaction (the group
 * commit; a reader: one snapshot) and posts it back. It opens the connection, and again with backoff when it was lost;
 * what arrives meanwhile fails with -EIO.
 */
#ifndef STORE_WORKER_H
#define STORE_WORKER_H

#include <stdatomic.h>

#include "runtime/mailbox.h"
#include "store/backend.h"
#include "store/op.h"

struct worker;

/* Counted by the threads, read anywhere. */
struct worker_stats {
	atomic_uint_fast64_t commits, writes, reads, errors;
	atomic_int_fast64_t last_commit_us;
};

struct worker_options {
	const struct backend_type *type;
	struct backend_options backend; /* the location must outlive the worker */
	struct mailbox *out;		/* where finished ops go, and those of op_state */
	struct worker_stats *stats;
	const atomic_bool *wants_changes; /* post an op of op_changes after each commit that has some */
};

/* The type of the ops by which a worker tells that its connection is up or lost (op->state); the loop acts on them. */
extern const struct op_type op_state;
/* And those with what was just committed (op->changes). */
extern const struct op_type op_changes;

int worker_new(const struct worker_options *opt, struct worker **out);
/* A worker opens nothing before this. Any thread, repeatedly. */
void worker_go(struct worker *w);
void worker_post(struct worker *w, struct op *op);
/* Runs what was posted, then ends the thread and frees. */
void worker_free(struct worker *w);

#endif
