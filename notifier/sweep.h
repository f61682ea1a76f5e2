/*
 * The sweep: now and then lets the store drop what has outlived its lifetime, a small transaction at a time.
 * While the wall clock has just leapt ahead it waits, see leap.h.
 */
#ifndef NOTIFIER_SWEEP_H
#define NOTIFIER_SWEEP_H

#include "service/service.h"

struct sweep;

int sweep_new(struct service *s, struct store *store, struct sweep **out);
void sweep_free(struct sweep *w);
void sweep_set_store(struct sweep *w, bool is_up);

#endif
