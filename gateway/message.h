/*
 * A submission as the request that travels. Pure.
 */
#ifndef GATEWAY_MESSAGE_H
#define GATEWAY_MESSAGE_H

#include "gateway/submission.h"
#include "proto/trace.h"

struct message_context {
	struct slice tenant;
	struct id batch, retry_of; /* zero: none */
	struct trace trace;
	bool is_inline;
};

struct message {
	uint8_t *data; /* malloced */
	size_t len;
};

/*
 * Encodes one step under its id; created_at is the id's own time. 0; -EMSGSIZE over `max` bytes; -EINVAL for a submission
 * that its parsers should have refused; -ENOMEM. Owns: the caller frees out->data.
 */
int message_encode(
	const struct submission *s, const struct message_context *c, size_t max, struct message *out);

#endif
