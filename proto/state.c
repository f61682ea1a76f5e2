#include "proto/state.h"

#include <assert.h>
#include <errno.h>

#define BIT(state) (1U << (state))
#define TERMINAL   (BIT(TASK_SUCCEEDED) | BIT(TASK_FAILED) | BIT(TASK_CANCELED) | BIT(TASK_DEAD))

/*
 * A reply may overtake what the store knows: a short task sends no `started`, and the row of a task that came due
 * may be written after its first reply. So the steps between may be left out.
 */
static const struct {
	const char *name;
	unsigned next;
} states[TASK_STATES] = {
	[TASK_SCHEDULED] = {"scheduled", BIT(TASK_QUEUED) | BIT(TASK_RUNNING) | TERMINAL},
	[TASK_QUEUED] = {"queued", BIT(TASK_RUNNING) | BIT(TASK_SCHEDULED) | TERMINAL},
	[TASK_RUNNING] = {"running", BIT(TASK_SCHEDULED) | TERMINAL},
	[TASK_SUCCEEDED] = {"succeeded", 0},
	[TASK_FAILED] = {"failed", 0},
	[TASK_CANCELED] = {"canceled", 0},
	[TASK_DEAD] = {"dead", 0},
};

const char *task_state_name(enum task_state state)
{
	assert((unsigned)state < TASK_STATES);
	return states[state].name;
}

int task_state_parse(struct slice name, enum task_state *out)
{
	for (unsigned i = 0; i < TASK_STATES; i++) {
		if (slice_is_text(name, states[i].name)) {
			*out = (enum task_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool task_state_is_terminal(enum task_state state)
{
	assert((unsigned)state < TASK_STATES);
	return (TERMINAL & BIT(state)) != 0;
}

bool task_state_may_become(enum task_state from, enum task_state to)
{
	assert((unsigned)from < TASK_STATES && (unsigned)to < TASK_STATES);
	return (states[from].next & BIT(to)) != 0;
}
