/*
 * The skeleton that the three services share: command line, configuration, log, loop, metrics, health, the two broker
 * connections, the declared topology, the orderly end. A service fills in a definition; main.c hands it over.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "runtime/broker.h"
#include "runtime/config.h"
#include "runtime/health.h"
#include "runtime/log.h"
#include "service/options.h"
#include "store/store.h"

/* What a service's own parts find around them. All is borrowed and outlives them. */
struct service {
	const char *name;     /* "gateway" */
	const char *instance; /* "host:pid", in connection names, consumer tags and replies' `worker` */
	const char *config_path;
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	const struct service_options *options; /* the shared sections */
	struct broker *publish;		       /* the shared topology is declared on both */
	struct broker *consume;
};

/*
 * Metric numbers 0 .. SERVICE_METRICS - 1 belong to the skeleton (broker connections, see service.c); a service's own
 * table is named from SERVICE_METRICS on:  enum { GATEWAY_REQUESTS = SERVICE_METRICS, … }.
 */
enum {
	SERVICE_BROKER_UP,
	SERVICE_BROKER_CONNECTS,
	SERVICE_BROKER_PUBLISHED,
	SERVICE_BROKER_OUTCOMES,
	SERVICE_BROKER_DELIVERED,
	SERVICE_BROKER_SETTLED,
	SERVICE_BROKER_WAITING,
	SERVICE_STORE_UP,
	SERVICE_STORE_OPERATIONS,
	SERVICE_STORE_WAITING,
	SERVICE_METRICS,
};

struct service_definition {
	const char *name;
	const char *summary;	      /* one line for --help */
	const struct option *options; /* root table; its struct begins with struct service_options */
	size_t options_size;
	size_t admin_offset; /* offsetof the char * of "<name>.admin"; 0: no admin listener (the gateway) */
	const struct metric_definition *metrics;
	size_t metrics_len;
	/* Direct exchanges that it must be permitted to publish to, or it is not ready; ends with NULL. */
	const char *const *publishes_to;
	/* More than tables can say, for --check and start: appends lines to `errors`, returns their count. May be NULL. */
	int (*check)(const void *options, const char *path, struct buf *errors);
	/* Builds and starts the service's parts; the brokers are started afterwards. 0 or a negative errno, logged. */
	int (*start)(struct service *s, const void *options, void **self);
	/* Begins the end: stop taking, drain, then call service_stopped(). Brokers, store and loop still work. */
	void (*stop)(void *self);
	/* The loop has ended, the brokers are still there: drop deliveries in hand, free the store. */
	void (*free)(void *self);
	/* How long the end may take before the loop is stopped with whatever is left; NULL: 30 s. */
	int64_t (*drain_ms)(const void *options);
	/* A sub-command of its own before anything else ("--plugin-host"); NULL: none. */
	const char *extra_flag;
	int (*extra)(int argc, char **argv);
};

/* main() of a service; returns the exit code: 0, 1 (could not start), 2 (wrong command line or configuration). */
int service_main(int argc, char **argv, const struct service_definition *def);

/* health_set for a service's own checks, which count for what the supervisor is told, too. */
void service_health(struct service *s, const char *check, bool is_up, const char *why);

/* A health check of the service's own has changed: the supervisor is told when it has become ready by that. */
void service_ready_changed(struct service *s);

/* All is drained: the loop ends and everything is freed in order. */
void service_stopped(struct service *s);

/*
 * Opens the store of the shared options, with its health check and metrics. `on_state` may be NULL; it is told after the
 * health check. The service frees it in its free().
 */
int service_store_new(struct service *s, void (*on_state)(bool is_up, const char *why, void *arg), void *arg,
	struct store **out);

/*
 * broker_consume on s->consume, with `opt->tag` saying what for: "replies" becomes the consumer tag
 * "postback-notifier host:pid replies", as connections are named, so that operators know whose it is.
 */
int service_consume(
	struct service *s, const struct broker_consumer_options *opt, struct broker_consumer **out);

#endif
