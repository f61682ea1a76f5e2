/*
 * Every name that Postback owns on the broker, with its fixed arguments, in one table. Services declare from it, the
 * deployment's definitions.json is compared with it.
 */
#ifndef PROTO_TOPOLOGY_H
#define PROTO_TOPOLOGY_H

#include "base/slice.h"
#include "proto/name.h"

#define TOPOLOGY_TASKS_EXCHANGE	 "postback.tasks"
#define TOPOLOGY_INLINE_EXCHANGE "postback.inline"
#define TOPOLOGY_REPLY_EXCHANGE	 "postback.reply"
#define TOPOLOGY_REPLIES_QUEUE	 "postback.replies"
#define TOPOLOGY_EVENTS_EXCHANGE "postback.events"
#define TOPOLOGY_CONTROL	 "postback.control" /* fanout exchange and the stream bound to it */
#define TOPOLOGY_DEAD		 "postback.dead"    /* fanout exchange and the quorum queue bound to it */

#define TOPOLOGY_NAME_MAX	       192 /* with its NUL: room for a prefix and the longest task name */
#define TOPOLOGY_ARGS_MAX	       8
#define TOPOLOGY_TEXT_MAX	       32 /* of an argument, with its NUL */
#define TOPOLOGY_ITEMS_MAX	       16
#define TOPOLOGY_DELIVERY_LIMIT	       20
#define TOPOLOGY_SYSTEM_DELIVERY_LIMIT 1000000 /* replies and dead letters */
#define TOPOLOGY_INLINE_EXPIRES_MS     60000
#define TOPOLOGY_LIVE_MAX_LENGTH       10000 /* events that wait for a slow gateway; older ones are dropped */
#define TOPOLOGY_EVENT_SHARDS	       1024
#define TOPOLOGY_LIVE_MAX_BYTES	       (64 << 20) /* of them */

enum topology_kind { TOPOLOGY_EXCHANGE, TOPOLOGY_QUEUE, TOPOLOGY_BINDING };

struct topology_arg {
	const char *name;
	char text[TOPOLOGY_TEXT_MAX]; /* empty: the number counts */
	int64_t number;
};

struct topology_item {
	enum topology_kind kind;
	char name[TOPOLOGY_NAME_MAX];	/* exchange or queue; of a binding, the queue */
	char source[TOPOLOGY_NAME_MAX]; /* binding: the exchange */
	char key[TOPOLOGY_NAME_MAX];	/* binding: the routing key */
	const char *type;		/* exchange: "direct" or "fanout"; else NULL */
	bool durable;
	bool exclusive;
	struct topology_arg args[TOPOLOGY_ARGS_MAX];
	size_t args_len;
};

/* What the arguments depend on. */
struct topology_params {
	int64_t task_ttl_ms;
};

/*
 * Each fills `out` and returns the count. The shared exchanges and queues that every service declares at start:
 */
size_t topology_shared(const struct topology_params *p, struct topology_item out[TOPOLOGY_ITEMS_MAX]);
/* The durable and the inline queue of one task, with their bindings; `task` is a valid name. */
size_t topology_task(
	const struct topology_params *p, struct slice task, struct topology_item out[TOPOLOGY_ITEMS_MAX]);
size_t topology_inline(struct slice task, struct topology_item out[TOPOLOGY_ITEMS_MAX]);
/*
 * The exclusive queue for a gateway's inline replies, bound to the reply exchange under its own name. `instance` is a
 * valid name here and below; a longer one is cut.
 */
size_t topology_gateway(const char *instance, uint32_t random, struct topology_item out[TOPOLOGY_ITEMS_MAX]);
/* The exclusive, bounded queue for a gateway's live events; shards are bound as they are needed. */
size_t topology_live(const char *instance, uint32_t random, struct topology_item out[TOPOLOGY_ITEMS_MAX]);

/*
 * Which shard of the live events belongs to an id (its bytes) or to a tenant (its name), and the routing key that stands
 * for it: its number.
 */
unsigned topology_event_shard(struct slice of);
#define TOPOLOGY_SHARD_KEY_LEN 8 /* with its NUL */
void topology_shard_key(unsigned shard, char out[TOPOLOGY_SHARD_KEY_LEN]);

/* "postback.tasks.<task>" and "postback.inline.<task>". */
void topology_task_queue(struct slice task, char out[TOPOLOGY_NAME_MAX]);
void topology_inline_queue(struct slice task, char out[TOPOLOGY_NAME_MAX]);

#endif
