#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>

#include "proto/topology.h"

static const struct topology_params params = {.task_ttl_ms = 604800000};

static const struct topology_item *find(
	const struct topology_item *items, size_t n, enum topology_kind kind, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].kind == kind && strcmp(items[i].name, name) == 0)
			return &items[i];
	}
	fail_msg("no %s of kind %d", name, (int)kind);
	return NULL;
}

/* "name=value name=value", numbers as such and texts in quotes. */
static void assert_args(const struct topology_item *item, const char *expected)
{
	char text[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < item->args_len; i++) {
		const struct topology_arg *arg = &item->args[i];
		const char *gap = i > 0 ? " " : "";

		if (arg->text[0])
			len += (size_t)snprintf(
				text + len, sizeof text - len, "%s%s='%s'", gap, arg->name, arg->text);
		else
			len += (size_t)snprintf(text + len, sizeof text - len, "%s%s=%lld", gap, arg->name,
				(long long)arg->number);
	}
	assert_string_equal(text, expected);
}

static void assert_queue(const struct topology_item *item, bool durable, bool exclusive)
{
	assert_int_equal(item->durable, durable);
	assert_int_equal(item->exclusive, exclusive);
	assert_null(item->type);
}

static void assert_exchange(const struct topology_item *items, size_t n, const char *name, const char *type)
{
	const struct topology_item *item = find(items, n, TOPOLOGY_EXCHANGE, name);

	assert_string_equal(item->type, type);
	assert_true(item->durable);
	/* Above all no alternate exchange: it would hide the returns of unroutable requests. */
	assert_int_equal(item->args_len, 0);
}

static void assert_bound(
	const struct topology_item *items, size_t n, const char *queue, const char *exchange, const char *key)
{
	const struct topology_item *item = find(items, n, TOPOLOGY_BINDING, queue);

	assert_string_equal(item->source, exchange);
	assert_string_equal(item->key, key);
}

static void the_shared_exchanges_are_durable_and_plain(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_shared(&params, items);

	assert_exchange(items, n, "postback.tasks", "direct");
	assert_exchange(items, n, "postback.inline", "direct");
	assert_exchange(items, n, "postback.reply", "direct");
	assert_exchange(items, n, "postback.events", "direct");
	assert_exchange(items, n, "postback.control", "fanout");
	assert_exchange(items, n, "postback.dead", "fanout");
}

static void replies_and_dead_letters_survive_many_redeliveries(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_shared(&params, items);
	const struct topology_item *replies = find(items, n, TOPOLOGY_QUEUE, "postback.replies");
	const struct topology_item *dead = find(items, n, TOPOLOGY_QUEUE, "postback.dead");

	assert_queue(replies, true, false);
	assert_args(replies, "x-queue-type='quorum' x-delivery-limit=1000000");
	assert_queue(dead, true, false);
	assert_args(dead, "x-queue-type='quorum' x-delivery-limit=1000000");
	assert_bound(items, n, "postback.replies", "postback.reply", "postback.replies");
	assert_bound(items, n, "postback.dead", "postback.dead", "");
}

static void cancels_are_kept_in_a_stream_as_long_as_a_task_lives(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_shared(&params, items);
	const struct topology_item *control = find(items, n, TOPOLOGY_QUEUE, "postback.control");

	assert_queue(control, true, false);
	assert_args(control, "x-queue-type='stream' x-max-age='604800s'");
	assert_bound(items, n, "postback.control", "postback.control", "");
}

static void the_age_of_the_stream_is_rounded_up_to_seconds(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	const struct topology_params odd = {.task_ttl_ms = 1001};
	size_t n = topology_shared(&odd, items);

	assert_args(
		find(items, n, TOPOLOGY_QUEUE, "postback.control"), "x-queue-type='stream' x-max-age='2s'");
}

static void what_is_declared_comes_before_what_is_bound(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_shared(&params, items);

	for (size_t i = 0; i < n; i++) {
		if (items[i].kind != TOPOLOGY_BINDING)
			continue;
		assert_true(find(items, n, TOPOLOGY_QUEUE, items[i].name) < &items[i]);
		assert_true(find(items, n, TOPOLOGY_EXCHANGE, items[i].source) < &items[i]);
	}
}

static void a_task_queue_dead_letters_at_least_once(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_task(&params, slice_text("thumbnail"), items);
	const struct topology_item *queue = find(items, n, TOPOLOGY_QUEUE, "postback.tasks.thumbnail");

	assert_int_equal(n, 2);
	assert_queue(queue, true, false);
	assert_args(queue, "x-queue-type='quorum' x-dead-letter-exchange='postback.dead' "
			   "x-dead-letter-strategy='at-least-once' x-overflow='reject-publish' "
			   "x-delivery-limit=20 x-message-ttl=604800000");
	assert_bound(items, n, "postback.tasks.thumbnail", "postback.tasks", "thumbnail");
}

