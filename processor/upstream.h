/*
 * What an HTTP upstream's answer means for a task. Pure.
 */
#ifndef PROCESSOR_UPSTREAM_H
#define PROCESSOR_UPSTREAM_H

#include "processor/job.h"

/* 2xx succeeded; 408, 425, 429 and 5xx are tried again; everything else failed for good. */
enum outcome_kind upstream_outcome(int status);

/* 307 and 308: the same request again at another place. */
bool upstream_is_redirect(int status);

/*
 * Retry-After as seconds or as an HTTP date, seen at `now_ms` (since the epoch): how long to wait, at most a day;
 * 0 for a moment that has passed and for what cannot be read.
 */
uint32_t upstream_retry_after_ms(struct slice value, int64_t now_ms);

/*
 * Where a redirect leads: `location`, perhaps relative, as seen at `base`. 0 and *out (free()); -EXDEV: another scheme,
 * host or port; -EINVAL: no URL; -ENOMEM.
 */
int upstream_redirect(const char *base, struct slice location, char **out);

#endif
