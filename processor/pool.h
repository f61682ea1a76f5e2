/*
 * A pool of long-lived children that speak the wire format on stdin and stdout, each request and reply a frame of a
 * 4-byte big-endian length and a msgpack map: what a `worker` and a `plugin` run in. As many children as the handler's
 * concurrency; one that dies is started again, after a growing pause when it never finished a run.
 *
 * A child answers every request with one final reply (succeeded, failed, retry, canceled), before it any number of
 * progress ones. Anything else is garbage: it is killed, and the run fails and is tried again. Its stderr goes to the
 * log. End of file on its stdin asks it to end.
 *
 * A child holds when it has finished a run or has stayed for POOL_HOLDS_MS. While none does, and one has been started
 * POOL_STARTS times in vain, the pool says that it can run nothing (kind_env.on_able).
 */
#ifndef PROCESSOR_POOL_H
#define PROCESSOR_POOL_H

#include "processor/kind.h"

#define POOL_HOLDS_MS 5000
#define POOL_STARTS   3

struct pool;

/* `path` and `argv` of the children; both copied. 0 or a negative errno. */
int pool_new(const struct kind_env *env, const struct handler_options *o, const char *path,
	const char *const *argv, struct pool **out);
/* As the functions of a handler kind. */
int pool_run(void *pool, struct job *job);
void pool_cancel(void *pool, struct job *job);
void pool_stop(void *pool);
void pool_free(void *pool);

#endif
