/*
 * A call that waits for one answer of the store:
 *
 *   a = asking_new(g, call, sizeof *a);
 *   if (a)
 *           asking_begin(a, store_something(g->store, …, on_answer, a));
 *
 * and on_answer answers the call and says asking_end.
 */
#ifndef GATEWAY_ASKING_H
#define GATEWAY_ASKING_H

#include "gateway/gateway.h"

/* What it begins with; what else is needed for the answer follows. */
struct asking {
	struct gateway *g;
	struct call *call;
};

/* `size` bytes that begin with a struct asking, the rest zeroed. NULL: no memory, and the call has been answered. */
void *asking_new(struct gateway *g, struct call *call, size_t size);
/* `rc` is what the store's call returned: when it is not 0 the call is answered with 503, and the asking is over. */
void asking_begin(void *asking, int rc);
void asking_end(void *asking);

#endif
