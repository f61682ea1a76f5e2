/*
 * A channel carries what is due to where it goes: a request to its queue, an outcome to a receiver. A new channel is one
 * file and one row in due.c.
 */
#ifndef NOTIFIER_CHANNEL_H
#define NOTIFIER_CHANNEL_H

#include "notifier/options.h"
#include "service/service.h"

/* One due row on its way; made by the due loop, ended by the channel. */
struct ticket;

struct channel {
	const char *name; /* as in the store's due rows */
	bool delivers;	  /* pushes an outcome to a receiver: counted among the deliveries */
	/* Builds the channel's own state; borrows the options and the store. 0 or a negative errno. */
	int (*start)(
		struct service *s, const struct notifier_options *options, struct store *store, void **self);
	void (*free)(void *self);
	/* How many rows it may have in hand just now, those that it has included; the others stay where they are. */
	size_t (*capacity)(void *self);
	/*
	 * Sends `due`, which is borrowed until send returns, and ends the ticket exactly once, then or later. Everything
	 * must end before the lease does.
	 */
	void (*send)(void *self, const struct store_due *due, struct ticket *ticket);
	/* The service ends: puts back (STORE_DUE_LATER) what has not begun. NULL: nothing ever waits. */
	void (*stop)(void *self);
};

extern const struct channel channel_task;

#define CHANNEL_LEASE_MS 60000
/* Bytes of a response worth keeping with its attempt. */
#define CHANNEL_RESPONSE_MAX 1024

/* The attempt begins now and not when the row was handed over: its time is measured from here. */
void ticket_begin(struct ticket *t);
/* The same of a moment that has passed, by the monotonic clock. */
void ticket_began(struct ticket *t, int64_t mono_ms);
/*
 * `error` and `response` are copied. `again_ms`: from now, for STORE_DUE_AGAIN and STORE_DUE_LATER. `status`: of the
 * protocol, 0: none.
 */
void ticket_end(struct ticket *t, enum store_due_end how, int64_t again_ms, int32_t status, const char *error,
	struct slice response);

#endif
