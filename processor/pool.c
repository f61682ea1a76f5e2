#include "processor/pool.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "processor/child.h"
#include "processor/environment.h"
#include "processor/frame.h"
#include "processor/lines.h"
#include "proto/reply.h"
#include "runtime/backoff.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	GRACE_MS = 3000,
	LEAVE_MS = 1000, /* between the end of its stdin and TERM */
	RESTART_BASE_MS = 100,
	RESTART_CAP_MS = 10000,
	ENVELOPE_MAX = 256 * 1024, /* of a reply, beside its result */
};

/* A longer length than this is the start of some text printed to stdout ("hell" is 1.7 GB), not a result. */
#define PLAUSIBLE_LEN 0x20000000u

/* Where a child sits. There are as many as jobs at a time, so every job has one at once, with or without a child. */
struct seat {
	struct pool *pool;
	struct child *child; /* NULL: to be started */
	struct job *job;
	bool is_given; /* this child has the job; else it waits for the next one */
	struct frame_reader reader;
	struct lines lines;
	struct event *timer; /* the next start; of a child, when it holds; when stopping, the TERM */
	unsigned deaths;     /* in a row, and none of them had held */
	bool holds;	     /* this child */
	bool is_dying;	     /* told to end or judged; gets no more work */
	bool was_judged;
	struct outcome judgement; /* of the job whose child sent garbage; texts are literals */
};

struct pool {
	struct kind_env env;
	const struct handler_options *options;
	struct environment environment;
	char *path;
	char **argv;
	bool is_stopping;
	bool is_unable;
	size_t len;
	struct seat seats[];
};

static void seat_start(struct seat *s);

/* ---- whether it can run anything ---- */

static bool is_able(const struct pool *p)
{
	bool is_in_vain = false;

	for (size_t i = 0; i < p->len; i++) {
		if (p->seats[i].holds)
			return true;
		is_in_vain |= p->seats[i].deaths >= POOL_STARTS;
	}
	return !is_in_vain;
}

static void tell_able(struct pool *p, const char *why)
{
	bool is_unable = !is_able(p);

	if (is_unable == p->is_unable)
		return;
	p->is_unable = is_unable;
	p->env.on_able(!is_unable, is_unable ? why : NULL, p->env.arg);
}

static void hold(struct seat *s)
{
	s->deaths = 0;
	if (s->holds)
		return;
	s->holds = true;
	tell_able(s->pool, NULL);
}

static void count_death(struct seat *s, const char *why)
{
	s->holds = false;
	s->deaths++;
	tell_able(s->pool, why);
}

/* ---- jobs ---- */

static void send_job(struct seat *s)
{
	uint8_t head[FRAME_HEAD_LEN];

	s->is_given = true;
	frame_head(s->job->bytes.len, head);
	child_send(s->child, slice_of(head, sizeof head), s->job->bytes, false);
}

static void end_job(struct seat *s, const struct outcome *outcome)
{
	struct job *job = s->job;

	s->job = NULL;
	s->is_given = false;
	job_done(job, outcome);
}

static bool is_idle(const struct seat *s)
{
	return s->child && !s->job && !s->is_dying;
}

static void give(struct seat *s, struct job *job)
{
	s->job = job;
	job->state = s;
	if (s->child && !s->is_dying)
		send_job(s);
}

/* A job that waits for its own seat's next child had better take this one. */
static void take_over_waiting(struct seat *s)
{
	struct pool *p = s->pool;

	for (size_t i = 0; i < p->len && is_idle(s); i++) {
		struct seat *other = &p->seats[i];
		struct job *job = other->job;

		if (job && !other->is_given) {
			other->job = NULL;
			give(s, job);
		}
	}
}

/* ---- replies ---- */

static void judge(struct seat *s, enum outcome_kind kind, const char *type, const char *message)
{
	log_warn("handler_misbehaves", LOG_TEXT("task", s->pool->options->task), LOG_TEXT("type", type),
		LOG_TEXT("why", message));
	s->was_judged = s->is_dying = true;
	s->judgement = (struct outcome){
		.kind = kind, .error_type = slice_text(type), .message = slice_text(message)};
	child_end(s->child, 0);
}

static struct outcome outcome_of(const struct seat *s, const struct reply *r)
{
	const char *fallback = s->pool->options->content_type;
	struct outcome o = {.kind = OUTCOME_SUCCEEDED};

