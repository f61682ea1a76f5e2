#include "gateway/queues.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "service/json_out.h"
#include "gateway/known.h"
#include "gateway/lookup.h"
#include "gateway/question.h"

enum { QUEUES_MAX = 256 };
#define DOCUMENT_MAX ((size_t)256 * 1024)

struct queue_line {
	struct queues *all;
	char task[NAME_MAX_LEN + 1];
	uint64_t running, scheduled;
	struct broker_queue_info info;
};

struct queues {
	struct gateway *g;
	struct call *call;
	size_t len, asked; /* lines; questions without an answer */
	int error;
	struct queue_line lines[QUEUES_MAX];
};

/* ---- the answer ---- */

static void render(const struct queues *q, struct buf *out)
{
	json_out_open(out, NULL, '{');
	json_out_open(out, "queues", '[');
	for (size_t i = 0; i < q->len; i++) {
		const struct queue_line *line = &q->lines[i];

		if (!line->info.exists && !line->running && !line->scheduled)
			continue;
		json_out_open(out, NULL, '{');
		json_out_text(out, "task", slice_text(line->task));
		json_out_number(out, "waiting", line->info.messages);
		json_out_number(out, "running", (int64_t)line->running);
		json_out_number(out, "scheduled", (int64_t)line->scheduled);
		json_out_number(out, "consumers", line->info.consumers);
		json_out_close(out, '}');
	}
	json_out_close(out, ']');
	json_out_close(out, '}');
}

static void finish(struct queues *q)
{
	struct buf document;

	buf_init(&document, DOCUMENT_MAX);
	render(q, &document);
	if (q->error)
		call_problem(
			q->call, PROBLEM_BROKER_UNAVAILABLE, NULL, "the broker cannot be asked just now");
	else
		call_answer_json(q->call, 200, buf_slice(&document));
	buf_done(&document);
	gateway_job_end(q->g);
	free(q);
}

/* ---- asking the broker ---- */

static void on_info(int rc, const struct broker_queue_info *info, void *arg)
{
	struct queue_line *line = arg;
	struct queues *q = line->all;

	if (rc < 0)
		q->error = rc;
	else
		line->info = *info;
	if (--q->asked == 0)
		finish(q);
}

static void ask(struct queues *q)
{
	/* One more for this function itself, so that no answer is the last before all have been asked. */
	q->asked = 1;
	for (size_t i = 0; i < q->len && !q->error; i++) {
		q->error = question_ask(q->g->questions, q->lines[i].task, on_info, &q->lines[i]);
		if (q->error == 0)
			q->asked++;
	}
	if (--q->asked == 0)
		finish(q);
}

/* ---- which there are ---- */

static struct queue_line *line_of(struct queues *q, const char *task)
{
	struct queue_line *line;

	for (size_t i = 0; i < q->len; i++)
		if (strcmp(q->lines[i].task, task) == 0)
			return &q->lines[i];
	if (q->len == QUEUES_MAX)
		return NULL;
	line = &q->lines[q->len++];
	line->all = q;
	snprintf(line->task, sizeof line->task, "%s", task);
	return line;
}

static void add_known(const char *task, void *arg)
{
	line_of(arg, task);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct queue_line *)a)->task, ((const struct queue_line *)b)->task);
}

static void on_counts(int rc, const struct store_task_count *counts, size_t len, void *arg)
{
	struct queues *q = arg;

	for (size_t i = 0; rc == 0 && i < len; i++) {
		char task[NAME_MAX_LEN + 1];
		struct queue_line *line;

		snprintf(task, sizeof task, "%.*s", SLICE_ARG(counts[i].task));
		line = line_of(q, task);
		if (line) {
			line->running = counts[i].running;
			line->scheduled = counts[i].scheduled;
		}
	}
	if (rc < 0) {
		lookup_store_failed(q->call);
		gateway_job_end(q->g);
		free(q);
		return;
	}
	known_each(q->g->known, add_known, q);
	qsort(q->lines, q->len, sizeof q->lines[0], compare);
	ask(q);
}

void queues_get(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct queues *q = calloc(1, sizeof *q);

	if (!q) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	q->g = g;
	q->call = call;
	if (store_tasks_count(g->store, call_tenant(call), on_counts, q) == 0) {
		gateway_job_begin(g);
		return;
	}
	free(q);
	lookup_store_failed(call);
}
