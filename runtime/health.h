/*
 * Liveness and readiness, and the small HTTP answers for them: /livez never asks anybody, /readyz is 200 only when every
 * check is up and the service is not stopping, /metrics renders the metrics. A gateway answers them on its own listener,
 * the other services on an admin listener of their own.
 */
#ifndef RUNTIME_HEALTH_H
#define RUNTIME_HEALTH_H

#include <event2/http.h>

#include "runtime/loop.h"
#include "runtime/metrics.h"

#define HEALTH_CHECKS_MAX 8

struct health;

int health_new(struct metrics *metrics, struct health **out);
void health_free(struct health *h);
/* Makes or changes one check; `why` (for people, no secrets) is copied, NULL when up. A check not yet set is not there. */
void health_set(struct health *h, const char *check, bool is_up, const char *why);
/* From now on not ready, whatever the checks say. */
void health_stop(struct health *h);
bool health_is_ready(const struct health *h);

/* The documents: status code and body; content type application/json for the first two, Prometheus text for the third. */
int health_livez(struct health *h, struct buf *body);
int health_readyz(struct health *h, struct buf *body);

/*
 * The admin listener of a service: "host:port", or "" for none. Serves GET and HEAD of the three paths, 404 and 405
 * else; small limits on head and time.
 */
struct admin;
int admin_new(struct loop *loop, const char *listen, struct health *h, struct metrics *m, struct admin **out);
void admin_free(struct admin *a);

#endif
