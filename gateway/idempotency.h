/*
 * Idempotency-Key: one request of a tenant under one key is carried out once and always gets the same answer.
 */
#ifndef GATEWAY_IDEMPOTENCY_H
#define GATEWAY_IDEMPOTENCY_H

#include "gateway/answer.h"
#include "gateway/gateway.h"

#define IDEMPOTENCY_KEY_MAX 255

/* Bare or in quotes (escapes are not undone), 1 to 255 printable characters. Borrows. 0 or -EINVAL. */
int idempotency_parse(struct slice header, struct slice *key);
/* What makes a request the same: method, path, query, content type, body. 0 or -ENOMEM. */
int idempotency_hash(const struct call *call, uint8_t out[STORE_HASH_LEN]);

/* A key that is claimed for one call. */
struct idempotency;

/*
 * Claims the key of the call's header for `id`, which becomes that of an earlier try when there was one. `claim` is NULL
 * when the call has been answered: the first answer again, 409 in flight, 422 for another request, 503.
 */
typedef void idempotency_cb(struct idempotency *claim, const struct id *id, bool is_resumed, void *arg);

/* True when the call bears the header. */
bool idempotency_is_wanted(const struct call *call);
/* One callback, at once or later. `lease_ms`: how long the call may take. */
void idempotency_claim(struct gateway *g, struct call *call, const struct id *id, int64_t lease_ms,
	idempotency_cb *cb, void *arg);

/* Keeps the answer or lets the key go, by its fate, and frees the claim; `cb` when that is done, or cannot be. */
typedef void idempotency_done_cb(void *arg);
void idempotency_end(struct idempotency *i, const struct answer *answer, idempotency_done_cb *cb, void *arg);
/* Nothing came of it, and the call has been answered. Safe with NULL. */
void idempotency_release(struct idempotency *i);

#endif
