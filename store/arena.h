/*
 * Memory that lives and dies together: what a call was given (copied) and what its answer borrows. Failure sticks, so a
 * whole request may be copied and asked about once at the end.
 */
#ifndef STORE_ARENA_H
#define STORE_ARENA_H

#include "base/slice.h"

struct arena_chunk;

/* Zeroed: empty. */
struct arena {
	struct arena_chunk *chunks;
	size_t total; /* bytes handed out */
	bool has_failed;
};

void arena_done(struct arena *a);
/* Zeroed and aligned for anything; NULL when out of memory. Valid until arena_done. */
void *arena_alloc(struct arena *a, size_t count, size_t size);
/* A slice that is not set stays so, an empty one stays set. Not set when out of memory. */
struct slice arena_copy(struct arena *a, struct slice s);

#endif
