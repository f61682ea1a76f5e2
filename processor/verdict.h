/*
 * What an attempt's outcome means for its task: which reply it becomes. Pure.
 */
#ifndef PROCESSOR_VERDICT_H
#define PROCESSOR_VERDICT_H

#include "processor/job.h"
#include "processor/options.h"
#include "proto/reply.h"

/* What a request says and, where it says nothing, its handler's options. */
struct terms {
	uint32_t max_attempts;
	int64_t timeout_ms;
	struct retry_policy retry;
};

/* `timeout_max_ms`: a request may ask for no more, whatever it says. */
struct terms terms_of(const struct request *r, const struct handler_options *o, int64_t timeout_max_ms);

/*
 * A failure that may be tried again is a retry while attempts are left; the inline lane has one attempt. `*retryable`:
 * what the reply's error says.
 */
enum reply_kind verdict_of(
	enum outcome_kind outcome, bool is_inline, uint32_t attempt, uint32_t max_attempts, bool *retryable);

#endif
