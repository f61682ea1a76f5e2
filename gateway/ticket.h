/*
 * Tickets: what a browser, which can send no Authorization header with a WebSocket or an EventSource, bears in the URL
 * instead of a key. A ticket says whose it is, until when, and maybe for which one task; it is signed with a key derived
 * from that of the ids, so that every gateway on the store knows it and nothing is kept. Pure: no clock, no randomness.
 *
 *   base64url( 6 bytes expiry, ms | 8 bytes random | 16 bytes task, zero: any | tenant | 32 bytes HMAC-SHA256 )
 */
#ifndef GATEWAY_TICKET_H
#define GATEWAY_TICKET_H

#include "proto/id.h"

#define TICKET_TENANT_MAX 64
#define TICKET_RANDOM_LEN 8
#define TICKET_TEXT_MAX	  168

struct ticket {
	int64_t expires_at_ms; /* of the wall clock */
	struct id task;	       /* zero: whatever is the tenant's */
	char tenant[TICKET_TENANT_MAX + 1];
};

/* `random` makes two tickets differ. 0; -EINVAL for a tenant or a time that no ticket can hold; -ENOMEM. */
int ticket_write(const struct ticket *t, const uint8_t random[TICKET_RANDOM_LEN], const struct id_key *key,
	char text[TICKET_TEXT_MAX + 1]);
/* One of the `n` keys signed it. 0; -EINVAL: it is none of ours; -ETIMEDOUT: it was, and its time is over; -ENOMEM. */
int ticket_read(struct slice text, const struct id_key *keys, size_t n, int64_t now_ms, struct ticket *out);

#endif
