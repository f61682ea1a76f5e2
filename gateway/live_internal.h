/*
 * The inside of the hub, for live.c (followers and what they are told), live_order.c (in which order), live_read.c (the
 * store) and live_shards.c (the broker) only.
 */
#ifndef GATEWAY_LIVE_INTERNAL_H
#define GATEWAY_LIVE_INTERNAL_H

/* Before libevent's headers, which undefine what they find missing. */
#include <sys/queue.h>

#include "gateway/live.h"
#include "gateway/live_marks.h"
#include "service/live_out.h"

enum {
	LIVE_HELD_MAX = 16, /* changes of one task that wait for one before them */
	LIVE_HOLD_MS = 100,
	LIVE_RECENTS = 4096,
};

enum live_read { LIVE_READ_NOTHING, LIVE_READ_ROW, LIVE_READ_WHOLE };

/* A change that has come before its turn: an encoded event. */
struct held {
	struct held *next; /* by rev */
	uint64_t rev;
	size_t len;
	uint8_t bytes[];
};

/* A task that somebody follows, or that is read for those who follow its tenant. */
struct watched {
	struct live *live;
	LIST_ENTRY(watched) in_shard;
	TAILQ_ENTRY(watched) all;
	TAILQ_ENTRY(watched) in_queue; /* of reads */
	TAILQ_ENTRY(watched) in_holds;
	struct id id;
	unsigned shard;
	LIST_HEAD(, live_follower) followers;
	bool has_new;	   /* followers that were told nothing yet */
	uint64_t told;	   /* the others know of every change up to this one */
	uint64_t heard;	   /* the highest rev of which an event came */
	uint64_t wanted;   /* the highest rev of which no more is known */
	bool is_cut;	   /* what came before may have been lost: nothing is waited for */
	bool tenants_want; /* its next reading is told to those who follow its tenant */
	unsigned lags;	   /* times that the store knew less than an event had said */
	enum live_read queued;
	enum live_read reading; /* on its way, as number `slot` */
	enum live_read again;	/* after that */
	size_t slot;
	int64_t checked_ms; /* when the store or an event last spoke of it */
	struct held *held;
	size_t held_len;
	int64_t held_until_ms;
};

TAILQ_HEAD(watched_list, watched);

struct live_follower {
	LIST_ENTRY(live_follower) link; /* of its task, or of its tenant's shard */
	struct live *live;
	struct share *share;
	struct watched *watched; /* NULL: follows a tenant */
	unsigned shard;
	live_cb *cb;
	void *arg;
	uint64_t rev; /* told last; while it is new: what it has seen */
	bool is_new, is_over;
	bool is_dead; /* unfollowed inside a callback */
	struct live_follower *next_dead;
	char *tenant;
	char *task; /* NULL: any */
};

struct shard {
	enum { SHARD_UNBOUND, SHARD_BINDING, SHARD_BOUND } state;
	size_t refs;
	int64_t idle_since_ms; /* while refs is 0 */
	LIST_HEAD(, watched) watched;
	LIST_HEAD(, live_follower) tenants; /* that follow a tenant of this shard */
};

/* One read at a time of each kind, of many tasks. */
struct reader {
	struct live *live;
	enum live_read kind;
	struct watched_list queue;
	struct watched *asked[STORE_READ_MAX]; /* NULL: gone meanwhile */
	size_t asked_len;
};

struct recent {
	struct id id;
	uint64_t rev;
};

struct live {
	struct live_config config;
	struct event *tick;
	struct event *holds_timer, *start_timer;
	size_t followers_len, tenants_len;   /* of tasks and tenants together; of tenants */
	struct recent recents[LIVE_RECENTS]; /* told to those who follow tenants */
	struct watched_list all;
	struct watched_list holds; /* by the time that they end */
	struct reader rows, wholes;
	struct shard shards[TOPOLOGY_EVENT_SHARDS];
	size_t shards_len;
	struct live_marks marks;
	struct broker_consumer *consumer;
	char queue[TOPOLOGY_NAME_MAX];
	bool is_connected;
	struct buf document;
	unsigned depth; /* callbacks on the stack */
	struct live_follower *dead;
	struct log_gate gate;
	struct live_stats stats;
};

/* ---- live.c ---- */

struct watched *live_find(struct live *l, const struct id *id);
/* The one of this id, made where there is none; NULL when out of memory. */
struct watched *live_watch(struct live *l, const struct id *id);
/* Around whatever calls followers: those unfollowed meanwhile go, with tasks that nobody else watches, at the last leave. */
void live_enter(struct live *l);
void live_leave(struct live *l);
/* What an event of an undecoded message says. */
void live_on_event(struct live *l, struct slice bytes);
/* What the store says; `is_whole`: with its JSON result. */
void live_on_read(struct watched *w, const struct store_task *task, bool is_whole);
/* There are followers who were told something, and wait for more. */
bool live_has_started(const struct watched *w);
/* To those who are not new; and from now on they know of everything up to this rev. */
void live_tell_started(struct watched *w, const struct store_task *task);
/* Everything is told to those who follow tenants of this shard from here on. */
void live_tell_start(struct live *l, unsigned shard);

/* ---- live_order.c ---- */

/* A change for those who are not new: told, held back until its turn, or dropped. */
void live_offer(struct watched *w, const struct store_task *task);
/* Something before it has not come yet. */
bool live_is_early(const struct watched *w, const struct store_task *task);
void live_drop_held(struct watched *w);
/* Timer: those that were held long enough. */
void live_on_holds(evutil_socket_t fd, short what, void *arg);

/* ---- live_read.c ---- */

void live_readers_init(struct live *l);
/* It is read as soon as may be, and live_on_read called. */
void live_want(struct watched *w, enum live_read kind);
/* Everything that waits for a read. */
void live_pump(struct live *l);
/* Nobody is interested any more. */
void live_read_cancel(struct watched *w);

/* ---- live_shards.c ---- */

int live_connect(struct live *l);
unsigned live_shard_of(struct slice of);
int live_shard_ref(struct live *l, unsigned shard);
void live_shard_unref(struct live *l, unsigned shard);
/* Unbinds those that nobody has followed for a while. True: there are others to look at later. */
bool live_shards_tidy(struct live *l, int64_t now_ms);

#endif
