/*
 * URLs with {name} in their path or query, filled from the members of a JSON object. Values are percent-encoded whole,
 * so none can reach beyond the place that was meant for it. Pure.
 */
#ifndef PROCESSOR_URL_FILL_H
#define PROCESSOR_URL_FILL_H

#include "base/buf.h"

/* 0, or -EINVAL with *why (a literal): braces that do not match, an empty name, a {name} in scheme or host. */
int url_template_check(const char *template, const char **why);

/*
 * Appends the URL. `payload` is any bytes; it is looked at only when the template has names. 0; -EINVAL with `why`
 * filled: no JSON object, a member that is missing or no string, number or bool, or one that would be a path segment of
 * "." or ".."; -ENOMEM or the buffer's error.
 */
int url_fill(const char *template, struct slice payload, struct buf *out, char *why, size_t why_len);

#endif
