/*
 * What a client says on GET /v1/ws and what it is answered, as JSON texts. Pure.
 *
 *   {"subscribe": "<task id>"}   {"subscribe": "<task id>", "rev": 3}   {"unsubscribe": "<task id>"}
 *   {"subscribed": "<task id>"}  {"unsubscribed": "<task id>"}
 *   {"problem": {"type", "title", "status", "detail"}, "subscribe": "<as sent>"}
 *
 * Whatever else it is sent is a status document.
 */
#ifndef GATEWAY_WS_COMMAND_H
#define GATEWAY_WS_COMMAND_H

#include "gateway/fault.h"

enum ws_verb { WS_NO_VERB, WS_SUBSCRIBE, WS_UNSUBSCRIBE };

struct ws_command {
	enum ws_verb verb;
	struct fault_text id; /* as sent, cut: an id is shorter */
	uint64_t rev;	      /* of the state that the client knows; 0: none */
};

/* 0; -EINVAL with *fault, and *out says as much as could be read; -ENOMEM. */
int ws_command_read(struct slice text, struct ws_command *out, struct fault *fault);

/* Each appends one text. The buffer's error, or 0. */
int ws_render_done(const struct ws_command *command, struct buf *out);
int ws_render_problem(const struct ws_command *command, const struct fault *fault, struct buf *out);

#endif
