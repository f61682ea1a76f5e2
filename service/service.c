#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "service/command.h"
#include "service/supervisor.h"
#include "service/topology.h"

enum {
	HEARTBEAT_S = 10,
	CONNECT_TIMEOUT_MS = 5000,
	PUBLISH_QUEUE_MAX = 65536,
	DRAIN_MS = 30000,
	METRICS_MAX = 64,
	NAME_ON_BROKER_LEN = 192,
};

static const struct metric_definition metric_table[SERVICE_METRICS] = {
	[SERVICE_BROKER_UP] = {"postback_broker_up", METRIC_GAUGE, {"connection"},
		"1 while this connection to RabbitMQ is up and not blocked."},
	[SERVICE_BROKER_CONNECTS] = {"postback_broker_connects_total", METRIC_COUNTER, {"connection"},
		"Connections made to RabbitMQ."},
	[SERVICE_BROKER_PUBLISHED] = {"postback_broker_published_total", METRIC_COUNTER, {"connection"},
		"Messages written to RabbitMQ."},
	[SERVICE_BROKER_OUTCOMES] = {"postback_broker_publish_outcomes_total", METRIC_COUNTER,
		{"connection", "outcome"}, "What became of published messages."},
	[SERVICE_BROKER_DELIVERED] = {"postback_broker_delivered_total", METRIC_COUNTER, {"connection"},
		"Messages received from RabbitMQ."},
	[SERVICE_BROKER_SETTLED] = {"postback_broker_settled_total", METRIC_COUNTER, {"connection", "how"},
		"Messages acked and rejected."},
	[SERVICE_BROKER_WAITING] = {"postback_broker_publishes_waiting", METRIC_GAUGE, {"connection"},
		"Messages handed over whose outcome is not known yet."},
	[SERVICE_STORE_UP] = {"postback_store_up", METRIC_GAUGE, {NULL}, "1 while the store is usable."},
	[SERVICE_STORE_OPERATIONS] = {"postback_store_operations_total", METRIC_COUNTER, {"kind"},
		"Store operations: reads, writes, commits (one commit carries many writes), errors."},
	[SERVICE_STORE_WAITING] = {"postback_store_waiting", METRIC_GAUGE, {NULL},
		"Store operations handed over and not finished."},
};

/* A broker connection of the service and the name of its health check. */
struct link {
	struct host *host;
	const char *purpose;
	const char *check;
	struct broker *broker;
};

/* The skeleton's own state around what services see. */
struct host {
	struct service service; /* first: service_stopped() gets back from it */
	const struct service_definition *def;
	void *options;
	void *self;
	struct admin *admin;
	struct supervisor *supervisor;
	struct link publish, consume;
	struct store *store;
	void (*on_store_state)(bool is_up, const char *why, void *arg);
	void *on_store_arg;
	struct metric_definition definitions[METRICS_MAX];
	char instance[96];
	bool was_ready;
};

static void tell_supervisor(struct host *h)
{
	bool is_ready = health_is_ready(h->service.health);

	if (is_ready && !h->was_ready) {
		supervisor_tell_ready();
		log_info("ready", LOG_TEXT("instance", h->instance));
	}
	h->was_ready = is_ready;
}

void service_health(struct service *s, const char *check, bool is_up, const char *why)
{
	health_set(s->health, check, is_up, why);
	tell_supervisor((struct host *)s);
}

/* ---- metrics ---- */

static void collect_link(struct metrics *m, const struct link *l)
{
	struct broker_stats s;

	broker_stats(l->broker, &s);
	metrics_set(m, SERVICE_BROKER_UP, broker_state(l->broker) == BROKER_UP, l->purpose);
	metrics_set(m, SERVICE_BROKER_CONNECTS, (double)s.connects, l->purpose);
	metrics_set(m, SERVICE_BROKER_PUBLISHED, (double)s.published, l->purpose);
	metrics_set(m, SERVICE_BROKER_OUTCOMES, (double)s.confirmed, l->purpose, "confirmed");
	metrics_set(m, SERVICE_BROKER_OUTCOMES, (double)s.returned, l->purpose, "returned");
	metrics_set(m, SERVICE_BROKER_OUTCOMES, (double)s.nacked, l->purpose, "nacked");
	metrics_set(m, SERVICE_BROKER_OUTCOMES, (double)s.unknown, l->purpose, "unknown");
	metrics_set(m, SERVICE_BROKER_DELIVERED, (double)s.delivered, l->purpose);
	metrics_set(m, SERVICE_BROKER_SETTLED, (double)s.acked, l->purpose, "acked");
	metrics_set(m, SERVICE_BROKER_SETTLED, (double)s.rejected, l->purpose, "rejected");
	metrics_set(m, SERVICE_BROKER_WAITING, (double)s.publishes_waiting, l->purpose);
}

