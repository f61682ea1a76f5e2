/*
 * The documents of deliveries: to whom an outcome goes, what became of it, every attempt. Pure.
 */
#ifndef GATEWAY_DELIVERY_RENDER_H
#define GATEWAY_DELIVERY_RENDER_H

#include "base/buf.h"
#include "store/store.h"

#define DELIVERY_PATH "/v1/deliveries/"

/* {"id","task_id","channel",…,"links"}. Errors stay in the buffer. */
void delivery_render(const struct store_delivery *d, struct buf *out);
/* {"deliveries":[…]} */
void delivery_render_list(const struct store_delivery *deliveries, size_t len, struct buf *out);

#endif
