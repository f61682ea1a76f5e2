#include "store/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "store/changes.h"

enum {
	GROUP_OPS_MAX = 512,
	GROUP_BYTES_MAX = 32 << 20,
	REOPEN_BASE_MS = 50,
	REOPEN_CAP_MS = 5000,
	TRIES_MAX = 10, /* of a transaction that others were in the way of */
	TRIES_PLAIN = 4,
	PAUSE_US = 500, /* doubled with each try */
};

struct worker {
	struct worker_options opt;
	struct mailbox *in;
	pthread_t thread;
	atomic_bool is_ending; /* worker_free waits: no second long wait for a database that is held */
	/* All below belongs to the thread. */
	struct backend *backend;
	struct mail *first, **end; /* taken, not yet run */
	bool may_open, is_stopping, has_given_up;
	bool has_told, was_up; /* what the loop knows */
	char told_why[BACKEND_WHY_LEN];
	uint32_t failures;
	int64_t reopen_at_ms;
	struct changes changes; /* of the transaction */
};

const struct op_type op_state = {.name = "state"};
const struct op_type op_changes = {.name = "changes"};

/* Orders to the thread itself; they have no way back. */
static const struct op_type op_go = {.name = "go"};
static const struct op_type op_stop = {.name = "stop"};

/* For what has no other way to be said and nobody to tell that it could not be: memory must come. */
static struct op *op_wait_new(const struct op_type *type)
{
	struct op *op;

	while (!(op = op_new(type, NULL)))
		poll(NULL, 0, 1);
	return op;
}

static void post_state(struct worker *w, bool is_up, const char *why)
{
	struct op *op;

	if (w->has_told && w->was_up == is_up && strcmp(w->told_why, why) == 0)
		return;
	op = op_wait_new(&op_state);
	op->state.is_writer = w->opt.backend.is_writer;
	op->state.is_up = is_up;
	strcpy(op->state.why, why);
	w->has_told = true;
	w->was_up = is_up;
	strcpy(w->told_why, why);
	mailbox_post(w->opt.out, &op->mail);
}

/* ---- connection ---- */

static void plan_reopen(struct worker *w)
{
	w->failures++;
	w->reopen_at_ms =
		clock_mono_ms() + backoff_ms(REOPEN_BASE_MS, REOPEN_CAP_MS, w->failures, random_u32());
}

static void lose(struct worker *w, const char *why)
{
	char kept[BACKEND_WHY_LEN];

	strcpy(kept, why);
	if (w->backend)
		w->opt.type->close(w->backend);
	w->backend = NULL;
	atomic_fetch_add_explicit(&w->opt.stats->errors, 1, memory_order_relaxed);
	plan_reopen(w);
	post_state(w, false, kept);
}

static void open_connection(struct worker *w)
{
	char why[BACKEND_WHY_LEN] = "";
	int rc;

	if (!w->may_open || w->backend || w->is_stopping || clock_mono_ms() < w->reopen_at_ms)
		return;
	rc = w->opt.type->open(&w->opt.backend, &w->backend, why);
	if (rc < 0) {
		lose(w, why);
		return;
	}
	post_state(w, true, "");
}

/* ---- one transaction ---- */

static struct mail *detach_group(struct worker *w)
{
	struct mail *first = w->first, **end = &first;
	size_t ops = 0, bytes = 0;

	while (*end && op_of(*end)->type->run && ops < GROUP_OPS_MAX && bytes < GROUP_BYTES_MAX) {
		ops++;
		bytes += op_of(*end)->arena.total;
		end = &(*end)->next;
	}
	w->first = *end;
	if (!w->first)
		w->end = &w->first;
	*end = NULL;
	return first;
}

/* Failing for one's own reasons is told to the caller and harms nobody else. */
static int run_marked(struct worker *w, struct op *op)
{
	const struct backend_type *t = w->opt.type;
	size_t changed = w->changes.len;
	int rc = t->mark(w->backend);

	if (rc < 0)
		return rc;
	op->rc = op->type->run(w->backend, op);
	if (op->rc == -EBADMSG) {
		log_warn("store_call_failed", LOG_TEXT("call", op->type->name),
			LOG_TEXT("error", w->backend->why));
		op->rc = -EIO;
		changes_cut(&w->changes, changed);
		return t->mark_undo(w->backend);
	}
	return op->rc < 0 ? op->rc : t->mark_keep(w->backend);
}

static int run_plain(struct worker *w, struct op *op)
{
	op->rc = op->type->run(w->backend, op);
	return op->rc;
}

typedef int run_fn(struct worker *w, struct op *op);

static int try_group(struct worker *w, struct mail *group, run_fn *run)
{
	const struct backend_type *t = w->opt.type;
	bool is_writer = w->opt.backend.is_writer;
	int rc = t->begin(w->backend);

	w->backend->transaction++;
	w->backend->changes = is_writer && atomic_load(w->opt.wants_changes) ? &w->changes : NULL;
	for (struct mail *m = group; m && rc == 0; m = m->next)
		rc = run(w, op_of(m));
	if (rc == 0 && w->changes.unread_len)
		rc = t->changes_read(w->backend);
	if (rc == 0)
		rc = t->commit(w->backend);
	if (rc < 0) {
		t->rollback(w->backend);
		changes_done(&w->changes);
	}
	return rc;
}

