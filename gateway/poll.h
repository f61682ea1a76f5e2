/*
 * Reading one task for a call, at once or when what the client waits for has come; GET /v1/tasks/{id} by it.
 */
#ifndef GATEWAY_POLL_H
#define GATEWAY_POLL_H

#include "gateway/gateway.h"

/* A way to look at a task: what is read, what ?wait= waits for, how it is answered. */
struct poll_view {
	unsigned with;	/* STORE_WITH_… */
	bool until_end; /* waits for the end; else for any change, and If-None-Match counts */
	void (*answer)(struct call *call, const struct store_task *task);
};

/* Answers with the view of the task that `id_text` names, or says why there is none. Borrows: view. */
void poll_start(struct gateway *g, struct call *call, struct slice id_text, const struct poll_view *view);

/* The status document: ETag, Retry-After while it is not finished. */
extern const struct poll_view poll_status;
/* The same with a status code of the caller's; for a row that was read with STORE_WITH_JSON. */
void poll_answer_status(struct call *call, int code, const struct store_task *task);

#endif
