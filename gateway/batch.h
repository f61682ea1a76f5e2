/*
 * POST /v1/batches: many envelopes at once, each accepted or refused by itself; GET /v1/batches/{id}: how far they are.
 */
#ifndef GATEWAY_BATCH_H
#define GATEWAY_BATCH_H

#include "gateway/call.h"
#include "gateway/submission.h"

/* What a body asks for: an array of envelopes, or {"tasks": […], "then": …}. */
struct batch_item {
	struct submission *submission; /* NULL: refused */
	struct fault fault;
};
struct batch_read {
	struct batch_item *items;
	size_t len;
	struct submission *then; /* NULL: nothing */
};
/*
 * Pure. 0, -EINVAL with *fault for what makes the whole batch refused, -ENOMEM. Owns: batch_read_done. Borrows: slices
 * point into `json`.
 */
int batch_read(struct slice json, size_t max, const struct submission_rules *rules, struct batch_read *out,
	struct fault *fault);
void batch_read_done(struct batch_read *b);

/* The endpoints; `arg` is the gateway. */
void batch_post(struct call *call, void *arg);
void batch_get(struct call *call, void *arg);

#endif
