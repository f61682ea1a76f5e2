/*
 * What the inline lane brought, as the answer of a synchronous call.
 */
#ifndef GATEWAY_SYNC_H
#define GATEWAY_SYNC_H

#include "gateway/answer.h"
#include "gateway/inline.h"

/* The bare result, the upstream's own 4xx, or a problem. */
void sync_answer_reply(const struct reply *reply, const struct call *call, struct answer *a);
/* For an end without a reply; INLINE_NO_QUEUE as "nobody to run it". */
void sync_answer_end(enum inline_end end, const struct id *id, const struct call *call, struct answer *a);

const char *inline_end_name(enum inline_end end);

#endif
