/*
 * The gateway: turns HTTP calls into tasks on the broker and what the store knows into answers. This is what its parts
 * share; everything on the loop thread.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/ids.h"
#include "gateway/options.h"
#include "gateway/server.h"
#include "gateway/ws_socket.h"
#include "service/service.h"

struct inline_lane;
struct known;
struct live;
struct live_out;
struct questions;
struct routes;
struct sse_group;
struct waiters;

struct gateway {
	struct service *service;
	const struct gateway_options *options;
	struct server *server;
	struct store *store;
	struct ids ids;
	struct known *known;
	struct questions *questions;
	struct live_out *live_out; /* tells what this gateway writes itself */
	struct live *live;
	struct waiters *waiters;
	struct sse_group *sse;
	struct inline_lane *lane;
	struct routes *routes;
	struct ws_context sockets;
	struct event *keys_timer;
	size_t jobs; /* begun and not ended: the end waits for them */
	bool is_stopping, is_drained, is_stopped;
	struct id_key file_key; /* of id_key_file */
	bool has_file_key;
};

extern const struct service_definition gateway_definition;

/* Around whatever goes on after the call's handler has returned, so that the end waits for it. */
void gateway_job_begin(struct gateway *g);
void gateway_job_end(struct gateway *g);

/* How long an id can be unfinished and then be fetched. */
int64_t gateway_lifetime_ms(const struct gateway *g);

#endif
