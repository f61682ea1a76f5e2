/*
 * The gateway's section of the configuration, as read. Tables and checks in options.c.
 */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "service/options.h"

struct gateway_key {
	char *tenant;
	char *sha256; /* hex of the key's SHA-256 */
	int line;
};

struct gateway_auth {
	char *mode;		 /* "" or "none": said in so many words for a listener beyond loopback */
	struct option_list keys; /* struct gateway_key */
};

struct gateway_limits {
	int64_t body;	/* bytes of one body */
	int64_t bodies; /* bytes of all unfinished and waiting bodies together */
	int64_t header; /* bytes of one head */
	int64_t connections;
	int64_t in_flight; /* calls that wait for broker, store or a sync result */
	int64_t waiters;   /* calls that wait for a task to change or to end */
	int64_t followers; /* tasks that live connections follow, each of them counted */
	int64_t publish_timeout_ms;
	int64_t sync_timeout_ms;
	int64_t head_timeout_ms;  /* from the first byte of a request to the end of its head */
	int64_t body_timeout_ms;  /* from there to the end of its body */
	int64_t idle_timeout_ms;  /* a kept connection between two requests */
	int64_t write_timeout_ms; /* for the next 64 KiB of an answer, or its end, to be taken by the client */
	double rate;		  /* submissions a second for each tenant; 0: no limit */
	int64_t tenant_share; /* percent of connections, in_flight, waiters and followers, where there are several */
	int64_t batch;	      /* items of one batch */
};

struct gateway_cors {
	struct option_strings origins; /* empty: off; "*" only with keys or auth none */
	int64_t max_age_ms;
};

struct gateway_live {
	int64_t ping_ms;
	int64_t idle_timeout_ms; /* of a socket that follows nothing */
	int64_t message;	 /* bytes of one message that comes in */
	int64_t backlog;	 /* bytes that a client may leave unread */
	int64_t subscriptions;	 /* of one connection */
	int64_t ticket_ttl_ms;
};

struct route_step {
	char *task;
	char *when; /* "": always; else the parameter that must be there */
};

struct route_reply {
	int64_t status; /* 0: the usual 202 */
	char *body;	/* JSON text with "{id}" and the like in its strings; NULL: the usual one */
};

enum route_mode { ROUTE_ASYNC, ROUTE_SYNC };

struct route_options {
	char *path; /* "POST /process", "/process" for any method */
	char *task;
	struct option_list tasks; /* struct route_step: a chain */
	int mode;		  /* enum route_mode */
	struct route_reply reply;
	char *deliver;			       /* JSON text as in an envelope; NULL: nobody is told */
	char *status_of, *result_of, *live_of; /* name of the path parameter that holds the id */
	int64_t timeout_ms;
	int line;
};

struct gateway_options {
	char *listen;
	struct gateway_auth auth;
	struct gateway_limits limits;
	struct gateway_cors cors;
	struct gateway_live live;
	struct option_strings tasks;
	struct option_list routes; /* struct route_options */
	char *id_key_file;
};

struct gateway_root {
	struct service_options shared;
	struct gateway_options gateway;
};

extern const struct option gateway_root_table[];

/*
 * "POST /orders/{number}" into methods and pattern, which points into `text`. 0 or -EINVAL with a phrase in *why; both
 * are always set.
 */
int route_path_parse(const char *text, unsigned *methods, const char **pattern, const char **why);

/* What tables cannot say; see service_definition.check. */
int gateway_options_check(const void *options, const char *path, struct buf *errors);

#endif
