#include "gateway/gateway.h"

#include <errno.h>
#include <stdlib.h>

#include "gateway/batch.h"
#include "gateway/cancel.h"
#include "gateway/deliveries.h"
#include "gateway/endpoints.h"
#include "gateway/events.h"
#include "gateway/inline.h"
#include "gateway/keys.h"
#include "gateway/known.h"
#include "gateway/list.h"
#include "gateway/live.h"
#include "gateway/metrics.h"
#include "gateway/poll.h"
#include "gateway/question.h"
#include "gateway/queues.h"
#include "gateway/replay.h"
#include "gateway/result.h"
#include "gateway/retry.h"
#include "gateway/route.h"
#include "gateway/run.h"
#include "gateway/sse.h"
#include "gateway/tasks.h"
#include "gateway/tickets.h"
#include "gateway/waiter.h"
#include "gateway/ws.h"
#include "proto/topology.h"
#include "runtime/clock.h"
#include "service/live_out.h"
#include "service/topology.h"
#include "store/lifetime.h"

enum { KEYS_AGAIN_MS = 500, KEYS_REFRESH_MS = 5000, DRAIN_MARGIN_MS = 5000 };

/* ---- endpoints ---- */

static void get_status(struct call *call, void *arg)
{
	poll_start(arg, call, call_segment(call, "id"), &poll_status);
}

static void get_result(struct call *call, void *arg)
{
	poll_start(arg, call, call_segment(call, "id"), &result_view);
}

static void get_events(struct call *call, void *arg)
{
	events_of_task(arg, call, call_segment(call, "id"));
}

static void delete_task(struct call *call, void *arg)
{
	cancel_task(arg, call, call_segment(call, "id"));
}

static const struct endpoint endpoints[] = {
	{CALL_POST, "/v1/tasks", tasks_post, ENDPOINT_SUBMIT},
	{CALL_GET, "/v1/tasks", list_tasks, 0},
	{CALL_GET, "/v1/tasks/{id}", get_status, 0},
	{CALL_DELETE, "/v1/tasks/{id}", delete_task, ENDPOINT_BARE},
	{CALL_GET, "/v1/tasks/{id}/result", get_result, 0},
	{CALL_GET, "/v1/tasks/{id}/events", get_events, ENDPOINT_LIVE},
	{CALL_GET, "/v1/tasks/{id}/ws", ws_get_task, ENDPOINT_LIVE},
	{CALL_GET, "/v1/ws", ws_get_many, ENDPOINT_LIVE},
	{CALL_GET, "/v1/events", events_of_tenant, ENDPOINT_LIVE},
	{CALL_POST, "/v1/tasks/{id}/retry", retry_task, ENDPOINT_SUBMIT | ENDPOINT_BARE},
	{CALL_GET, "/v1/tasks/{id}/deliveries", deliveries_of_task, ENDPOINT_BARE},
	{CALL_GET, "/v1/deliveries/{id}", deliveries_get, ENDPOINT_BARE},
	{CALL_POST, "/v1/deliveries/{id}/retry", deliveries_retry, ENDPOINT_BARE},
	{CALL_POST, "/v1/deliveries/retry", replay_post, 0},
	{CALL_POST, "/v1/run/{task}", run_task, ENDPOINT_SUBMIT},
	{CALL_POST, "/v1/batches", batch_post, ENDPOINT_SUBMIT | ENDPOINT_BARE},
	{CALL_GET, "/v1/batches/{id}", batch_get, ENDPOINT_BARE},
	{CALL_GET, "/v1/queues", queues_get, ENDPOINT_BARE},
	{CALL_POST, "/v1/tickets", tickets_post, ENDPOINT_BARE},
	{CALL_POST, "/v1/endpoints", endpoints_post, ENDPOINT_BARE},
	{CALL_GET, "/v1/endpoints", endpoints_list, ENDPOINT_BARE},
	{CALL_GET, "/v1/endpoints/{id}", endpoints_get, ENDPOINT_BARE},
	{CALL_PATCH, "/v1/endpoints/{id}", endpoints_patch, ENDPOINT_BARE},
	{CALL_DELETE, "/v1/endpoints/{id}", endpoints_delete, ENDPOINT_BARE},
	{CALL_POST, "/v1/endpoints/{id}/rotate", endpoints_rotate, ENDPOINT_BARE},
};

static int add_endpoints(struct gateway *g)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0] && rc == 0; i++)
		rc = server_add(g->server, &endpoints[i], g);
	return rc;
}

