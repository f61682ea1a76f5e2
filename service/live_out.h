/*
 * Tells everybody who follows tasks what this service's store has committed: live events (proto/live.h), published to the
 * exchange postback.events. Best effort: an event can be lost, and whoever listens finds out by the counts, at the latest
 * when this service can publish again. Never waits, keeps no event.
 */
#ifndef SERVICE_LIVE_OUT_H
#define SERVICE_LIVE_OUT_H

#include "proto/live.h"
#include "service/service.h"

struct live_out;

/* Every change of `store` from now on. Borrows both. 0 or -ENOMEM. Before the store is freed nothing more is told of it. */
int live_out_new(struct service *s, struct store *store, struct live_out **out);
/* After the store, before the brokers. */
void live_out_free(struct live_out *l);

/* A task as an event, and back. Borrows: all slices. A partial one has no more than its id, tenant, name, state and rev. */
void live_event_of_task(const struct store_task *task, struct live_event *out);
void live_event_to_task(const struct live_event *event, struct store_task *out);

#endif
