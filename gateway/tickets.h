/*
 * Tickets over HTTP (ticket.h): POST /v1/tickets gives them to who has a key; WebSockets and event streams take them as
 * ?ticket= in its stead.
 */
#ifndef GATEWAY_TICKETS_H
#define GATEWAY_TICKETS_H

#include "gateway/gateway.h"
#include "gateway/ticket.h"

/* Endpoint; `arg` is the gateway. */
void tickets_post(struct call *call, void *arg);
/* For server_config.read_ticket; `arg` is the gateway. */
int tickets_read(struct slice text, struct ticket *out, void *arg);

/*
 * True when the query of an endpoint that takes tickets holds nothing but "ticket" and, unless it is NULL, `other`. A key
 * in the URL gets the answer what to do instead. False: the call has been answered.
 */
bool tickets_check_query(struct call *call, const char *other);

#endif
