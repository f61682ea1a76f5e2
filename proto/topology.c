#include "proto/topology.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

struct list {
	struct topology_item *items;
	size_t len;
};

static struct topology_item *add(struct list *l, enum topology_kind kind, const char *name)
{
	struct topology_item *item;

	assert(l->len < TOPOLOGY_ITEMS_MAX);
	item = &l->items[l->len++];
	*item = (struct topology_item){.kind = kind};
	snprintf(item->name, sizeof item->name, "%s", name);
	return item;
}

static void add_exchange(struct list *l, const char *name, const char *type)
{
	struct topology_item *item = add(l, TOPOLOGY_EXCHANGE, name);

	item->type = type;
	item->durable = true;
}

static void add_binding(struct list *l, const char *queue, const char *exchange, struct slice key)
{
	struct topology_item *item = add(l, TOPOLOGY_BINDING, queue);

	assert(key.len < sizeof item->key);
	snprintf(item->source, sizeof item->source, "%s", exchange);
	memcpy(item->key, key.data, key.len);
}

static void add_arg(struct topology_item *item, struct topology_arg arg)
{
	assert(item->args_len < TOPOLOGY_ARGS_MAX);
	item->args[item->args_len++] = arg;
}

static void add_number(struct topology_item *item, const char *name, int64_t number)
{
	add_arg(item, (struct topology_arg){.name = name, .number = number});
}

static void add_text(struct topology_item *item, const char *name, const char *text)
{
	struct topology_arg arg = {.name = name};

	assert(strlen(text) < sizeof arg.text);
	snprintf(arg.text, sizeof arg.text, "%s", text);
	add_arg(item, arg);
}

/* Streams take their age as text with a unit. */
static void add_max_age(struct topology_item *item, int64_t age_ms)
{
	struct topology_arg arg = {.name = "x-max-age"};

	snprintf(arg.text, sizeof arg.text, "%" PRId64 "s", (age_ms + 999) / 1000);
	add_arg(item, arg);
}

/* The type is always said: a vhost's default may be another one. */
static struct topology_item *add_queue(struct list *l, const char *name, const char *queue_type)
{
	struct topology_item *item = add(l, TOPOLOGY_QUEUE, name);

	item->durable = true;
	add_text(item, "x-queue-type", queue_type);
	return item;
}

/* Consumed by ourselves: what fails there is our own trouble and must outlive many redeliveries. */
static void add_system_queue(struct list *l, const char *name)
{
	add_number(add_queue(l, name, "quorum"), "x-delivery-limit", TOPOLOGY_SYSTEM_DELIVERY_LIMIT);
}

static struct topology_item *add_exclusive_queue(
	struct list *l, const char *service, const char *instance, uint32_t random)
{
	struct topology_item *item;
	char name[TOPOLOGY_NAME_MAX];

	snprintf(name, sizeof name, "postback.%s.%.*s.%08" PRIx32, service, NAME_MAX_LEN, instance, random);
	item = add_queue(l, name, "classic");
	item->durable = false;
	item->exclusive = true;
	return item;
}

size_t topology_shared(const struct topology_params *p, struct topology_item out[TOPOLOGY_ITEMS_MAX])
{
	struct list l = {.items = out};

	add_exchange(&l, TOPOLOGY_TASKS_EXCHANGE, "direct");
	add_exchange(&l, TOPOLOGY_INLINE_EXCHANGE, "direct");
	add_exchange(&l, TOPOLOGY_REPLY_EXCHANGE, "direct");
	add_exchange(&l, TOPOLOGY_EVENTS_EXCHANGE, "direct");
	add_exchange(&l, TOPOLOGY_CONTROL, "fanout");
	add_exchange(&l, TOPOLOGY_DEAD, "fanout");
	add_system_queue(&l, TOPOLOGY_REPLIES_QUEUE);
	add_binding(&l, TOPOLOGY_REPLIES_QUEUE, TOPOLOGY_REPLY_EXCHANGE, slice_text(TOPOLOGY_REPLIES_QUEUE));
	add_system_queue(&l, TOPOLOGY_DEAD);
	add_binding(&l, TOPOLOGY_DEAD, TOPOLOGY_DEAD, slice_text(""));
	add_max_age(add_queue(&l, TOPOLOGY_CONTROL, "stream"), p->task_ttl_ms);
	add_binding(&l, TOPOLOGY_CONTROL, TOPOLOGY_CONTROL, slice_text(""));
	return l.len;
}