static void collect_store(struct metrics *m, const struct store *store)
{
	struct store_stats s;

	store_stats(store, &s);
	metrics_set(m, SERVICE_STORE_UP, store_is_up(store));
	metrics_set(m, SERVICE_STORE_OPERATIONS, (double)s.commits, "commits");
	metrics_set(m, SERVICE_STORE_OPERATIONS, (double)s.writes, "writes");
	metrics_set(m, SERVICE_STORE_OPERATIONS, (double)s.reads, "reads");
	metrics_set(m, SERVICE_STORE_OPERATIONS, (double)s.errors, "errors");
	metrics_set(m, SERVICE_STORE_WAITING, (double)s.waiting);
}

static void collect(void *arg)
{
	struct host *h = arg;

	collect_link(h->service.metrics, &h->publish);
	collect_link(h->service.metrics, &h->consume);
	if (h->store)
		collect_store(h->service.metrics, h->store);
}

/* The skeleton's definitions and the service's own behind them, as one table. */
static size_t join_metrics(const struct service_definition *def, struct metric_definition *out)
{
	if (SERVICE_METRICS + def->metrics_len > METRICS_MAX)
		abort();
	memcpy(out, metric_table, sizeof metric_table);
	if (def->metrics_len)
		memcpy(out + SERVICE_METRICS, def->metrics, def->metrics_len * sizeof *def->metrics);
	return SERVICE_METRICS + def->metrics_len;
}

int service_metrics_reference(const struct service_definition *def, struct buf *out)
{
	struct metric_definition definitions[METRICS_MAX];

	return metrics_reference(definitions, join_metrics(def, definitions), out);
}

/* ---- broker connections ---- */

static void on_broker_state(enum broker_state state, const char *why, void *arg)
{
	struct link *l = arg;

	health_set(l->host->service.health, l->check, state == BROKER_UP, why);
	tell_supervisor(l->host);
}

static int declare_shared(struct host *h, struct broker *b)
{
	struct topology_params params = {.task_ttl_ms = h->service.options->store.task_ttl_ms};
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t len = topology_shared(&params, items);

	if (h->service.options->amqp.declare)
		return service_declare(b, items, len);
	return service_look_for(b, items, len);
}

static void name_on_broker(const struct service *s, const char *purpose, char out[NAME_ON_BROKER_LEN])
{
	snprintf(out, NAME_ON_BROKER_LEN, "postback-%s %s %s", s->name, s->instance, purpose);
}

static int link_open(struct host *h, struct link *l, const char *purpose, const char *check)
{
	const struct amqp_options *amqp = &h->service.options->amqp;
	char name[NAME_ON_BROKER_LEN];
	struct broker_options opt = {
		.url = amqp->url,
		.name = name,
		.heartbeat_s = HEARTBEAT_S,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.message_max = (size_t)amqp->max_message,
		.queue_max = PUBLISH_QUEUE_MAX,
		.on_state = on_broker_state,
		.arg = l,
	};
	int rc;

	*l = (struct link){.host = h, .purpose = purpose, .check = check};
	name_on_broker(&h->service, purpose, name);
	rc = broker_new(h->service.loop, &opt, &l->broker);
	if (rc < 0)
		return rc;
	health_set(h->service.health, check, false, "connecting");
	return declare_shared(h, l->broker);
}

int service_consume(
	struct service *s, const struct broker_consumer_options *opt, struct broker_consumer **out)
{
	struct broker_consumer_options named = *opt;
	char tag[NAME_ON_BROKER_LEN];

	name_on_broker(s, opt->tag, tag);
	named.tag = tag;
	return broker_consume(s->consume, &named, out);
}

/* ---- store ---- */

static void on_store_state(bool is_up, const char *why, void *arg)
{
	struct host *h = arg;

	health_set(h->service.health, "store", is_up, why);
	if (h->on_store_state)
		h->on_store_state(is_up, why, h->on_store_arg);
	tell_supervisor(h);
}

