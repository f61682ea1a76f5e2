/*
 * A first-in first-out hand-over between threads: any thread posts, one takes everything at once. Wakes the taker
 * through an eventfd, once a batch and not once an item. Bounded by whoever posts (count what is in flight).
 */
#ifndef RUNTIME_MAILBOX_H
#define RUNTIME_MAILBOX_H

#include <stdbool.h>

/* Embedded in what is posted. */
struct mail {
	struct mail *next;
};

struct mailbox;

int mailbox_new(struct mailbox **out);
/* What was never taken is not freed: take it first. */
void mailbox_free(struct mailbox *m);
/* The mail belongs to the taker from here on. */
void mailbox_post(struct mailbox *m, struct mail *mail);
/* A whole chain under one lock and at most one wake-up; `end` is the last mail's next, which is NULL. */
void mailbox_post_all(struct mailbox *m, struct mail *first, struct mail **end);
/* Wakes the taker although nothing was posted: it is to look around. Any thread. */
void mailbox_wake(struct mailbox *m);
bool mailbox_is_empty(struct mailbox *m);
/* All that was posted, in order, or NULL. Clears the wake-up. */
struct mail *mailbox_take(struct mailbox *m);
/* Readable while something waits: for poll(2) or an event. */
int mailbox_fd(const struct mailbox *m);

#endif
