/*
 * The HTTP server: the connection guard (guard.h), with the checks that come before every endpoint, in this
 * order: path, browser guard, CORS, endpoint and key, query, calls in flight, rate, body. What passes them reaches the
 * endpoint's handler as a call. Its own are /livez, /readyz, /metrics, /problems, /openapi.json and /docs. Never knows
 * what a task is. Everything on the loop thread.
 *
 * A life: server_new, server_add for each endpoint and configured route, server_start, … server_stop, its callback,
 * server_free.
 */
#ifndef GATEWAY_SERVER_H
#define GATEWAY_SERVER_H

#include "gateway/call.h"
#include "gateway/options.h"
#include "gateway/ticket.h"
#include "runtime/health.h"
#include "runtime/metrics.h"

struct server;

/* All borrowed for the server's life. `metrics` has the table of gateway/metrics.h. */
struct server_config {
	struct loop *loop;
	struct metrics *metrics;
	struct health *health;
	const struct gateway_options *options;
	/* Of the parameter "ticket" of an ENDPOINT_LIVE: ticket_read's codes. NULL: there are no tickets. */
	int (*read_ticket)(struct slice text, struct ticket *out, void *arg);
	void *arg;
};

/* 0, -ENOMEM, or -EINVAL for options that gateway_options_check refuses. */
int server_new(const struct server_config *config, struct server **out);
/*
 * One endpoint; `arg` is handed to its handler. Built-in endpoints and configured routes alike: a literal segment wins
 * over a {name}, and a leading {name} never matches a reserved word ("v1", "livez", … see router.h).
 * Borrows: e->path. -EEXIST when method and shape are taken already, -EINVAL for a path that is not one.
 */
int server_add(struct server *s, const struct endpoint *e, void *arg);
/* Listens and accepts. 0 or the error of bind and listen, logged. */
int server_start(struct server *s);

/*
 * Stops listening and closes idle connections; calls in flight are still answered, each as its connection's last.
 * `on_drained` is called once, from the loop, when no connection is left.
 */
typedef void server_drained_cb(void *arg);
void server_stop(struct server *s, server_drained_cb *on_drained, void *arg);
/*
 * Cuts what is still open. Whoever waits in call_on_gone is told first and answers (which frees the call); a call without
 * one is its holder's to answer before or after, which then does nothing but free it.
 */
void server_free(struct server *s);

#endif
