/*
 * What decides about registered endpoints: which outcomes they want, and when one that only ever fails is disabled. Pure.
 */
#ifndef STORE_ENDPOINT_H
#define STORE_ENDPOINT_H

#include "store/store.h"

/*
 * The filter of task names is a text: patterns separated by commas, each a name or the beginning of one and a '*'. Takes
 * the next pattern off `*rest`; false when there is none left.
 */
bool endpoint_next_pattern(struct slice *rest, struct slice *pattern);

/* Does it want this outcome? `tasks` and `outcomes` as in struct store_endpoint: empty and 0 want all. */
bool endpoint_wants(struct slice tasks, uint32_t outcomes, struct slice task, enum task_state state);

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
