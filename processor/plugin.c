/*
 * plugin: a shared object in child processes of our own making, which are workers like any other.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "processor/plugin_host.h"
#include "processor/pool.h"

static int find_in(const char *dir, const char *name, char *path, size_t len)
{
	if (snprintf(path, len, "%s%s", dir, name) >= (int)len)
		return -ENAMETOOLONG;
	return access(path, R_OK) < 0 ? -errno : 0;
}

/* The folder beside the one that our program lies in; "" when it cannot be told. */
static void beside_us(char *dir, size_t len)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);

	*dir = '\0';
	while (n > 0 && exe[n - 1] != '/')
		n--;
	if (n > 0 && n < (ssize_t)sizeof exe &&
		snprintf(dir, len, "%.*s../lib/postback/", (int)n, exe) >= (int)len)
		*dir = '\0';
}

/* A name without a slash is one of the plug-ins installed with us; anything else is a path. */
static int find_library(const struct handler_options *o, char *path, size_t len)
{
	char dir[PATH_MAX];

	if (strchr(o->plugin, '/'))
		return find_in("", o->plugin, path, len);
	beside_us(dir, sizeof dir);
	if (*dir && find_in(dir, o->plugin, path, len) == 0)
		return 0;
	return find_in(POSTBACK_PLUGIN_DIR "/", o->plugin, path, len);
}

static bool is_chosen(const struct handler_options *o)
{
	return o->plugin;
}

static void check(const struct handler_options *o, struct complaints *c)
{
	char path[PATH_MAX];

	if (find_library(o, path, sizeof path) < 0)
		complain(c, "plugin", "%s: cannot be read", path);
}

static int start(const struct kind_env *env, const struct handler_options *o, void **self)
{
	char path[PATH_MAX];
	char full[PATH_MAX];
	char limit[32];
	const char *argv[] = {"postback-plugin-host", PLUGIN_HOST_FLAG, full, o->plugin_config, limit, NULL};
	struct pool *pool;
	int rc = find_library(o, path, sizeof path);

	if (rc < 0)
		return rc;
	/* The host may run in another folder than we. */
	if (!realpath(path, full))
		return -errno;
	snprintf(limit, sizeof limit, "%lld", (long long)o->output_limit);
	rc = pool_new(env, o, "/proc/self/exe", argv, &pool);
	if (rc == 0)
		*self = pool;
	return rc;
}

const struct handler_kind kind_plugin = {
	.name = "plugin",
	.is_chosen = is_chosen,
	.check = check,
	.start = start,
	.run = pool_run,
	.cancel = pool_cancel,
	.stop = pool_stop,
	.free = pool_free,
};
