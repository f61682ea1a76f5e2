/*
 * What a transaction has changed so far: the tasks whose rev it raised, in order, as they then were. Filled by a backend
 * while it writes; the worker takes them over when the transaction is committed, and forgets them when it is not.
 */
#ifndef STORE_CHANGES_H
#define STORE_CHANGES_H

#include "store/arena.h"
#include "store/store.h"

/* Zeroed: empty. */
struct changes {
	struct arena arena; /* what the tasks point into */
	struct store_task *items;
	size_t len, cap;
	struct id *unread; /* tasks that were changed in a way that only the database knows */
	size_t unread_len, unread_cap;
};

/*
 * One more, a shallow copy: what it points to lives in the arena or as long. Without memory it is left out: whoever
 * follows tasks reads them now and then in any case.
 */
void changes_add(struct changes *c, const struct store_task *task);
/* The same, copying all that it points to. */
void changes_add_copy(struct changes *c, const struct store_task *task);
/* One whose row is to be read before the commit. */
void changes_add_unread(struct changes *c, const struct id *id);
/* `c` may be NULL: nobody wants to hear of them. cut: forgets all but the first `len`. */
size_t changes_len(const struct changes *c);
void changes_cut(struct changes *c, size_t len);
/* Moves what there is into `to`, an empty arena, and is empty. NULL when there is nothing, or no memory. */
const struct store_task *changes_take(struct changes *c, struct arena *to, size_t *len);
void changes_done(struct changes *c);

#endif
