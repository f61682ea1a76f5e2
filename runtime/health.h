/*
 * Liveness and readiness, and the small HTTP answers for them: /livez never asks anybody, /readyz is 200 only when every
 * check is up and the service is not stopping, /metrics renders the metrics. A gateway answers them on its own listener,
 * the other services on an admin listener of their own (admin.c).
 */
#ifndef RUNTIME_HEALTH_H
#define RUNTIME_HEALTH_H

#include "runtime/loop.h"
#include "runtime/metrics.h"

#define HEALTH_CHECKS_MAX 8
#define HEALTH_NAME_MAX	  32
#define HEALTH_WHY_MAX	  480

struct health;

/* Borrows: `metrics`, until health_free. */
int health_new(struct metrics *metrics, struct health **out);
void health_free(struct health *h);
/*
 * Makes or changes one check; `check` is cut at HEALTH_NAME_MAX bytes, `why` (for people, no secrets) at HEALTH_WHY_MAX;
 * both are copied. `why` counts only when down and may be NULL. A check not yet set is not there.
 */
void health_set(struct health *h, const char *check, bool is_up, const char *why);
/* From now on not ready, whatever the checks say. */
void health_stop(struct health *h);
bool health_is_ready(const struct health *h);

/*
 * The documents: return the status code (200 or 503) and append the body, of type application/json for the first two and
 * METRICS_CONTENT_TYPE for the third. 500 and nothing of worth in the body when memory ran out.
 *
 *   {"status":"ready","checks":{"broker":{"status":"up"},"store":{"status":"down","reason":"disk full"}}}
 *
 * "status" is ready, not_ready or stopping; of /livez it is always alive.
 */
int health_livez(struct health *h, struct buf *body);
int health_readyz(struct health *h, struct buf *body);
int health_metrics(struct health *h, struct buf *body);

/*
 * The admin listener of a service: "host:port", "[::1]:port", ":port" for every address, port 0 for any that is free, or
 * "" for none (*out is an admin that does nothing). Serves GET and HEAD of the three paths, one call a connection, 404 and
 * 405 else as problem documents. A connection lives at most ADMIN_CALL_MS, ADMIN_CONNECTIONS_MAX are open at once.
 * -EINVAL: not an address; else the error of the lookup, bind or listen.
 */
#define ADMIN_CALL_MS	      5000
#define ADMIN_CONNECTIONS_MAX 64
struct admin;
int admin_new(struct loop *loop, const char *listen, struct health *h, struct admin **out);
void admin_free(struct admin *a);
/* "127.0.0.1:43211", with the port that port 0 became; "" when it does not listen. Borrows: the admin's. */
const char *admin_address(const struct admin *a);

#endif