	if (r->kind == REPLY_SUCCEEDED) {
		o.result = r->result;
		o.content_type = slice_is_set(r->content_type)
					 ? r->content_type
					 : slice_text(fallback ? fallback : "application/octet-stream");
		return o;
	}
	o.kind = r->kind == REPLY_FAILED  ? OUTCOME_FAILED
		 : r->kind == REPLY_RETRY ? OUTCOME_RETRY
					  : OUTCOME_CANCELED;
	o.error_type = r->has_error ? r->error.type : slice_text("failed");
	o.message = r->has_error ? r->error.message : slice_text("");
	o.status = r->error.status;
	o.data = r->error.data;
	o.content_type = r->content_type;
	o.retry_after_ms = r->retry_after_ms;
	return o;
}

static void take_final(struct seat *s, const struct reply *r)
{
	struct outcome outcome = outcome_of(s, r);

	if (outcome.result.len > (size_t)s->pool->options->output_limit) {
		judge(s, OUTCOME_FAILED, "output_too_large", "a result over the output limit");
		return;
	}
	hold(s);
	end_job(s, &outcome);
	if (is_idle(s))
		take_over_waiting(s);
}

static const char *fault_of(const struct seat *s, const struct reply *r)
{
	if (!s->is_given)
		return "a reply to no request";
	if (!id_is_equal(&r->id, &s->job->request->id) || r->attempt != s->job->request->attempt)
		return "a reply to another request";
	if (!child_is_sent(s->child))
		return "a reply before the request was read";
	return NULL;
}

static void take_frame(struct seat *s, struct slice frame)
{
	struct decode_error error;
	struct reply r;
	const char *fault;

	if (reply_decode(frame, &r, &error) < 0) {
		judge(s, OUTCOME_RETRY, "bad_frame", "a frame that is no reply");
		return;
	}
	fault = fault_of(s, &r);
	if (fault) {
		judge(s, OUTCOME_RETRY, "bad_frame", fault);
		return;
	}
	switch (r.kind) {
	case REPLY_STARTED: return;
	case REPLY_PROGRESS:
		if (slice_is_set(r.progress))
			job_progress(s->job, r.progress);
		return;
	case REPLY_SUCCEEDED:
	case REPLY_FAILED:
	case REPLY_RETRY:
	case REPLY_CANCELED: take_final(s, &r); return;
	}
}

static void on_output(struct slice bytes, void *arg)
{
	struct seat *s = arg;
	struct slice frame;
	int rc;

	while (!s->was_judged && (rc = frame_read(&s->reader, &bytes, &frame)) != 0) {
		if (rc > 0)
			take_frame(s, frame);
		else if (rc == -EMSGSIZE && s->reader.body_len < PLAUSIBLE_LEN)
			judge(s, OUTCOME_FAILED, "output_too_large", "a frame over the output limit");
		else
			judge(s, OUTCOME_RETRY, "bad_frame",
				rc == -EMSGSIZE ? "no frame, perhaps text printed to stdout"
						: "no memory for a frame");
	}
}

static void on_errors(struct slice bytes, void *arg)
{
	struct seat *s = arg;

	lines_add(&s->lines, bytes, s->pool->options->task, child_pid(s->child));
}

/* ---- children ---- */

static void plan_start(struct seat *s)
{
	uint32_t wait = s->deaths ? backoff_ms(RESTART_BASE_MS, RESTART_CAP_MS, s->deaths, random_u32()) : 0;

	timer_arm(s->timer, wait);
}

static void describe_death(const struct seat *s, const struct child_end *end, char *text, size_t len)
{
	if (s->was_judged)
		snprintf(text, len, "the worker was ended: %.*s", (int)s->judgement.message.len,
			(const char *)s->judgement.message.data);
	else if (end->signal)
		snprintf(text, len, "the worker was ended by signal %d (%s)", end->signal,
			strsignal(end->signal));
	else
		snprintf(text, len, "the worker exited with %d", end->code);
}

static void on_end(const struct child_end *end, void *arg)
{
	struct seat *s = arg;
	struct pool *p = s->pool;
	struct outcome outcome = s->judgement;
	char message[160];
	bool is_own_end;

	describe_death(s, end, message, sizeof message);
	lines_finish(&s->lines, p->options->task, child_pid(s->child));
	if (!s->was_judged)
		outcome = (struct outcome){.kind = OUTCOME_RETRY,
			.error_type = slice_text("worker_died"),
			.message = slice_text(message),
			.status = end->code};
	if (!p->is_stopping && !s->is_dying)
		log_warn("worker_died", LOG_TEXT("task", p->options->task),
			LOG_INT("pid", child_pid(s->child)), LOG_TEXT("why", message));
	is_own_end = !s->is_dying || s->was_judged;
	s->child = NULL;
	s->is_dying = s->was_judged = false;
	frame_reader_done(&s->reader);
	if (s->is_given)
		end_job(s, &outcome);
	if (p->is_stopping)
		return;
	if (is_own_end)
		count_death(s, message);
	s->holds = false;
	metrics_add(p->env.metrics, p->env.restarts_metric, 1, p->options->task);
	plan_start(s);
}

