#include "service/topology.h"

#include <assert.h>

static void to_declaration(
	const struct topology_item *item, struct broker_arg *args, struct broker_declaration *out)
{
	*out = (struct broker_declaration){
		.kind = item->kind == TOPOLOGY_EXCHANGE ? BROKER_EXCHANGE
			: item->kind == TOPOLOGY_QUEUE	? BROKER_QUEUE
							: BROKER_BINDING,
		.name = item->name,
		.source = item->source,
		.key = item->key,
		.type = item->type,
		.durable = item->durable,
		.exclusive = item->exclusive,
		.args = args,
		.args_len = item->args_len,
	};
	for (size_t i = 0; i < item->args_len; i++) {
		args[i] = (struct broker_arg){
			.name = item->args[i].name,
			.text = *item->args[i].text ? item->args[i].text : NULL,
			.number = item->args[i].number,
		};
	}
}

static int declare(struct broker *b, const struct topology_item *items, size_t len, bool passive)
{
	struct broker_declaration declarations[TOPOLOGY_ITEMS_MAX];
	struct broker_arg args[TOPOLOGY_ITEMS_MAX][TOPOLOGY_ARGS_MAX];
	size_t n = 0;

	assert(len <= TOPOLOGY_ITEMS_MAX);
	for (size_t i = 0; i < len; i++) {
		if (passive && items[i].kind == TOPOLOGY_BINDING)
			continue;
		to_declaration(&items[i], args[i], &declarations[n]);
		declarations[n++].passive = passive;
	}
	return broker_declare(b, declarations, n);
}

int service_declare(struct broker *b, const struct topology_item *items, size_t len)
{
	return declare(b, items, len, false);
}

int service_look_for(struct broker *b, const struct topology_item *items, size_t len)
{
	return declare(b, items, len, true);
}

int service_may_publish(struct broker *b, const char *const *exchanges)
{
	for (; *exchanges; exchanges++) {
		struct broker_declaration d = {.kind = BROKER_PERMISSION, .name = *exchanges};
		int rc = broker_declare(b, &d, 1);

		if (rc < 0)
			return rc;
	}
	return 0;
}
