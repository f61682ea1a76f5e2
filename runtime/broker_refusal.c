#include "runtime/broker_refusal.h"

#include <amqp.h>
#include <stddef.h>
#include <string.h>

#define GIVE(what) "give the user " what " (rabbitmqctl set_permissions)"

/* By RabbitMQ's rules of who may do what; NULL for what is never refused by this name. */
static const struct {
	const char *on_exchange, *on_queue;
} wanted[] = {
	[REFUSAL_EXCHANGE] = {GIVE("the configure permission on this exchange"), NULL},
	/* One with a dead-letter exchange needs two more, as its dead letters are read from it and written to that. */
	[REFUSAL_QUEUE] = {GIVE("the write permission on this exchange, where the queue's dead letters go"),
		GIVE("the configure and the read permission on this queue")},
	[REFUSAL_BINDING] = {GIVE("the read permission on this exchange"),
		GIVE("the write permission on this queue")},
	[REFUSAL_PUBLISH] = {GIVE("the write permission on this exchange"), NULL},
	[REFUSAL_CONSUME] = {NULL, GIVE("the read permission on this queue")},
};

static const char *missing_permission(enum refusal_act act, const char *text)
{
	const char *found = NULL;

	if (strstr(text, "access to exchange"))
		found = wanted[act].on_exchange;
	else if (strstr(text, "access to queue"))
		found = wanted[act].on_queue;
	return found ? found : "look at the user's permissions (rabbitmqctl list_user_permissions)";
}

/* While a node starts it does not find what it has either. */
static const char *missing_thing(const char *text)
{
	if (strstr(text, "is down or inaccessible"))
		return "the node of RabbitMQ that has it starts, or is down; it is tried again by itself";
	return "it was deleted, or never declared; it is declared again";
}

const char *refusal_mend(enum refusal_act act, uint16_t code, const char *text)
{
	switch (code) {
	case AMQP_ACCESS_REFUSED: return missing_permission(act, text);
	case AMQP_NOT_FOUND: return missing_thing(text);
	case AMQP_RESOURCE_LOCKED: return "another connection holds it; it ends within two heartbeats";
	case AMQP_PRECONDITION_FAILED: return "what is there differs: delete it, or use it as it is";
	default: return "look into RabbitMQ's log";
	}
}
