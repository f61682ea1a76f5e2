/*
 * What to do about RabbitMQ's refusals, in words for the log. Pure.
 */
#ifndef RUNTIME_BROKER_REFUSAL_H
#define RUNTIME_BROKER_REFUSAL_H

#include <stdint.h>

/* What was asked for when the channel was closed over it. */
enum refusal_act {
	REFUSAL_EXCHANGE, /* to declare an exchange */
	REFUSAL_QUEUE,	  /* to declare a queue */
	REFUSAL_BINDING,
	REFUSAL_PUBLISH,
	REFUSAL_CONSUME,
};

/*
 * A phrase for a person who runs RabbitMQ; static, never NULL. `text` is RabbitMQ's own, with the code and a NUL at its
 * end: it says whether the exchange or the queue was meant, not which of the three permissions is missing.
 */
const char *refusal_mend(enum refusal_act act, uint16_t code, const char *text);

#endif
