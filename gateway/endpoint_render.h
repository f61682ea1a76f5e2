/*
 * The documents of registered endpoints. Pure.
 */
#ifndef GATEWAY_ENDPOINT_RENDER_H
#define GATEWAY_ENDPOINT_RENDER_H

#include "base/buf.h"
#include "store/store.h"

#define ENDPOINT_PATH "/v1/endpoints/"

/* {"id","url",…,"links"}; the secret only where it has just been made. Errors stay in the buffer. */
void endpoint_render(const struct store_endpoint *e, bool with_secret, int64_t now_ms, struct buf *out);
/* {"endpoints":[…]}, without secrets. */
void endpoint_render_list(
	const struct store_endpoint *endpoints, size_t len, int64_t now_ms, struct buf *out);

#endif
