/*
 * What clients say of registered endpoints: the bodies of POST and PATCH /v1/endpoints and of a rotation. Pure.
 */
#ifndef GATEWAY_ENDPOINT_BODY_H
#define GATEWAY_ENDPOINT_BODY_H

#include "base/buf.h"
#include "gateway/fault.h"
#include "store/store.h"

#define ENDPOINT_DESCRIPTION_MAX 500 /* bytes */
#define ENDPOINT_PATTERNS_MAX	 50
#define ENDPOINT_OVERLAP_MS \
	(INT64_C(24) * 3600 * 1000) /* the old secret is valid so long, without another word */
#define ENDPOINT_OVERLAP_MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

/* Each takes some of the members; those of another one are refused. */
enum endpoint_body_kind { ENDPOINT_BODY_NEW = 1, ENDPOINT_BODY_CHANGE = 2, ENDPOINT_BODY_ROTATE = 4 };

struct endpoint_body {
	bool has_url, has_description, has_tasks, has_secret;
	struct buf url;
	struct buf description; /* empty: none */
	struct buf tasks;	/* as the store has them: patterns with commas between; empty: every task */
	struct buf secret;
	bool has_outcomes;
	uint32_t outcomes; /* 1 << enum task_state, each; 0: every terminal one */
	bool has_enabled, is_enabled;
	int64_t overlap_ms;
};

/*
 * Reads a whole text: syntax first (400), then the content (422). null is as good as nothing, and in a change it takes
 * back what was said: description, tasks and on. 0, -EINVAL with *fault set, -ENOMEM; to be done with in any case.
 */
int endpoint_body_read(
	struct slice json, enum endpoint_body_kind kind, struct endpoint_body *out, struct fault *fault);
/* Safe on a zeroed struct. Wipes the secret. */
void endpoint_body_done(struct endpoint_body *b);

#endif
