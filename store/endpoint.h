/*
 * What decides about registered endpoints: which outcomes they want, and when one that only ever fails is disabled. Pure.
 */
#ifndef STORE_ENDPOINT_H
#define STORE_ENDPOINT_H

#include "base/buf.h"
#include "store/store.h"

/*
 * The filter of task names is a text: patterns separated by commas, each a name or the beginning of one and a '*'. Takes
 * the next pattern off `*rest`; false when there is none left.
 */
bool endpoint_next_pattern(struct slice *rest, struct slice *pattern);

/* Does it want this outcome? `tasks` and `outcomes` as in struct store_endpoint: empty and 0 want all. */
bool endpoint_wants(struct slice tasks, uint32_t outcomes, struct slice task, enum task_state state);

/*
 * Secrets that were there before are a text, too: the moment up to which each is valid, in ms, a space and the secret,
 * with commas between them, the newest, which is valid longest, first. Takes the next one off `*rest`; false when there
 * is none left.
 */
bool endpoint_next_old_secret(struct slice *rest, struct slice *secret, int64_t *until_ms);

/*
 * Appends what that text is after a rotation to `secret`: the one until now, valid until old_until_ms, and those before it
 * that are valid still, none of them for longer than that one. 0, -ENOSPC (more than STORE_ENDPOINT_OLD_SECRETS_MAX), or
 * the buffer's error.
 */
int endpoint_rotate(const struct store_endpoint *e, struct slice secret, int64_t old_until_ms, int64_t now_ms,
	struct buf *out);

/* Makes the change. Borrows: what the change has. */
void endpoint_apply(struct store_endpoint *e, const struct store_endpoint_change *change);

enum endpoint_verdict {
	ENDPOINT_WORKS,	  /* failing_since is 0 from now on */
	ENDPOINT_FAILS,	  /* failing_since stays, or becomes now */
	ENDPOINT_FAILED,  /* it has done nothing but fail for too long: disabled */
	ENDPOINT_IS_GONE, /* it said so (410): disabled */
};
/* After an attempt that was made. `disable_after_ms` 0: only a 410 disables. */
enum endpoint_verdict endpoint_judge(const struct store_due_result *attempt, int64_t failing_since_ms);

/* What its record says of a verdict that disables, for people. */
const char *endpoint_verdict_text(enum endpoint_verdict verdict);

#endif
