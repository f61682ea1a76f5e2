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
 * Where a redirect leads: `location`, perhaps relative, as seen at `base`. 0 and *out (free()); -EXDEV: another scheme,
 * host or port; -EINVAL: no URL; -ENOMEM.
 */
int upstream_redirect(const char *base, struct slice location, char **out);

#endif
