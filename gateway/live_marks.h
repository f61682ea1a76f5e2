/*
 * What was lost on the way: in each shard the messages of a publisher are counted, and whoever listens to a shard without
 * a break hears every number. Pure.
 */
#ifndef GATEWAY_LIVE_MARKS_H
#define GATEWAY_LIVE_MARKS_H

#include "proto/live.h"
#include "proto/topology.h"

#define LIVE_PUBLISHERS_MAX 32 /* the one not heard of for longest makes room */

struct live_publisher {
	uint64_t id;				/* 0: free */
	uint64_t heard;				/* when, by a clock of our own */
	uint32_t counts[TOPOLOGY_EVENT_SHARDS]; /* 0: none heard since we listen */
};

/* Zeroed: nothing was heard. */
struct live_marks {
	struct live_publisher *publishers[LIVE_PUBLISHERS_MAX];
	uint64_t clock;
};

/* The publisher's place for live_marks_note; NULL when out of memory. */
struct live_publisher *live_marks_publisher(struct live_marks *m, uint64_t id);
/* True: something before this message was lost. */
bool live_marks_note(struct live_publisher *p, const struct live_mark *mark);
/* Nobody listens to the shard any more. */
void live_marks_forget(struct live_marks *m, unsigned shard);
/* Nobody listens to anything. */
void live_marks_done(struct live_marks *m);

#endif