/* ---- keys ---- */

static void on_keys(int rc, const struct id_key *keys, size_t len, void *arg)
{
	struct gateway *g = arg;

	gateway_job_end(g);
	if (!g->is_stopping)
		timer_arm(g->keys_timer, rc == 0 ? KEYS_REFRESH_MS : KEYS_AGAIN_MS);
	if (rc < 0 || len == 0 || !ids_set_keys(&g->ids, keys, len, random_u32()))
		return;
	health_set(g->service->health, "ids", true, NULL);
	service_ready_changed(g->service);
}

/* Again and again: another gateway may have brought a new key, and its ids come here to be polled. */
static void ask_for_keys(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *g = arg;
	int rc;

	if (g->has_file_key && !ids_are_ready(&g->ids))
		rc = store_keys_add(g->store, &g->file_key, clock_wall_ms(), on_keys, g);
	else
		rc = store_keys(g->store, on_keys, g);
	if (rc == 0)
		gateway_job_begin(g);
	else
		timer_arm(g->keys_timer, KEYS_AGAIN_MS);
}

static void on_store_state(bool is_up, const char *why, void *arg)
{
	struct gateway *g = arg;

	if (is_up && !g->is_stopping)
		timer_arm(g->keys_timer, 0);
}

static int read_key_file(struct gateway *g)
{
	const char *path = g->options->id_key_file;
	int rc;

	if (!path || !*path)
		return 0;
	rc = keys_read_file(path, &g->file_key);
	if (rc < 0)
		log_error("id_key_file_refused", LOG_TEXT("file", path), LOG_ERRNO(rc));
	g->has_file_key = rc == 0;
	return rc;
}

/* ---- jobs and the end ---- */

static void stop_if_done(struct gateway *g)
{
	if (!g->is_drained || g->jobs > 0 || g->is_stopped)
		return;
	g->is_stopped = true;
	service_stopped(g->service);
}

void gateway_job_begin(struct gateway *g)
{
	g->jobs++;
}

void gateway_job_end(struct gateway *g)
{
	g->jobs--;
	stop_if_done(g);
}

static void on_drained(void *arg)
{
	struct gateway *g = arg;

	g->is_drained = true;
	stop_if_done(g);
}

static void gateway_stop(void *self)
{
	struct gateway *g = self;

	g->is_stopping = true;
	event_del(g->keys_timer);
	waiters_stop(g->waiters);
	server_stop(g->server, on_drained, g);
}

static void gateway_free(void *self)
{
	struct gateway *g = self;

	if (!g)
		return;
	server_free(g->server);
	sse_group_free(g->sse);
	waiters_free(g->waiters);
	inline_lane_free(g->lane);
	routes_free(g->routes);
	store_free(g->store);
	live_out_free(g->live_out);
	live_free(g->live);
	questions_free(g->questions);
	known_free(g->known);
	if (g->keys_timer)
		event_free(g->keys_timer);
	free(g);
}

/* A synchronous call may take as long as it was promised. */
static int64_t drain_ms(const void *options)
{
	const struct gateway_options *o = &((const struct gateway_root *)options)->gateway;
	const struct route_options *routes = o->routes.items;
	int64_t longest_ms = o->limits.sync_timeout_ms;

	for (size_t i = 0; i < o->routes.len; i++)
		if (routes[i].timeout_ms > longest_ms)
			longest_ms = routes[i].timeout_ms;
	return longest_ms + DRAIN_MARGIN_MS;
}

/* ---- the start ---- */

/* With the store's own margin: as long as it may still hear of a task, "gone" would be too early. */
int64_t gateway_lifetime_ms(const struct gateway *g)
{
	const struct store_section *store = &g->service->options->store;

	return store->task_ttl_ms + store->result_ttl_ms + LIFETIME_MARGIN_MS;
}

/* The queues of workers that are not ours. */
static int declare_tasks(struct gateway *g)
{
	struct topology_params params = {.task_ttl_ms = g->service->options->store.task_ttl_ms};
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	int rc = 0;

	for (size_t i = 0; i < g->options->tasks.len && rc == 0; i++) {
		const char *task = g->options->tasks.items[i];

		known_saw(g->known, task, 0);
		rc = service_declare(
			g->service->publish, items, topology_task(&params, slice_text(task), items));
	}
	return rc;
}

