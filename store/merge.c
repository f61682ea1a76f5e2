#include "store/merge.h"

static const struct {
	enum task_state state;
	uint32_t rank;
} effects[] = {
	[STORE_EVENT_STARTED] = {TASK_RUNNING, 1},
	[STORE_EVENT_PROGRESS] = {TASK_RUNNING, 2},
	[STORE_EVENT_RETRY] = {TASK_SCHEDULED, 3},
	[STORE_EVENT_SUCCEEDED] = {TASK_SUCCEEDED, 4},
	[STORE_EVENT_FAILED] = {TASK_FAILED, 4},
	[STORE_EVENT_CANCELED] = {TASK_CANCELED, 4},
	[STORE_EVENT_DEAD] = {TASK_DEAD, 4},
};

static bool is_later(const struct merge_position *now, const struct store_event *event, uint32_t rank)
{
	if (event->attempt != now->attempt)
		return event->attempt > now->attempt;
	if (rank != now->rank)
		return rank > now->rank;
	return event->seq > now->seq;
}

/* The attempt that this dead letter was has ended otherwise, and another one is to come, or under way. */
static bool is_dead_copy(const struct merge_position *now, const struct store_event *event)
{
	if (event->kind != STORE_EVENT_DEAD)
		return false;
	if (event->attempt != now->attempt)
		return event->attempt < now->attempt;
	return now->rank == effects[STORE_EVENT_RETRY].rank;
}

bool merge_event(
	const struct merge_position *now, const struct store_event *event, struct merge_position *next)
{
	enum task_state state = effects[event->kind].state;
	uint32_t rank = effects[event->kind].rank;

	if (now->exists && task_state_is_terminal(now->state))
		return false;
	if (now->exists && is_dead_copy(now, event))
		return false;
	if (now->exists && !task_state_is_terminal(state) && !is_later(now, event, rank))
		return false;
	*next = (struct merge_position){
		.state = state,
		.attempt = event->attempt > now->attempt ? event->attempt : now->attempt,
		.rank = rank,
		.seq = event->seq,
		.exists = true,
	};
	return true;
}
