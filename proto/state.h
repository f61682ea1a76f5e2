/*
 * The states of a task and which may follow which.
 */
#ifndef PROTO_STATE_H
#define PROTO_STATE_H

#include "base/slice.h"

enum task_state {
	TASK_SCHEDULED,
	TASK_QUEUED,
	TASK_RUNNING,
	TASK_SUCCEEDED,
	TASK_FAILED,
	TASK_CANCELED,
	TASK_DEAD,
};
#define TASK_STATES 7

const char *task_state_name(enum task_state state);
/* -EINVAL for a word that is none. */
int task_state_parse(struct slice name, enum task_state *out);
bool task_state_is_terminal(enum task_state state);
/* May `to` follow `from`? A terminal state is followed by nothing. */
bool task_state_may_become(enum task_state from, enum task_state to);

#endif
