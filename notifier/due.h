/*
 * The due loop: claims rows whose time has come, under a lease, and hands each to its channel; writes down what became
 * of them. A notifier that dies loses nothing: its leases end and somebody else claims the rows.
 */
#ifndef NOTIFIER_DUE_H
#define NOTIFIER_DUE_H

#include "notifier/options.h"
#include "service/service.h"

struct due;

/* Borrows the options. */
int due_new(struct service *s, const struct notifier_options *options, struct store *store, struct due **out);
void due_free(struct due *d);
/* The store is up or lost: rows are claimed only while it is up. */
void due_set_store(struct due *d, bool is_up);
/* Something became due just now. */
void due_wake(struct due *d);
/* Claims no more; `drained` comes when nothing is on its way (at once, inside the call, when nothing is). */
void due_stop(struct due *d, void (*drained)(void *arg), void *arg);
size_t due_in_flight(const struct due *d);

#endif