int service_store_new(struct service *s, void (*on_state)(bool is_up, const char *why, void *arg), void *arg,
	struct store **out)
{
	struct host *h = (struct host *)s;
	struct store_options opt = {
		.url = s->options->store.url,
		.password = s->options->store.password,
		.task_ttl_ms = s->options->store.task_ttl_ms,
		.result_ttl_ms = s->options->store.result_ttl_ms,
		.on_state = on_store_state,
		.arg = h,
	};
	char why[160] = "";
	int rc;

	h->on_store_state = on_state;
	h->on_store_arg = arg;
	health_set(s->health, "store", false, "opening");
	rc = store_new(s->loop, &opt, why, sizeof why, &h->store);
	if (rc < 0) {
		log_error("store_refused", LOG_ERRNO(rc), LOG_TEXT("why", why));
		return rc;
	}
	*out = h->store;
	return 0;
}

/* ---- the course of a service ---- */

static void on_stop(void *arg)
{
	struct host *h = arg;

	log_info("stopping", LOG_TEXT("instance", h->instance));
	supervisor_tell_stopping();
	health_stop(h->service.health);
	h->def->stop(h->self);
}

void service_ready_changed(struct service *s)
{
	tell_supervisor((struct host *)s);
}

void service_stopped(struct service *s)
{
	log_info("stopped", LOG_TEXT("instance", s->instance));
	loop_exit(s->loop, 0);
}

static void name_instance(struct host *h)
{
	char host[64];

	if (gethostname(host, sizeof host) < 0)
		snprintf(host, sizeof host, "localhost");
	host[sizeof host - 1] = '\0';
	snprintf(h->instance, sizeof h->instance, "%s:%d", host, (int)getpid());
}

static int open_admin(struct host *h)
{
	const char *listen;

	if (!h->def->admin_offset)
		return 0;
	listen = *(char *const *)((const char *)h->options + h->def->admin_offset);
	return admin_new(h->service.loop, listen, h->service.health, &h->admin);
}

static int host_start(struct host *h)
{
	struct service *s = &h->service;
	int64_t drain_ms = h->def->drain_ms ? h->def->drain_ms(h->options) : DRAIN_MS;
	int rc;

	if ((rc = loop_new(&s->loop)) < 0)
		return rc;
	if ((rc = supervisor_new(s->loop, &h->supervisor)) < 0)
		return rc;
	if ((rc = metrics_new(h->definitions, join_metrics(h->def, h->definitions), &s->metrics)) < 0)
		return rc;
	if ((rc = health_new(s->metrics, &s->health)) < 0)
		return rc;
	if ((rc = link_open(h, &h->publish, "publish", "broker_publish")) < 0)
		return rc;
	if ((rc = link_open(h, &h->consume, "consume", "broker_consume")) < 0)
		return rc;
	if ((rc = service_may_publish(h->publish.broker, h->def->publishes_to)) < 0)
		return rc;
	s->publish = h->publish.broker;
	s->consume = h->consume.broker;
	if ((rc = open_admin(h)) < 0)
		return rc;
	if ((rc = h->def->start(s, h->options, &h->self)) < 0)
		return rc;
	metrics_on_collect(s->metrics, collect, h);
	loop_on_stop(s->loop, on_stop, h, drain_ms);
	if ((rc = broker_start(s->publish)) < 0)
		return rc;
	return broker_start(s->consume);
}

static void host_free(struct host *h)
{
	if (h->self)
		h->def->free(h->self);
	broker_free(h->consume.broker);
	broker_free(h->publish.broker);
	admin_free(h->admin);
	health_free(h->service.health);
	metrics_free(h->service.metrics);
	supervisor_free(h->supervisor);
	loop_free(h->service.loop);
	free(h);
}

int service_run(const struct service_definition *def, const char *config_path, void *options)
{
	struct host *h = calloc(1, sizeof *h);
	int code = 1;
	int rc;

	if (!h)
		return code;
	h->def = def;
	h->options = options;
	h->service = (struct service){
		.name = def->name,
		.instance = h->instance,
		.config_path = config_path,
		.options = options,
	};
	name_instance(h);
	rc = host_start(h);
	if (rc < 0) {
		log_error("start_failed", LOG_ERRNO(rc));
	} else {
		log_info("started", LOG_TEXT("instance", h->instance), LOG_TEXT("version", POSTBACK_VERSION));
		code = loop_run(h->service.loop);
	}
	host_free(h);
	return code;
}
