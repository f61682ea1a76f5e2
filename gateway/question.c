#include "gateway/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "proto/topology.h"
#include "runtime/clock.h"

struct question {
	LIST_ENTRY(question) link;
	struct questions *all;
	struct event *timer;
	broker_queue_cb *cb; /* NULL: nobody waits for the answer any more */
	void *arg;
	char task[NAME_MAX_LEN + 1];
};

LIST_HEAD(question_list, question);

struct questions {
	struct service *service;
	struct known *known;
	int64_t timeout_ms;
	struct question_list list;
};

int questions_new(struct service *service, struct known *known, int64_t timeout_ms, struct questions **out)
{
	struct questions *q = calloc(1, sizeof *q);

	if (!q)
		return -ENOMEM;
	q->service = service;
	q->known = known;
	q->timeout_ms = timeout_ms;
	LIST_INIT(&q->list);
	*out = q;
	return 0;
}

static void question_free(struct question *one)
{
	LIST_REMOVE(one, link);
	event_free(one->timer);
	free(one);
}

void questions_free(struct questions *q)
{
	if (!q)
		return;
	while (!LIST_EMPTY(&q->list))
		question_free(LIST_FIRST(&q->list));
	free(q);
}

static void tell(struct question *one, int rc, const struct broker_queue_info *info)
{
	broker_queue_cb *cb = one->cb;

	one->cb = NULL;
	event_del(one->timer);
	if (cb)
		cb(rc, info, one->arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	tell(arg, -ETIMEDOUT, NULL);
}

static void on_info(int rc, const struct broker_queue_info *info, void *arg)
{
	struct question *one = arg;

	if (rc == 0 && info->exists)
		known_saw(one->all->known, one->task, clock_mono_ms());
	else if (rc == 0)
		known_missed(one->all->known, one->task);
	tell(one, rc, rc == 0 ? info : NULL);
	question_free(one);
}

static struct question *question_new(struct questions *q, const char *task, broker_queue_cb *cb, void *arg)
{
	struct question *one = calloc(1, sizeof *one);

	if (!one)
		return NULL;
	one->timer = loop_timer(q->service->loop, on_timeout, one);
	if (!one->timer) {
		free(one);
		return NULL;
	}
	one->all = q;
	one->cb = cb;
	one->arg = arg;
	snprintf(one->task, sizeof one->task, "%s", task);
	LIST_INSERT_HEAD(&q->list, one, link);
	return one;
}

int question_ask(struct questions *q, const char *task, broker_queue_cb *cb, void *arg)
{
	struct question *one = question_new(q, task, cb, arg);
	char queue[TOPOLOGY_NAME_MAX];
	int rc;

	if (!one)
		return -ENOMEM;
	topology_task_queue(slice_text(task), queue);
	rc = broker_queue_info(q->service->publish, queue, on_info, one);
	if (rc < 0)
		question_free(one);
	else
		timer_arm(one->timer, q->timeout_ms);
	return rc;
}