size_t topology_task(
	const struct topology_params *p, struct slice task, struct topology_item out[TOPOLOGY_ITEMS_MAX])
{
	struct list l = {.items = out};
	struct topology_item *queue;
	char name[TOPOLOGY_NAME_MAX];

	topology_task_queue(task, name);
	queue = add_queue(&l, name, "quorum");
	add_text(queue, "x-dead-letter-exchange", TOPOLOGY_DEAD);
	/* At-least-once holds only beside reject-publish; without it the broker falls back in silence. */
	add_text(queue, "x-dead-letter-strategy", "at-least-once");
	add_text(queue, "x-overflow", "reject-publish");
	add_number(queue, "x-delivery-limit", TOPOLOGY_DELIVERY_LIMIT);
	add_number(queue, "x-message-ttl", p->task_ttl_ms);
	add_binding(&l, name, TOPOLOGY_TASKS_EXCHANGE, task);
	return l.len;
}

size_t topology_inline(struct slice task, struct topology_item out[TOPOLOGY_ITEMS_MAX])
{
	struct list l = {.items = out};
	char name[TOPOLOGY_NAME_MAX];

	topology_inline_queue(task, name);
	add_number(add_queue(&l, name, "classic"), "x-expires", TOPOLOGY_INLINE_EXPIRES_MS);
	add_binding(&l, name, TOPOLOGY_INLINE_EXCHANGE, task);
	return l.len;
}

size_t topology_gateway(const char *instance, uint32_t random, struct topology_item out[TOPOLOGY_ITEMS_MAX])
{
	struct list l = {.items = out};
	struct topology_item *queue = add_exclusive_queue(&l, "gateway", instance, random);

	add_binding(&l, queue->name, TOPOLOGY_REPLY_EXCHANGE, slice_text(queue->name));
	return l.len;
}

size_t topology_live(const char *instance, uint32_t random, struct topology_item out[TOPOLOGY_ITEMS_MAX])
{
	struct list l = {.items = out};
	struct topology_item *queue = add_exclusive_queue(&l, "live", instance, random);

	add_number(queue, "x-max-length", TOPOLOGY_LIVE_MAX_LENGTH);
	add_number(queue, "x-max-length-bytes", TOPOLOGY_LIVE_MAX_BYTES);
	return l.len;
}

/* FNV-1a, its high bits folded in: whoever runs another version must come to the same shard. */
unsigned topology_event_shard(struct slice of)
{
	uint32_t hash = UINT32_C(2166136261);

	for (size_t i = 0; i < of.len; i++)
		hash = (hash ^ of.data[i]) * UINT32_C(16777619);
	return (hash ^ hash >> 16) % TOPOLOGY_EVENT_SHARDS;
}

void topology_shard_key(unsigned shard, char out[TOPOLOGY_SHARD_KEY_LEN])
{
	assert(shard < TOPOLOGY_EVENT_SHARDS);
	snprintf(out, TOPOLOGY_SHARD_KEY_LEN, "%u", shard % TOPOLOGY_EVENT_SHARDS);
}

static void task_name(const char *exchange, struct slice task, char out[TOPOLOGY_NAME_MAX])
{
	assert(task.len <= NAME_MAX_LEN);
	snprintf(out, TOPOLOGY_NAME_MAX, "%s.%.*s", exchange, SLICE_ARG(task));
}

void topology_task_queue(struct slice task, char out[TOPOLOGY_NAME_MAX])
{
	task_name(TOPOLOGY_TASKS_EXCHANGE, task, out);
}

void topology_inline_queue(struct slice task, char out[TOPOLOGY_NAME_MAX])
{
	task_name(TOPOLOGY_INLINE_EXCHANGE, task, out);
}
