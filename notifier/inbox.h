/*
 * The inbox: replies and dead letters from the broker into the store, in batches, acked after the commit.
 *
 * What arrives while one batch is being committed makes the next one, so a batch is as large as the load asks for (up to
 * STORE_EVENTS_MAX) and an idle service commits at once. What cannot be read or is not ours is kept among the store's
 * dead letters and acked; nothing is ever rejected. While the store is lost nothing is consumed.
 */
#ifndef NOTIFIER_INBOX_H
#define NOTIFIER_INBOX_H

#include "service/service.h"

struct inbox;

struct inbox_hooks {
	/* Rows became due with what was just committed. */
	void (*on_due)(void *arg);
	void *arg;
};

int inbox_new(struct service *s, struct store *store, const struct inbox_hooks *hooks, struct inbox **out);
void inbox_free(struct inbox *i);
void inbox_set_store(struct inbox *i, bool is_up);
/* Consumes no more; `drained` comes when everything in hand is committed and acked (perhaps inside the call). */
void inbox_stop(struct inbox *i, void (*drained)(void *arg), void *arg);
/* Messages in hand. */
size_t inbox_len(const struct inbox *i);

#endif