static int spawn(struct seat *s)
{
	static const struct child_events events = {
		.on_output = on_output, .on_errors = on_errors, .on_end = on_end};
	struct pool *p = s->pool;
	struct child_spec spec = {
		.path = p->path, .argv = p->argv, .environ = p->environment.vars, .cwd = p->options->cwd};

	frame_reader_init(&s->reader, (size_t)p->options->output_limit + ENVELOPE_MAX);
	return child_start(p->env.reaper, &spec, &events, s, &s->child);
}

static void seat_start(struct seat *s)
{
	int rc = spawn(s);

	if (rc < 0) {
		log_error("worker_not_started", LOG_TEXT("task", s->pool->options->task), LOG_ERRNO(rc));
		s->child = NULL;
		count_death(s, strerror(-rc));
		plan_start(s);
		return;
	}
	timer_arm(s->timer, POOL_HOLDS_MS);
	if (s->job)
		send_job(s);
	else
		take_over_waiting(s);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct seat *s = arg;

	if (s->pool->is_stopping && s->child)
		child_end(s->child, GRACE_MS);
	else if (!s->pool->is_stopping && !s->child)
		seat_start(s);
	else if (!s->pool->is_stopping && !s->is_dying)
		hold(s);
}

/* ---- the pool ---- */

static int seats_init(struct pool *p)
{
	for (size_t i = 0; i < p->len; i++) {
		struct seat *s = &p->seats[i];

		s->pool = p;
		s->timer = loop_timer(p->env.loop, on_timer, s);
		if (!s->timer)
			return -ENOMEM;
		timer_arm(s->timer, 0);
	}
	return 0;
}

static void free_argv(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

static char **copy_argv(const char *const *argv)
{
	size_t len = 0;
	char **copy;

	while (argv[len])
		len++;
	copy = calloc(len + 1, sizeof *copy);
	for (size_t i = 0; copy && i < len; i++) {
		copy[i] = strdup(argv[i]);
		if (!copy[i]) {
			free_argv(copy);
			return NULL;
		}
	}
	return copy;
}

int pool_new(const struct kind_env *env, const struct handler_options *o, const char *path,
	const char *const *argv, struct pool **out)
{
	size_t len = (size_t)o->concurrency;
	struct pool *p = calloc(1, sizeof *p + len * sizeof *p->seats);
	int rc = -ENOMEM;

	if (!p)
		return rc;
	p->env = *env;
	p->options = o;
	p->len = len;
	p->path = strdup(path);
	p->argv = copy_argv(argv);
	if (p->path && p->argv)
		rc = environment_init(&p->environment, o);
	if (rc == 0)
		rc = seats_init(p);
	if (rc < 0)
		pool_free(p);
	else
		*out = p;
	return rc;
}

int pool_run(void *pool, struct job *job)
{
	struct pool *p = pool;
	struct seat *free_seat = NULL;

	for (size_t i = 0; i < p->len; i++) {
		struct seat *s = &p->seats[i];

		if (is_idle(s)) {
			give(s, job);
			return 0;
		}
		if (!s->job)
			free_seat = s;
	}
	if (!free_seat)
		return -EBUSY;
	give(free_seat, job);
	return 0;
}

void pool_cancel(void *pool, struct job *job)
{
	struct seat *s = job->state;
	struct outcome outcome = {.kind = OUTCOME_RETRY,
		.error_type = slice_text("worker_died"),
		.message = slice_text("no worker could be started")};

	if (!s->is_given) {
		end_job(s, &outcome);
		return;
	}
	s->is_dying = true;
	child_end(s->child, GRACE_MS);
}

void pool_stop(void *pool)
{
	struct pool *p = pool;

	p->is_stopping = true;
	for (size_t i = 0; i < p->len; i++) {
		struct seat *s = &p->seats[i];

		if (!s->child)
			continue;
		s->is_dying = true;
		child_close_input(s->child);
		timer_arm(s->timer, LEAVE_MS);
	}
}

void pool_free(void *pool)
{
	struct pool *p = pool;

	if (!p)
		return;
	for (size_t i = 0; i < p->len; i++) {
		struct seat *s = &p->seats[i];

		child_free(s->child);
		frame_reader_done(&s->reader);
		if (s->timer)
			event_free(s->timer);
	}
	environment_done(&p->environment);
	free(p->path);
	free_argv(p->argv);
	free(p);
}
