/*
 * What a receiver's response means for a delivery by webhook. Pure.
 */
#ifndef NOTIFIER_RESPONSE_H
#define NOTIFIER_RESPONSE_H

#include "runtime/http_client.h"

enum response_verdict {
	RESPONSE_DELIVERED, /* 2xx, however long its body */
	RESPONSE_FAILED,    /* tried again as long as the schedule lasts: everything else */
	RESPONSE_GONE,	    /* 410: never again */
};
enum response_verdict response_verdict(const struct http_response *r);

/* A word about the host: it answered, it did not, or it was never asked (its address is refused). */
enum response_host { RESPONSE_HOST_ANSWERED, RESPONSE_HOST_FAILED, RESPONSE_HOST_UNASKED };
enum response_host response_host(const struct http_response *r);

/* How long a failed receiver asks to be left alone by its Retry-After, at most a day; 0: it does not. */
int64_t response_asked_ms(const struct http_response *r, struct slice retry_after, int64_t now_ms);

#endif
