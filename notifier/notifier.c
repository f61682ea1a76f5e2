#include "notifier/notifier.h"

#include <errno.h>
#include <stdlib.h>

#include "notifier/due.h"
#include "notifier/inbox.h"
#include "notifier/metrics.h"
#include "notifier/options.h"
#include "notifier/sweep.h"
#include "proto/topology.h"
#include "service/live_out.h"

enum { DRAIN_MS = 20000 };

#define METRIC(number) [(number)-SERVICE_METRICS]

static const struct metric_definition metrics[] = {
	METRIC(NOTIFIER_REPLIES) = {"postback_notifier_replies_total", METRIC_COUNTER, {"kind", "effect"},
		"Replies and dead letters committed; stale ones changed nothing."},
	METRIC(NOTIFIER_COMMIT_SECONDS) = {"postback_notifier_commit_seconds", METRIC_HISTOGRAM, {NULL},
		"From handing a batch to the store to its commit."},
	METRIC(NOTIFIER_BATCH_WAITING) = {"postback_notifier_messages_in_hand", METRIC_GAUGE, {NULL},
		"Messages received and not committed yet."},
	METRIC(NOTIFIER_DEAD_LETTERS) = {"postback_notifier_dead_letters_total", METRIC_COUNTER, {"queue"},
		"Messages that could not be read or were not ours, kept among the store's dead letters."},
	METRIC(NOTIFIER_TASKS) = {"postback_tasks_total", METRIC_COUNTER, {"status"},
		"Tasks that ended, by their terminal status."},
	METRIC(NOTIFIER_DUE) = {"postback_notifier_due_total", METRIC_COUNTER, {"channel", "outcome"},
		"Rows that became due, by what became of the try: done, again, later or dead."},
	METRIC(NOTIFIER_DUE_IN_FLIGHT) = {"postback_notifier_due_in_flight", METRIC_GAUGE, {NULL},
		"Due rows claimed and not ended."},
	METRIC(NOTIFIER_SWEPT) = {"postback_notifier_swept_total", METRIC_COUNTER, {"what"},
		"Rows whose lifetime passed: expired results, forgotten tombstones, unfinished tasks that died."},
	METRIC(NOTIFIER_DELIVERIES) = {"postback_notifier_deliveries_total", METRIC_COUNTER,
		{"channel", "outcome"},
		"Attempts at deliveries by webhook, email and sms: delivered; failed, to be tried again; dead, given up; "
		"put_off, not made (host busy or its circuit open, tenant over its rate)."},
	METRIC(NOTIFIER_ATTEMPT_SECONDS) = {"postback_notifier_attempt_seconds", METRIC_HISTOGRAM,
		{"channel"}, "How long an attempt at a delivery took."},
	METRIC(NOTIFIER_OPEN_CIRCUITS) = {"postback_notifier_open_circuits", METRIC_GAUGE, {NULL},
		"Hosts that do not answer and are not called for a while."},
	METRIC(NOTIFIER_ENDPOINTS_DISABLED) = {"postback_notifier_endpoints_disabled_total", METRIC_COUNTER,
		{NULL},
		"Registered endpoints disabled because they only failed, or said that they are gone."},
};

struct notifier {
	struct service *service;
	struct store *store;
	struct live_out *live_out;
	struct inbox *inbox;
	struct due *due;
	struct sweep *sweep;
};

static void on_store_state(bool is_up, const char *why, void *arg)
{
	struct notifier *n = arg;

	inbox_set_store(n->inbox, is_up);
	due_set_store(n->due, is_up);
	sweep_set_store(n->sweep, is_up);
}

static void on_due(void *arg)
{
	struct notifier *n = arg;

	due_wake(n->due);
}

static void collect(void *arg)
{
	struct notifier *n = arg;

	metrics_set(n->service->metrics, NOTIFIER_BATCH_WAITING, (double)inbox_len(n->inbox));
	metrics_set(n->service->metrics, NOTIFIER_DUE_IN_FLIGHT, (double)due_in_flight(n->due));
}

static void notifier_free(void *self)
{
	struct notifier *n = self;

	if (!n)
		return;
	store_free(n->store);
	live_out_free(n->live_out);
	sweep_free(n->sweep);
	due_free(n->due);
	inbox_free(n->inbox);
	free(n);
}

static int notifier_start(struct service *s, const void *options, void **self)
{
	struct notifier *n = calloc(1, sizeof *n);
	const struct notifier_root *root = options;
	struct inbox_hooks hooks = {.on_due = on_due, .arg = n};
	int rc = -ENOMEM;

	if (!n)
		goto out;
	n->service = s;
	if ((rc = service_store_new(s, on_store_state, n, &n->store)) < 0)
		goto out;
	if ((rc = live_out_new(s, n->store, &n->live_out)) < 0)
		goto out;
	if ((rc = inbox_new(s, n->store, &hooks, &n->inbox)) < 0)
		goto out;
	if ((rc = due_new(s, &root->notifier, n->store, &n->due)) < 0)
		goto out;
	if ((rc = sweep_new(s, n->store, &n->sweep)) < 0)
		goto out;
	metrics_on_collect(s->metrics, collect, n);
	*self = n;
	n = NULL;
out:
	notifier_free(n);
	return rc;
}

static void on_due_drained(void *arg)
{
	struct notifier *n = arg;

	service_stopped(n->service);
}

static void on_inbox_drained(void *arg)
{
	struct notifier *n = arg;

	due_stop(n->due, on_due_drained, n);
}

static void notifier_stop(void *self)
{
	struct notifier *n = self;

	inbox_stop(n->inbox, on_inbox_drained, n);
}

/* What is being delivered may take its whole timeout. */
static int64_t drain_ms(const void *options)
{
	const struct notifier_options *o = &((const struct notifier_root *)options)->notifier;
	const int64_t timeouts_ms[] = {o->webhook.timeout_ms, o->email.timeout_ms, o->sms.timeout_ms};
	int64_t longest_ms = 0;

	for (size_t i = 0; i < sizeof timeouts_ms / sizeof timeouts_ms[0]; i++)
		if (timeouts_ms[i] > longest_ms)
			longest_ms = timeouts_ms[i];
	return longest_ms + DRAIN_MS;
}

static const char *const publishes_to[] = {TOPOLOGY_TASKS_EXCHANGE, TOPOLOGY_EVENTS_EXCHANGE, NULL};

const struct service_definition notifier_definition = {
	.name = "notifier",
	.summary = "Keeps what became of tasks and sees to everything that happens later.",
	.options = notifier_root_table,
	.options_size = sizeof(struct notifier_root),
	.admin_offset = offsetof(struct notifier_root, notifier.admin),
	.metrics = metrics,
	.metrics_len = sizeof metrics / sizeof *metrics,
	.publishes_to = publishes_to,
	.start = notifier_start,
	.stop = notifier_stop,
	.free = notifier_free,
	.drain_ms = drain_ms,
};
