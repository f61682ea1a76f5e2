#include "processor/reaper.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/log.h"

enum {
	SWEEP_IDLE_MS = 1000, /* while children of ours run */
	SWEEP_BUSY_MS = 20,   /* while strays are dying: their own children come next */
	SCAN_MAX = 4096,      /* strays looked at in one sweep */
};

struct reaper {
	struct loop *loop;
	struct event *timer;
	void *pids; /* tsearch tree; the key is the pid itself */
	size_t len;
	uint64_t strays;
};

static int compare_pids(const void *a, const void *b)
{
	return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

static bool is_ours(struct reaper *r, pid_t pid)
{
	return tfind((void *)(uintptr_t)pid, &r->pids, compare_pids);
}

/* True when it was a stray: a zombie is reaped, anything else killed and reaped by a later sweep. */
static bool end_stray(struct reaper *r, pid_t pid)
{
	if (is_ours(r, pid))
		return false;
	if (waitpid(pid, NULL, WNOHANG) != 0)
		return true;
	kill(pid, SIGKILL);
	r->strays++;
	log_warn("stray_killed", LOG_INT("pid", pid));
	waitpid(pid, NULL, WNOHANG);
	return true;
}

static size_t sweep_thread(struct reaper *r, const char *tid)
{
	char path[64];
	size_t found = 0;
	int pid;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%.16s/children", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (found < SCAN_MAX && fscanf(f, "%d", &pid) == 1)
		found += end_stray(r, pid);
	fclose(f);
	return found;
}

/* An adopted child hangs on whichever of our threads the kernel chose. */
static size_t sweep(struct reaper *r)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;
	size_t found = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			found += sweep_thread(r, e->d_name);
	closedir(dir);
	return found;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct reaper *r = arg;

	if (sweep(r) > 0)
		timer_arm(r->timer, SWEEP_BUSY_MS);
	else if (r->len > 0)
		timer_arm(r->timer, SWEEP_IDLE_MS);
}

int reaper_new(struct loop *loop, struct reaper **out)
{
	struct reaper *r;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->timer = loop_timer(loop, on_sweep, r);
	if (!r->timer) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	sweep(r);
	while (r->pids)
		tdelete(*(void **)r->pids, &r->pids, compare_pids);
	event_free(r->timer);
	free(r);
}

struct loop *reaper_loop(const struct reaper *r)
{
	return r->loop;
}

int reaper_add(struct reaper *r, pid_t pid)
{
	if (!tsearch((void *)(uintptr_t)pid, &r->pids, compare_pids))
		return -ENOMEM;
	r->len++;
	if (!evtimer_pending(r->timer, NULL))
		timer_arm(r->timer, SWEEP_IDLE_MS);
	return 0;
}

void reaper_remove(struct reaper *r, pid_t pid)
{
	if (!tdelete((void *)(uintptr_t)pid, &r->pids, compare_pids))
		return;
	r->len--;
	timer_arm(r->timer, 0);
}

size_t reaper_children(const struct reaper *r)
{
	return r->len;
}

uint64_t reaper_strays(const struct reaper *r)
{
	return r->strays;
}
