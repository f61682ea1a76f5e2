/*
 * The envelope: a JSON object that names a task and holds its payload and options. The payload is found, never decoded.
 * Pure.
 */
#ifndef GATEWAY_ENVELOPE_H
#define GATEWAY_ENVELOPE_H

#include "gateway/submission.h"

#define ENVELOPE_DEPTH_MAX 8 /* an envelope and those in its `then` */

/*
 * Reads one whole text: syntax first (400), then the content (422). 0, -EINVAL with *fault set, -ENOMEM.
 * Borrows: the submission's slices point into `json`. Owns: the caller frees *out.
 */
int envelope_parse(struct slice json, const struct submission_rules *rules, struct submission **out,
	struct fault *fault);

/* The same for a value of a text that has passed json_check; `field` is where it stands ("/3"). */
int envelope_read(struct slice value, const char *field, const struct submission_rules *rules,
	struct submission **out, struct fault *fault);

/* What `then` may be: a task name or an envelope; for those outside an envelope that have one. */
int envelope_read_then(struct slice value, const char *field, const struct submission_rules *rules,
	struct submission **out, struct fault *fault);

/* 0, or -EINVAL with the fault 400 that says where, or -ENOMEM. */
int envelope_check_json(struct slice json, struct fault *fault);

#endif
