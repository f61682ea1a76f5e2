/*
 * The processor as the parent of everything its handlers start. It is a child subreaper: what a handler's program leaves
 * behind (a daemon, a grandchild in a session of its own) becomes our child when its parent ends. Children that we did
 * not start are killed and reaped, so nothing that a handler hides outlives it for long. What a program starts must
 * therefore stay its own child.
 *
 * Linux only: reads /proc. Loop thread.
 */
#ifndef PROCESSOR_REAPER_H
#define PROCESSOR_REAPER_H

#include <sys/types.h>

#include "runtime/loop.h"

struct reaper;

/* Makes the process a subreaper. 0 or a negative errno. One a process. */
int reaper_new(struct loop *loop, struct reaper **out);
/* After all children were freed. Kills the strays that are left. */
void reaper_free(struct reaper *r);
struct loop *reaper_loop(const struct reaper *r);

/* For child.c: a child of ours was started; it was reaped. reaper_add: 0 or -ENOMEM. */
int reaper_add(struct reaper *r, pid_t pid);
void reaper_remove(struct reaper *r, pid_t pid);

/* Children of ours that are not reaped yet. */
size_t reaper_children(const struct reaper *r);
/* Strays killed so far. */
uint64_t reaper_strays(const struct reaper *r);

#endif
