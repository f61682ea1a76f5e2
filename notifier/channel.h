/*
 * A channel carries what is due to where it goes: a request to its queue, an outcome to a receiver. A new channel is one
 * file and one row in due.c.
 */
#ifndef NOTIFIER_CHANNEL_H
#define NOTIFIER_CHANNEL_H

#include "service/service.h"

/* One due row on its way; made by the due loop, ended by the channel. */
struct ticket;

struct channel {
	const char *name; /* as in the store's due rows */
	/* Builds the channel's own state. 0 or a negative errno. */
	int (*start)(struct service *s, void **self);
	void (*free)(void *self);
	/* May it be asked to send just now? Rows stay where they are meanwhile. */
	bool (*is_ready)(void *self);
	/*
	 * Sends `due`, which is borrowed until send returns, and ends the ticket exactly once, then or later. Everything
	 * must end before the lease does.
	 */
	void (*send)(void *self, const struct store_due *due, struct ticket *ticket);
};

extern const struct channel channel_task;

#define CHANNEL_LEASE_MS 60000

/* `error` and `response` are copied. `again_ms`: from now, for STORE_DUE_AGAIN. */
void ticket_end(struct ticket *t, enum store_due_end how, int64_t again_ms, int32_t status, const char *error,
	struct slice response);

#endif
