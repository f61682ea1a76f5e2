/*
 * POST /v1/deliveries/retry: many dead deliveries once more, as after a receiver's outage.
 */
#ifndef GATEWAY_REPLAY_H
#define GATEWAY_REPLAY_H

#include "gateway/call.h"
#include "gateway/fault.h"
#include "store/store.h"

/*
 * Reads the query into what is asked of the store, but for the tenant. Borrows: its slices point into the parameters. 0 or
 * -EINVAL with *fault set. Pure.
 */
int replay_read_query(const struct call_param *params, size_t len, int64_t now_ms, struct store_replay *out,
	struct fault *fault);

call_handler replay_post;

#endif