static void an_inline_queue_goes_away_unused(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_inline(slice_text("thumbnail"), items);
	const struct topology_item *queue = find(items, n, TOPOLOGY_QUEUE, "postback.inline.thumbnail");

	assert_int_equal(n, 2);
	assert_queue(queue, true, false);
	assert_args(queue, "x-queue-type='classic' x-expires=60000");
	assert_bound(items, n, "postback.inline.thumbnail", "postback.inline", "thumbnail");
}

static void a_gateway_queue_is_bound_under_its_own_name(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_gateway("gw-1", 0xbeef, items);
	const struct topology_item *queue = find(items, n, TOPOLOGY_QUEUE, "postback.gateway.gw-1.0000beef");

	assert_int_equal(n, 2);
	assert_queue(queue, false, true);
	assert_args(queue, "x-queue-type='classic'");
	assert_bound(items, n, queue->name, "postback.reply", queue->name);
}

static void a_live_queue_is_bounded(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	size_t n = topology_live("gw-1", 0xbeef, items);
	const struct topology_item *queue = find(items, n, TOPOLOGY_QUEUE, "postback.live.gw-1.0000beef");

	assert_int_equal(n, 1);
	assert_queue(queue, false, true);
	assert_args(queue, "x-queue-type='classic' x-max-length=10000 x-max-length-bytes=67108864");
}

/* Two gateways of different versions must agree, so these are written down. */
static void a_shard_is_the_same_for_everybody(void **state)
{
	const uint8_t id[16] = {1, 2, 3};

	assert_int_equal(topology_event_shard(slice_text("")), (2166136261u ^ 2166136261u >> 16) % 1024);
	assert_int_equal(topology_event_shard(slice_text("default")), 229);
	assert_int_equal(topology_event_shard(slice_text("acme")), 82);
	assert_int_equal(topology_event_shard(slice_of(id, sizeof id)), 693);
}

static void ids_spread_evenly_over_the_shards(void **state)
{
	unsigned counts[TOPOLOGY_EVENT_SHARDS] = {0};
	uint8_t id[16] = {0};

	for (uint32_t i = 0; i < 100 * TOPOLOGY_EVENT_SHARDS; i++) {
		memcpy(id + 8, &i, sizeof i);
		counts[topology_event_shard(slice_of(id, sizeof id))]++;
	}
	for (unsigned i = 0; i < TOPOLOGY_EVENT_SHARDS; i++)
		assert_in_range(counts[i], 40, 200);
}

static void the_key_of_a_shard_is_its_number(void **state)
{
	char key[TOPOLOGY_SHARD_KEY_LEN];

	topology_shard_key(0, key);
	assert_string_equal(key, "0");
	topology_shard_key(1023, key);
	assert_string_equal(key, "1023");
}

static void the_longest_names_fit(void **state)
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	char task[NAME_MAX_LEN + 1];
	char instance[400];
	char expected[TOPOLOGY_NAME_MAX];

	memset(task, 't', sizeof task);
	memset(instance, 'i', sizeof instance - 1);
	instance[sizeof instance - 1] = '\0';
	topology_task(&params, slice_of(task, NAME_MAX_LEN), items);
	snprintf(expected, sizeof expected, "postback.tasks.%.*s", NAME_MAX_LEN, task);
	assert_string_equal(items[0].name, expected);
	topology_inline(slice_of(task, NAME_MAX_LEN), items);
	snprintf(expected, sizeof expected, "postback.inline.%.*s", NAME_MAX_LEN, task);
	assert_string_equal(items[0].name, expected);
	topology_gateway(instance, UINT32_MAX, items);
	snprintf(expected, sizeof expected, "postback.gateway.%.*s.ffffffff", NAME_MAX_LEN, instance);
	assert_string_equal(items[0].name, expected);
	assert_string_equal(items[1].key, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shared_exchanges_are_durable_and_plain),
		cmocka_unit_test(replies_and_dead_letters_survive_many_redeliveries),
		cmocka_unit_test(cancels_are_kept_in_a_stream_as_long_as_a_task_lives),
		cmocka_unit_test(the_age_of_the_stream_is_rounded_up_to_seconds),
		cmocka_unit_test(what_is_declared_comes_before_what_is_bound),
		cmocka_unit_test(a_task_queue_dead_letters_at_least_once),
		cmocka_unit_test(an_inline_queue_goes_away_unused),
		cmocka_unit_test(a_gateway_queue_is_bound_under_its_own_name),
		cmocka_unit_test(a_live_queue_is_bounded),
		cmocka_unit_test(a_shard_is_the_same_for_everybody),
		cmocka_unit_test(ids_spread_evenly_over_the_shards),
		cmocka_unit_test(the_key_of_a_shard_is_its_number),
		cmocka_unit_test(the_longest_names_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
