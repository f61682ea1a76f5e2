#include "processor/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/config.h"

enum {
	READ_CHUNK = 65536,
	DRAIN_MAX = 1024 * 1024, /* a full pipe of ours; more comes from somebody who outlived the child */
};

struct child_pipe {
	int fd; /* -1: closed */
	struct event *event;
};

struct child {
	struct reaper *reaper;
	struct child_events events;
	void *arg;
	pid_t pid;
	struct child_pipe input, output, errors, pidfd;
	struct event *kill_timer;
	bool is_ending;
	/* to stdin */
	uint8_t head[CHILD_HEAD_MAX];
	size_t head_len;
	struct slice body;
	size_t sent; /* of both */
	bool is_last;
};

static void pipe_close(struct child_pipe *p)
{
	if (p->event)
		event_free(p->event);
	p->event = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* ---- reading ---- */

/* False when the pipe is done with: closed at the other end or broken. */
static bool read_some(struct child_pipe *p, void (*cb)(struct slice, void *), void *arg, size_t *got)
{
	uint8_t chunk[READ_CHUNK];
	ssize_t n = read(p->fd, chunk, sizeof chunk);

	*got = 0;
	if (n > 0) {
		*got = (size_t)n;
		cb(slice_of(chunk, (size_t)n), arg);
		return true;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	size_t got;

	if (!read_some(&c->output, c->events.on_output, c->arg, &got))
		pipe_close(&c->output);
}

static void on_errors(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	size_t got;

	if (!read_some(&c->errors, c->events.on_errors, c->arg, &got))
		pipe_close(&c->errors);
}

static void drain(struct child_pipe *p, void (*cb)(struct slice, void *), void *arg)
{
	size_t total = 0;
	size_t got;

	while (p->fd >= 0 && total < DRAIN_MAX && read_some(p, cb, arg, &got) && got > 0)
		total += got;
}

/* ---- writing ---- */

static size_t to_send(const struct child *c)
{
	return c->head_len + c->body.len - c->sent;
}

static struct slice next_piece(const struct child *c)
{
	if (c->sent < c->head_len)
		return slice_of(c->head + c->sent, c->head_len - c->sent);
	return slice_of(c->body.data + (c->sent - c->head_len), c->body.len - (c->sent - c->head_len));
}

static void all_sent(struct child *c)
{
	c->head_len = c->sent = 0;
	c->body = (struct slice){0};
	if (c->is_last)
		pipe_close(&c->input);
}

static void write_on(struct child *c)
{
	while (c->input.fd >= 0 && to_send(c) > 0) {
		struct slice piece = next_piece(c);
		ssize_t n = write(c->input.fd, piece.data, piece.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(c->input.event, NULL);
			return;
		}
		if (n < 0)
			pipe_close(&c->input);
		else
			c->sent += (size_t)n;
	}
	all_sent(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	write_on(arg);
}

void child_send(struct child *c, struct slice head, struct slice body, bool is_last)
{
	assert(child_is_sent(c) && head.len <= sizeof c->head);
	if (head.len)
		memcpy(c->head, head.data, head.len);
	c->head_len = head.len;
	c->body = body;
	c->is_last = is_last;
	write_on(c);
}

bool child_is_sent(const struct child *c)
{
	return to_send(c) == 0;
}

int64_t child_pid(const struct child *c)
{
	return c->pid;
}

void child_close_input(struct child *c)
{
	pipe_close(&c->input);
	c->is_last = true;
	all_sent(c);
}

/* ---- the end ---- */

static void child_destroy(struct child *c)
{
	pipe_close(&c->input);
	pipe_close(&c->output);
	pipe_close(&c->errors);
	pipe_close(&c->pidfd);
	if (c->kill_timer)
		event_free(c->kill_timer);
	free(c);
}

/* The group goes while the leader is still a zombie: until it is reaped its number belongs to nobody else. */
static struct child_end reap(struct child *c)
{
	siginfo_t info = {0};

	kill(-c->pid, SIGKILL);
	while (waitid(P_PID, (id_t)c->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	reaper_remove(c->reaper, c->pid);
	if (info.si_code == CLD_EXITED)
		return (struct child_end){.code = info.si_status};
	return (struct child_end){.signal = info.si_status ? info.si_status : SIGKILL};
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	struct child_end end = reap(c);

	drain(&c->output, c->events.on_output, c->arg);
	drain(&c->errors, c->events.on_errors, c->arg);
	c->events.on_end(&end, c->arg);
	child_destroy(c);
}

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	kill(-c->pid, SIGKILL);
}

void child_end(struct child *c, int64_t grace_ms)
{
	if (grace_ms == 0) {
		c->is_ending = true;
		kill(-c->pid, SIGKILL);
		return;
	}
	if (c->is_ending)
		return;
	c->is_ending = true;
	kill(-c->pid, SIGTERM);
	/* One that was stopped cannot see the TERM. */
	kill(-c->pid, SIGCONT);
	timer_arm(c->kill_timer, grace_ms);
}

void child_free(struct child *c)
{
	if (!c)
		return;
	reap(c);
	child_destroy(c);
}

/* ---- the start ---- */

/* Ours is non-blocking, the child's is not; index 0 is the reading end. */
static int pipe_open(int ours, int ends[2])
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[ours], F_SETFL, O_NONBLOCK);
	return 0;
}

struct spawn_pipes {
	int in[2], out[2], err[2];
};

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int pipes_open(struct spawn_pipes *p)
{
	int rc;

	*p = (struct spawn_pipes){{-1, -1}, {-1, -1}, {-1, -1}};
	if ((rc = pipe_open(1, p->in)) < 0)
		return rc;
	if ((rc = pipe_open(0, p->out)) < 0)
		return rc;
	return pipe_open(0, p->err);
}

static void pipes_close(struct spawn_pipes *p)
{
	for (int i = 0; i < 2; i++) {
		close_end(&p->in[i]);
		close_end(&p->out[i]);
		close_end(&p->err[i]);
	}
}

/* adddup2 of a descriptor to itself takes its close-on-exec away, so any numbers will do but 0 to 2 crosswise. */
static int describe_files(posix_spawn_file_actions_t *a, const struct spawn_pipes *p, const char *cwd)
{
	int rc = posix_spawn_file_actions_adddup2(a, p->in[0], 0);

	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(a, p->out[1], 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(a, p->err[1], 2);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(a, 3);
	if (rc == 0 && cwd)
		rc = posix_spawn_file_actions_addchdir_np(a, cwd);
	return rc;
}

static void describe_process(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setflags(
		attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const struct child_spec *spec, const struct spawn_pipes *p, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	describe_process(&attr);
	rc = describe_files(&actions, p, spec->cwd);
	if (rc == 0)
		rc = posix_spawn(pid, spec->path, &actions, &attr, spec->argv, spec->environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static int watch(struct child *c, struct child_pipe *p, short what, event_callback_fn cb)
{
	struct event_base *base = loop_base(reaper_loop(c->reaper));

	p->event = event_new(base, p->fd, what, cb, c);
	if (!p->event)
		return -ENOMEM;
	return what & EV_READ ? event_add(p->event, NULL) : 0;
}

static int watch_all(struct child *c)
{
	c->pidfd.fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd.fd < 0)
		return -errno;
	c->kill_timer = loop_timer(reaper_loop(c->reaper), on_grace_over, c);
	if (!c->kill_timer || watch(c, &c->input, EV_WRITE, on_writable) < 0 ||
		watch(c, &c->output, EV_READ | EV_PERSIST, on_output) < 0 ||
		watch(c, &c->errors, EV_READ | EV_PERSIST, on_errors) < 0 ||
		watch(c, &c->pidfd, EV_READ, on_ended) < 0)
		return -ENOMEM;
	return 0;
}

static void take_pipes(struct child *c, struct spawn_pipes *p)
{
	c->input.fd = p->in[1];
	c->output.fd = p->out[0];
	c->errors.fd = p->err[0];
	p->in[1] = p->out[0] = p->err[0] = -1;
}

int child_start(struct reaper *r, const struct child_spec *spec, const struct child_events *events, void *arg,
	struct child **out)
{
	struct child *c = calloc(1, sizeof *c);
	struct spawn_pipes pipes;
	int rc;

	if (!c)
		return -ENOMEM;
	*c = (struct child){.reaper = r, .events = *events, .arg = arg};
	c->input.fd = c->output.fd = c->errors.fd = c->pidfd.fd = -1;
	rc = pipes_open(&pipes);
	if (rc == 0)
		rc = spawn(spec, &pipes, &c->pid);
	if (rc < 0)
		goto out;
	take_pipes(c, &pipes);
	rc = reaper_add(r, c->pid);
	if (rc == 0)
		rc = watch_all(c);
	if (rc < 0)
		reap(c);
	else
		*out = c;
out:
	pipes_close(&pipes);
	if (rc < 0)
		child_destroy(c);
	return rc;
}

/* ---- programs ---- */

int argv_of(const struct option_strings *list, char ***argv)
{
	char **copy = calloc(list->len + 1, sizeof *copy);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, list->items, list->len * sizeof *copy);
	*argv = copy;
	return 0;
}

static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -ENOENT;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	return 0;
}

static int find_here(const char *name, const char *cwd, char *path, size_t path_len)
{
	char full[PATH_MAX];

	if (snprintf(full, sizeof full, "%s%s%s", cwd && *name != '/' ? cwd : "",
		    cwd && *name != '/' ? "/" : "", name) >= (int)sizeof full ||
		snprintf(path, path_len, "%s", name) >= (int)path_len)
		return -ENAMETOOLONG;
	return check_program(full);
}

int program_find(const char *name, const char *cwd, char *path, size_t path_len)
{
	const char *dirs = getenv("PATH");
	int found = -ENOENT;

	if (strchr(name, '/'))
		return find_here(name, cwd, path, path_len);
	if (!dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	while (*dirs && *name) {
		size_t len = strcspn(dirs, ":");
		int rc = -ENAMETOOLONG;

		if (snprintf(path, path_len, "%.*s/%s", len ? (int)len : 1, len ? dirs : ".", name) <
			(int)path_len)
			rc = check_program(path);
		if (rc == 0)
			return 0;
		if (rc == -EACCES)
			found = rc;
		dirs += len + (dirs[len] == ':');
	}
	return found;
}
