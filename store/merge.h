/*
 * The merge rule: what an event does to a task as it is known so far. Pure, shared by every store.
 *
 * Terminal beats all and the first terminal stays; then the higher attempt; then the higher kind (queued < started <
 * progress < retry); then the higher seq. Whatever is not higher changes nothing.
 *
 * One end does not count: the dead letter of an attempt that asked for another one. It is a copy of a request that was
 * run to its reply, delivered again and again because its ack was lost; the next attempt tells how the task ends.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "store/store.h"

/* How far a task is known to be. Zeroed: nothing is known. */
struct merge_position {
	enum task_state state;
	uint32_t attempt;
	uint32_t rank; /* of the last event's kind within the attempt */
	uint64_t seq;
	bool exists;
};

/* True when the event counts; then *next is the new position. Else *next is left alone. */
bool merge_event(
	const struct merge_position *now, const struct store_event *event, struct merge_position *next);

#endif