static void collect(void *arg)
{
	struct gateway *g = arg;
	struct metrics *m = g->service->metrics;
	struct live_stats live;

	live_stats(g->live, &live);
	metrics_set(m, GATEWAY_WAITERS, (double)waiters_count(g->waiters));
	metrics_set(m, GATEWAY_WEBSOCKETS, (double)g->sockets.count);
	metrics_set(m, GATEWAY_EVENT_STREAMS, (double)sse_group_count(g->sse));
	metrics_set(m, GATEWAY_FOLLOWERS, (double)live.followers);
	metrics_set(m, GATEWAY_LIVE_UP, live.is_connected);
	metrics_set(m, GATEWAY_LIVE_SHARDS, (double)live.shards);
	metrics_set(m, GATEWAY_LIVE_EVENTS, (double)live.events);
	metrics_set(m, GATEWAY_LIVE_GAPS, (double)live.gaps);
	metrics_set(m, GATEWAY_LIVE_READS, (double)live.reads);
}

static int start_server(struct gateway *g)
{
	struct server_config config = {
		.loop = g->service->loop,
		.metrics = g->service->metrics,
		.health = g->service->health,
		.options = g->options,
		.read_ticket = tickets_read,
		.arg = g,
	};
	int rc = server_new(&config, &g->server);

	if (rc == 0)
		rc = add_endpoints(g);
	if (rc == 0)
		rc = routes_new(g, &g->routes);
	return rc < 0 ? rc : server_start(g->server);
}

static int start_live(struct gateway *g)
{
	struct loop *loop = g->service->loop;
	size_t waiters = (size_t)g->options->limits.waiters;
	const struct live_config config = {
		.service = g->service,
		.store = g->store,
		.followers_max = (size_t)g->options->limits.followers + waiters,
		.lifetime_ms = gateway_lifetime_ms(g),
	};
	int rc = live_out_new(g->service, g->store, &g->live_out);

	if (rc == 0)
		rc = live_new(&config, &g->live);
	if (rc == 0)
		rc = waiters_new(loop, g->live, waiters, &g->waiters);
	if (rc == 0)
		rc = sse_group_new(loop, g->service->metrics, &g->options->live, &g->sse);
	return rc;
}

static int start_parts(struct gateway *g)
{
	int rc;

	g->keys_timer = loop_timer(g->service->loop, ask_for_keys, g);
	if (!g->keys_timer)
		return -ENOMEM;
	if ((rc = read_key_file(g)) < 0)
		return rc;
	if ((rc = known_new(&g->known)) < 0)
		return rc;
	rc = questions_new(g->service, g->known, g->options->limits.publish_timeout_ms, &g->questions);
	if (rc < 0)
		return rc;
	if ((rc = declare_tasks(g)) < 0)
		return rc;
	if ((rc = inline_lane_new(g->service, &g->lane)) < 0)
		return rc;
	health_set(g->service->health, "ids", false, "waiting for the keys in the store");
	if ((rc = service_store_new(g->service, on_store_state, g, &g->store)) < 0)
		return rc;
	if ((rc = start_live(g)) < 0)
		return rc;
	metrics_on_collect(g->service->metrics, collect, g);
	return start_server(g);
}

static int gateway_start(struct service *s, const void *options, void **self)
{
	const struct gateway_root *root = options;
	struct gateway *g = calloc(1, sizeof *g);
	int rc;

	if (!g)
		return -ENOMEM;
	g->service = s;
	g->options = &root->gateway;
	g->sockets =
		(struct ws_context){.loop = s->loop, .metrics = s->metrics, .options = &g->options->live};
	rc = start_parts(g);
	if (rc < 0)
		gateway_free(g);
	else
		*self = g;
	return rc;
}

static const char *const publishes_to[] = {
	TOPOLOGY_TASKS_EXCHANGE, TOPOLOGY_INLINE_EXCHANGE, TOPOLOGY_EVENTS_EXCHANGE, NULL};

const struct service_definition gateway_definition = {
	.name = "gateway",
	.summary = "Takes work over HTTP and answers with its outcome.",
	.options = gateway_root_table,
	.options_size = sizeof(struct gateway_root),
	.metrics = gateway_metrics,
	.metrics_len = GATEWAY_METRICS,
	.check = gateway_options_check,
	.publishes_to = publishes_to,
	.start = gateway_start,
	.stop = gateway_stop,
	.free = gateway_free,
	.drain_ms = drain_ms,
};
