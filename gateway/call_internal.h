/*
 * The inside of a call, for call.c and server.c only.
 */
#ifndef GATEWAY_CALL_INTERNAL_H
#define GATEWAY_CALL_INTERNAL_H

#include "gateway/call.h"
#include "gateway/guard.h"
#include "gateway/http.h"
#include "gateway/router.h"

#define CALL_PARAMS_MAX 100

/* What a call asks of the server that made it. */
struct call_server {
	/* It was answered (or its client had left: status 0): counts and logs. The call is freed after it. */
	void (*on_answered)(struct call *c, int status, void *arg);
	/* May the tenant submit `count` more now? Else *wait_ms says when. */
	bool (*take_rate)(struct call *c, size_t count, int64_t *wait_ms, void *arg);
	/* It is none of the calls in flight any more. */
	void (*on_waiting)(struct call *c, void *arg);
	void *arg;
};

struct call {
	const struct call_server *server;
	struct guard *guard;
	struct conn *conn; /* NULL when the client has left */
	struct head *head;
	struct evbuffer *body;			/* NULL: none */
	struct buf fields;			/* of the answer, header.h */
	struct slice target_path, target_query; /* raw */
	struct router_path path;
	struct buf params_text; /* decoded */
	struct call_param *params;
	size_t params_len;
	const struct endpoint *endpoint; /* NULL: none found */
	const char *tenant;
	size_t tenant_index;
	struct share *share; /* NULL: none */
	bool has_share;	     /* of the calls in flight */
	bool is_waiting;
	int problem;   /* that it was answered with; -1: none */
	size_t charge; /* of the byte budget, for head and body */
	int64_t started_us;
	void (*on_gone)(struct call *c, void *arg);
	void *on_gone_arg;
	char request_id[REQUEST_ID_MAX_LEN + 1];
};

/* Takes the request over from the guard. 0 or -ENOMEM: nothing was taken. */
int call_new(const struct call_server *server, struct conn *conn, struct call **out);
/* Decodes path and query. 0 or -EBADMSG, -EMSGSIZE, -ENOMEM; *why is a sentence. */
int call_parse(struct call *c, const char **why);

#endif
