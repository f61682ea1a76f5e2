#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/log.h"
#include "store/backend.h"
#include "store/op.h"
#include "store/worker.h"

enum { QUEUE_MAX_DEFAULT = 65536, PLACE_LEN = 512 };

static const struct backend_type *const backends[] = {&backend_sqlite, &backend_postgres};

struct store {
	struct store_options opt;
	char *location, *password;
	char place[PLACE_LEN]; /* the location as people may see it */
	const struct backend_type *type;
	struct mailbox *out;
	struct loop_mail *mail;
	struct worker *writer, *reader;
	bool writer_is_up, reader_is_up, reader_may_open;
	bool has_told, was_up;
	char why[BACKEND_WHY_LEN];
	size_t waiting;	   /* calls whose callback has not come */
	unsigned on_stack; /* deliveries under way: store_free inside a callback waits for them */
	bool is_freed;
	struct worker_stats stats;
	store_change_cb *on_change;
	void *on_change_arg;
	atomic_bool wants_changes;
};

/* ---- callbacks on the loop ---- */

/* It holds a password. */
static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void destroy(struct store *s)
{
	loop_mail_free(s->mail);
	mailbox_free(s->out);
	wipe(s->location);
	wipe(s->password);
	free(s);
}

static void tell_state(struct store *s)
{
	bool is_up = store_is_up(s);

	if (s->has_told && is_up == s->was_up && is_up)
		return;
	s->has_told = true;
	s->was_up = is_up;
	if (is_up)
		log_info("store_up", LOG_TEXT("url", s->place));
	else
		log_error("store_down", LOG_TEXT("error", s->why));
	if (s->opt.on_state)
		s->opt.on_state(is_up, is_up ? "" : s->why, s->opt.arg);
}

/* The reader finds nothing to read before the writer has made the tables. */
static void on_state(struct store *s, const struct op *op)
{
	if (op->state.is_writer)
		s->writer_is_up = op->state.is_up;
	else
		s->reader_is_up = op->state.is_up;
	if (op->state.is_writer && op->state.is_up && !s->reader_may_open) {
		s->reader_may_open = true;
		worker_go(s->reader);
		return;
	}
	if (!op->state.is_up)
		strcpy(s->why, op->state.why);
	if (op->state.is_up && !store_is_up(s))
		return;
	tell_state(s);
}

static void deliver(struct store *s, struct op *op)
{
	if (op->type == &op_state) {
		on_state(s, op);
		return;
	}
	if (op->type == &op_changes) {
		s->on_change(op->changes.tasks, op->changes.len, s->on_change_arg);
		return;
	}
	s->waiting--;
	op->type->reply(op);
}

static void on_mail(struct mail *batch, void *arg)
{
	struct store *s = arg;

	s->on_stack++;
	while (batch) {
		struct op *op = op_of(batch);

		batch = batch->next;
		if (!s->is_freed)
			deliver(s, op);
		op_free(op);
	}
	if (--s->on_stack == 0 && s->is_freed)
		destroy(s);
}

/* ---- life ---- */

static bool is_scheme(const char *url, size_t len, const char *scheme)
{
	return scheme && strlen(scheme) == len && strncmp(url, scheme, len) == 0;
}

static const struct backend_type *find_backend(const char *url, const char **location)
{
	size_t len = strcspn(url, ":");

	if (url[len] != ':')
		return NULL;
	*location = url + len + 1;
	for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
		if (is_scheme(url, len, backends[i]->scheme) || is_scheme(url, len, backends[i]->alias))
			return backends[i];
	return NULL;
}

int store_check(const char *url, char *why, size_t why_len)
{
	const char *location;
	const struct backend_type *type = find_backend(url, &location);

	if (type)
		return type->check(location, why, why_len);
	snprintf(why, why_len,
		"no such store: known are sqlite:PATH and postgresql://user:password@host:port/database");
	return -EINVAL;
}

static int start_worker(struct store *s, bool is_writer, struct worker **out)
{
	const struct worker_options opt = {
		.type = s->type,
		.backend = {.location = s->location,
			.password = s->password,
			.lifetime = {s->opt.task_ttl_ms, s->opt.result_ttl_ms},
			.is_writer = is_writer},
		.out = s->out,
		.stats = &s->stats,
		.wants_changes = &s->wants_changes,
	};

	return worker_new(&opt, out);
}

static int start(struct store *s, struct loop *loop)
{
	int rc = mailbox_new(&s->out);

	if (rc == 0)
		rc = loop_mail_new(loop, s->out, on_mail, s, &s->mail);
	if (rc == 0)
		rc = start_worker(s, true, &s->writer);
	if (rc == 0)
		rc = start_worker(s, false, &s->reader);
	if (rc == 0)
		worker_go(s->writer);
	return rc;
}

int store_new(
	struct loop *loop, const struct store_options *opt, char *why, size_t why_len, struct store **out)
{
	const char *location = NULL;
	const struct backend_type *type = find_backend(opt->url, &location);
	struct store *s;
	int rc = store_check(opt->url, why, why_len);

	if (rc < 0 || !location)
		return rc;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	s->opt.url = s->opt.password = NULL;
	s->type = type;
	if (s->opt.queue_max == 0)
		s->opt.queue_max = QUEUE_MAX_DEFAULT;
	s->location = strdup(location);
	s->password = opt->password ? strdup(opt->password) : NULL;
	type->describe(location, s->place, sizeof s->place);
	rc = s->location && (s->password || !opt->password) ? start(s, loop) : -ENOMEM;
	if (rc < 0) {
		store_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void store_free(struct store *s)
{
	struct mail *left;

	if (!s)
		return;
	assert(!s->is_freed);
	s->is_freed = true;
	worker_free(s->writer);
	worker_free(s->reader);
	left = s->out ? mailbox_take(s->out) : NULL;
	while (left) {
		struct op *op = op_of(left);

		left = left->next;
		op_free(op);
	}
	if (s->on_stack == 0)
		destroy(s);
}

void store_on_change(struct store *s, store_change_cb *cb, void *arg)
{
	s->on_change = cb;
	s->on_change_arg = arg;
	atomic_store(&s->wants_changes, cb != NULL);
}

bool store_is_up(const struct store *s)
{
	return s->writer_is_up && s->reader_is_up;
}

/* Who can only read still answers: a full disk is no reason to refuse a poll. */
static int check_submit(const struct store *s, const struct op *op)
{
	if (op->arena.has_failed)
		return -ENOMEM;
	if (!(op->type->is_write ? s->writer_is_up : s->reader_is_up))
		return -ENOTCONN;
	return s->waiting < s->opt.queue_max ? 0 : -EAGAIN;
}

int store_submit(struct store *s, struct op *op)
{
	int rc = check_submit(s, op);

	if (rc < 0) {
		op_free(op);
		return rc;
	}
	s->waiting++;
	worker_post(op->type->is_write ? s->writer : s->reader, op);
	return 0;
}

void store_stats(const struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){
		.commits = atomic_load_explicit(&s->stats.commits, memory_order_relaxed),
		.writes = atomic_load_explicit(&s->stats.writes, memory_order_relaxed),
		.reads = atomic_load_explicit(&s->stats.reads, memory_order_relaxed),
		.errors = atomic_load_explicit(&s->stats.errors, memory_order_relaxed),
		.waiting = s->waiting,
		.last_commit_us = atomic_load_explicit(&s->stats.last_commit_us, memory_order_relaxed),
	};
}
