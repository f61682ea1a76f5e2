#include "gateway/own_queue.h"

#include <ctype.h>
#include <stdio.h>

#include "service/topology.h"

/* Only letters, digits and "_.-" may stand in it. */
static void to_name(const char *instance, char *out, size_t size)
{
	snprintf(out, size, "%s", instance);
	for (char *c = out; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
			*c = '.';
}

/* The digits at the end of the name become the mark for fresh ones. */
static void make_fresh(char *name)
{
	enum { DIGITS = 8 };
	size_t len = strlen(name);

	if (len > DIGITS)
		strcpy(name + len - DIGITS, "%");
}

int own_queue_declare(struct service *s, own_queue_items *make, char queue[TOPOLOGY_NAME_MAX])
{
	struct topology_item items[TOPOLOGY_ITEMS_MAX];
	char instance[NAME_MAX_LEN + 1];
	size_t len;

	to_name(s->instance, instance, sizeof instance);
	len = make(instance, 0, items);
	for (size_t i = 0; i < len; i++) {
		make_fresh(items[i].name);
		make_fresh(items[i].key);
	}
	snprintf(queue, TOPOLOGY_NAME_MAX, "%s", items[0].name);
	return service_declare(s->consume, items, len);
}