/* Others were in the way: they must come to their end first, and not come back at the same moment. */
static void pause_before(unsigned tries)
{
	uint32_t most_us = (uint32_t)PAUSE_US << tries;

	usleep(most_us / 2 + random_u32() % most_us);
}

/*
 * Marks cost as much as small operations do, and failing alone is rare: they are set once it turned out that somebody
 * fails. An operation that is run again begins from nothing.
 */
static int run_group(struct worker *w, struct mail *group)
{
	run_fn *run = run_plain;
	unsigned tries = 0;
	int rc;

	while ((rc = try_group(w, group, run)) < 0) {
		if (rc == -EBADMSG && run == run_plain) {
			run = run_marked;
			continue;
		}
		if (rc != -ERESTART || ++tries == TRIES_MAX)
			break;
		if (tries >= TRIES_PLAIN)
			run = run_marked;
		pause_before(tries);
	}
	return rc;
}

static void post_back(struct worker *w, struct mail *group)
{
	struct mail **end = &group;

	while (*end)
		end = &(*end)->next;
	mailbox_post_all(w->opt.out, group, end);
}

static void post_changes(struct worker *w)
{
	struct op *op = w->changes.len ? op_new(&op_changes, NULL) : NULL;

	if (!op)
		return;
	op->changes.tasks = changes_take(&w->changes, &op->arena, &op->changes.len);
	if (op->changes.tasks)
		mailbox_post(w->opt.out, &op->mail);
	else
		op_free(op);
}

static void fail_group(struct worker *w, struct mail *group)
{
	for (struct mail *m = group; m; m = m->next)
		op_of(m)->rc = -EIO;
	post_back(w, group);
}

static void count(struct worker *w, const struct mail *group, int64_t began_us)
{
	struct worker_stats *st = w->opt.stats;
	uint64_t n = 0;

	for (; group; group = group->next)
		n++;
	if (!w->opt.backend.is_writer) {
		atomic_fetch_add_explicit(&st->reads, n, memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&st->writes, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&st->commits, 1, memory_order_relaxed);
	atomic_store_explicit(&st->last_commit_us, clock_mono_us() - began_us, memory_order_relaxed);
}

static void run_one_group(struct worker *w)
{
	struct mail *group = detach_group(w);
	int64_t began_us = clock_mono_us();
	int rc;

	if (!w->backend || w->has_given_up) {
		fail_group(w, group);
		return;
	}
	rc = run_group(w, group);
	if (rc == 0) {
		w->failures = 0;
		count(w, group, began_us);
		post_changes(w);
		post_back(w, group);
		return;
	}
	fail_group(w, group);
	w->has_given_up = atomic_load(&w->is_ending);
	if (rc == -EIO)
		lose(w, w->backend->why);
	else
		log_warn("store_transaction_failed", LOG_TEXT("error", w->backend->why));
}

/* ---- the thread ---- */

/* Orders are obeyed when their turn comes, so that what was posted before a stop is still run. */
static bool obey_orders(struct worker *w)
{
	while (w->first && op_of(w->first)->type->run == NULL) {
		struct op *op = op_of(w->first);

		if (op->type == &op_go)
			w->may_open = true;
		else
			w->is_stopping = true;
		w->first = op->mail.next;
		if (!w->first)
			w->end = &w->first;
		op_free(op);
	}
	return w->first != NULL;
}

static void take_mail(struct worker *w)
{
	struct mail *more = mailbox_take(w->in);

	*w->end = more;
	while (*w->end)
		w->end = &(*w->end)->next;
}

/* A connection that ends while nobody uses it is noticed, and another one made before somebody does. */
static void look_at_connection(struct worker *w)
{
	if (w->backend && w->opt.type->look(w->backend) < 0)
		lose(w, w->backend->why);
}

static void wait_for_mail(struct worker *w)
{
	struct pollfd p[2] = {{.fd = mailbox_fd(w->in), .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	int64_t left_ms = -1;

	if (w->may_open && !w->backend) {
		left_ms = w->reopen_at_ms - clock_mono_ms();
		if (left_ms < 0)
			left_ms = 0;
	}
	if (w->backend && w->opt.type->fd)
		p[1].fd = w->opt.type->fd(w->backend);
	(void)poll(p, 2, (int)left_ms);
	if (p[1].revents)
		look_at_connection(w);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	while (!w->is_stopping) {
		open_connection(w);
		take_mail(w);
		if (obey_orders(w))
			run_one_group(w);
		else if (!w->is_stopping)
			wait_for_mail(w);
	}
	if (w->backend)
		w->opt.type->close(w->backend);
	changes_done(&w->changes);
	return NULL;
}

/* Signals are the loop's: a thread of ours never takes one. */
static int start_thread(struct worker *w)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int worker_new(const struct worker_options *opt, struct worker **out)
{
	struct worker *w = calloc(1, sizeof *w);
	int rc = -ENOMEM;

	if (!w)
		return rc;
	w->opt = *opt;
	w->end = &w->first;
	rc = mailbox_new(&w->in);
	if (rc == 0)
		rc = start_thread(w);
	if (rc < 0) {
		mailbox_free(w->in);
		free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void worker_go(struct worker *w)
{
	worker_post(w, op_wait_new(&op_go));
}

void worker_post(struct worker *w, struct op *op)
{
	mailbox_post(w->in, &op->mail);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	atomic_store(&w->is_ending, true);
	worker_post(w, op_wait_new(&op_stop));
	pthread_join(w->thread, NULL);
	mailbox_free(w->in);
	free(w);
}
