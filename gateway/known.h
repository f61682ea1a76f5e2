/*
 * Which task names are known to have a queue, and since when that was last seen. Bounded; forgets nothing else.
 */
#ifndef GATEWAY_KNOWN_H
#define GATEWAY_KNOWN_H

#include "proto/name.h"

#define KNOWN_MAX      4096
#define KNOWN_FRESH_MS 10000 /* so long a queue that was seen is taken to be there */

struct known;

int known_new(struct known **out);
void known_free(struct known *k);

/* Its queue was seen at `now_ms` (monotonic); 0: the name was only told. A name too many is not remembered. */
void known_saw(struct known *k, const char *task, int64_t now_ms);
/* Its queue is not there. */
void known_missed(struct known *k, const char *task);
bool known_is_fresh(const struct known *k, const char *task, int64_t now_ms);

/* Every name, in order. Borrows: valid until the next known_saw. */
typedef void known_each_cb(const char *task, void *arg);
void known_each(const struct known *k, known_each_cb *cb, void *arg);

#endif
