/*
 * POST /v1/run/{task}: the body is the payload, as it is; options stand in the query.
 */
#ifndef GATEWAY_RUN_H
#define GATEWAY_RUN_H

#include "gateway/call.h"
#include "gateway/submission.h"
#include "gateway/submit.h"

/* A query parameter, decoded. */
struct run_input {
	struct slice task, content_type, body;
	const struct call_param *params;
	size_t params_len;
};

/*
 * What such a request asks for. Pure. 0, -EINVAL with *fault set, -ENOMEM. Borrows: the submission's slices point into
 * the input. Owns: the caller frees *out.
 */
int run_read(const struct run_input *in, const struct submission_rules *rules, struct submission **out,
	enum submit_mode *mode, struct fault *fault);

/* The content type of a payload, checked against the bytes: JSON must be JSON. */
int run_set_payload(struct submission *s, struct slice content_type, struct slice body, struct fault *fault);

/* The endpoint; `arg` is the gateway. */
void run_task(struct call *call, void *arg);

#endif
