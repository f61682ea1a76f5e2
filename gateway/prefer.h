/*
 * What headers and parameters ask for about waiting and about versions: Prefer (RFC 7240), ?wait=, ETag and
 * If-None-Match (RFC 9110). Pure.
 */
#ifndef GATEWAY_PREFER_H
#define GATEWAY_PREFER_H

#include "base/slice.h"

#define PREFER_WAIT_MAX_S 60

/*
 * The seconds of the first `wait` preference, at most PREFER_WAIT_MAX_S; 0 when there is none that is understood: a
 * preference is never an error.
 */
int prefer_wait_s(struct slice header);

/* ?wait=20: 0 .. PREFER_WAIT_MAX_S, larger is cut. -EINVAL for what is no whole number. */
int wait_parse(struct slice text, int *seconds);

#define ETAG_LEN 24 /* with quotes and NUL */
void etag_format(uint64_t rev, char out[ETAG_LEN]);
/* True when If-None-Match names this version (weak comparison, lists, "*"). */
bool etag_matches(struct slice if_none_match, uint64_t rev);

#endif
