/*
 * worker: a program that stays, in the user's language, speaking frames on its stdin and stdout.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "processor/child.h"
#include "processor/pool.h"

static bool is_chosen(const struct handler_options *o)
{
	return o->worker.len > 0;
}

static void check(const struct handler_options *o, struct complaints *c)
{
	char path[PATH_MAX];
	int rc = program_find(o->worker.items[0], o->cwd, path, sizeof path);

	if (rc < 0)
		complain(c, "worker", "%s: %s", o->worker.items[0],
			rc == -EACCES ? "is not an executable file" : "no such program");
}

static int start(const struct kind_env *env, const struct handler_options *o, void **self)
{
	struct pool *pool;
	char path[PATH_MAX];
	char **argv;
	int rc = program_find(o->worker.items[0], o->cwd, path, sizeof path);

	if (rc < 0)
		return rc;
	rc = argv_of(&o->worker, &argv);
	if (rc < 0)
		return rc;
	rc = pool_new(env, o, path, (const char *const *)argv, &pool);
	free(argv);
	if (rc == 0)
		*self = pool;
	return rc;
}

const struct handler_kind kind_worker = {
	.name = "worker",
	.is_chosen = is_chosen,
	.check = check,
	.start = start,
	.run = pool_run,
	.cancel = pool_cancel,
	.stop = pool_stop,
	.free = pool_free,
};
