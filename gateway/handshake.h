/*
 * The opening handshake of a WebSocket (RFC 6455, section 4.2), read strictly from the head of a request, and whose pages
 * may open one. Pure.
 *
 * Taken: GET of HTTP/1.1 without a body, Upgrade with "websocket" and Connection with "Upgrade" among their tokens,
 * Sec-WebSocket-Version 13, one Sec-WebSocket-Key of 16 bytes in base64. Extensions are never agreed on.
 */
#ifndef GATEWAY_HANDSHAKE_H
#define GATEWAY_HANDSHAKE_H

#include "gateway/fault.h"
#include "gateway/head.h"
#include "gateway/options.h"

#define HANDSHAKE_ACCEPT_LEN 28
#define HANDSHAKE_PROTOCOL   "postback.v1" /* the one subprotocol; agreed on when it is offered */

struct handshake {
	char accept[HANDSHAKE_ACCEPT_LEN + 1]; /* Sec-WebSocket-Accept */
	bool has_protocol;		       /* HANDSHAKE_PROTOCOL was offered */
};

/* True when the client wants the connection to become a WebSocket, rightly or not. `h` is DONE, here and below. */
bool handshake_is_wanted(const struct head *h);
/* 0, or -EINVAL: PROBLEM_UPGRADE_REQUIRED (none asked for, or another version) or PROBLEM_BAD_REQUEST. */
int handshake_read(const struct head *h, struct handshake *out, struct fault *fault);

/*
 * Browsers hold no page back from opening a WebSocket anywhere, they only tell whose it is. True without an Origin (no
 * browser), for an origin that is the Host itself or that `cors` names, and from loopback to loopback.
 */
bool handshake_origin_is_allowed(const struct head *h, const struct gateway_cors *cors);

#endif
