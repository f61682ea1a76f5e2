/*
 * A child process under the event loop: its three pipes, its end, and the end of its process group.
 *
 * It gets descriptors 0, 1 and 2, an empty signal mask and default signal dispositions, and leads a group of its own.
 * It has ended when its pidfd says so, not when its output does: a grandchild may hold the pipes open. What is in them at
 * that moment is still read; what is left of the group is killed. Loop thread.
 */
#ifndef PROCESSOR_CHILD_H
#define PROCESSOR_CHILD_H

#include "base/slice.h"
#include "processor/reaper.h"

struct child;

/* All borrowed for the call. */
struct child_spec {
	const char *path; /* of the program, as program_find gave it */
	char *const *argv;
	char *const *environ;
	const char *cwd; /* NULL: ours */
};

struct child_end {
	int code;   /* exit code, when signal is 0 */
	int signal; /* that ended it; 0: none */
};

struct child_events {
	/* Bytes of stdout and of stderr as they come; borrowed until it returns. */
	void (*on_output)(struct slice bytes, void *arg);
	void (*on_errors)(struct slice bytes, void *arg);
	/* Ended, reaped, its pipes drained. The child is freed when this returns. */
	void (*on_end)(const struct child_end *end, void *arg);
};

/* 0 and later exactly one on_end, never inside the call; or a negative errno (of the exec, too) and no callback. */
int child_start(struct reaper *r, const struct child_spec *spec, const struct child_events *events, void *arg,
	struct child **out);

/*
 * Queues what goes to its stdin: `head` (at most CHILD_HEAD_MAX bytes) is copied, `body` borrowed until child_is_sent or
 * on_end. Only after what was sent before has gone. `is_last` closes its stdin behind it. A child that reads no more is
 * no error: its end decides.
 */
#define CHILD_HEAD_MAX 8
void child_send(struct child *c, struct slice head, struct slice body, bool is_last);
/* Everything went into the pipe, or the child closed it. */
bool child_is_sent(const struct child *c);
void child_close_input(struct child *c);
/* Also inside its callbacks. */
int64_t child_pid(const struct child *c);

/* TERM to its group now and KILL after `grace_ms`. Again: nothing, but grace 0 kills at once. */
void child_end(struct child *c, int64_t grace_ms);
/* Kills and reaps at once, without on_end. Takes NULL; not inside on_end. */
void child_free(struct child *c);

struct option_strings;
/* The list as posix_spawn wants it, NULL terminated. 0 or -ENOMEM. Owns: free() the array; the texts are borrowed. */
int argv_of(const struct option_strings *list, char ***argv);

/*
 * The program behind argv[0] as execvp would find it: itself when it has a slash (from `cwd`, unless NULL), else in
 * PATH. 0, -ENOENT, -EACCES, -ENAMETOOLONG.
 */
int program_find(const char *name, const char *cwd, char *path, size_t path_len);

#endif
