/*
 * The WebSockets of the API: GET /v1/tasks/{id}/ws tells of one task, first its state and then every change, as status
 * documents, and closes with 1000 after the last; GET /v1/ws of as many as the client subscribes to (ws_command.h).
 */
#ifndef GATEWAY_WS_H
#define GATEWAY_WS_H

#include "gateway/gateway.h"

/* True when the client wants the connection to become a WebSocket: for routes that tell of a task in other ways too. */
bool ws_is_wanted(const struct call *call);
/* Opens a WebSocket that tells of the task that `id_text` names, or says why not. */
void ws_task(struct gateway *g, struct call *call, struct slice id_text);

/* Endpoints; `arg` is the gateway. */
void ws_get_task(struct call *call, void *arg);
void ws_get_many(struct call *call, void *arg);

#endif
