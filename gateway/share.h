/*
 * What one tenant has of the limits that all share. Where there are several tenants none may have more of one than its
 * share (gateway.limits.tenant_share), so that who asks for everything is refused and the others are served. Pure.
 */
#ifndef GATEWAY_SHARE_H
#define GATEWAY_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum share_kind { SHARE_IN_FLIGHT, SHARE_WAITERS, SHARE_FOLLOWERS, SHARE_STREAMS, SHARE_KINDS };

/* Zeroed, and with `most`, of SHARE_KINDS, it is ready. */
struct share {
	const size_t *most;
	size_t taken[SHARE_KINDS];
};

/* So many percent of a limit, at least 1. */
size_t share_of(size_t limit, int64_t percent);
/* One more. False: it has its share. NULL is a tenant without bounds, here and below. */
bool share_take(struct share *s, enum share_kind kind);
void share_give(struct share *s, enum share_kind kind);
/* A sentence for who is refused. */
const char *share_complaint(enum share_kind kind);

#endif
