/*
 * From the id in a request to what is known of its task, with the answers for ids that are none, are somebody else's or
 * have had their time.
 */
#ifndef GATEWAY_LOOKUP_H
#define GATEWAY_LOOKUP_H

#include "gateway/gateway.h"

/*
 * `task`: the store's row, or that of a task that is queued and not seen by the store yet; borrowed until it returns.
 * NULL: the call has been answered (404, 410, 503).
 */
typedef void lookup_cb(const struct store_task *task, void *arg);

/* One callback, at once or later. `with`: STORE_WITH_…  */
void lookup_task(
	struct gateway *g, struct call *call, struct slice id_text, unsigned with, lookup_cb *cb, void *arg);

/* An id of this kind and of the tenant, in the path or elsewhere. False: the call has been answered (404, 503). */
bool lookup_read_id(
	struct gateway *g, struct call *call, enum id_kind kind, struct slice id_text, struct id *out);
/* Answers 410, for a task whose lifetime has passed. */
void lookup_gone(struct call *call);
/* Answers 503 when the store has not said yet which ids are ours. False: it has been answered. */
bool lookup_is_ready(const struct gateway *g, struct call *call);
/* Answers 503 for a store that fails or is not up. */
void lookup_store_failed(struct call *call);
/* Answers 404, for whatever is no id of this tenant. */
void lookup_not_found(struct call *call, const char *what);

#endif
