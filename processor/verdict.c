#include "processor/verdict.h"

static uint32_t clip(int64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

struct terms terms_of(const struct request *r, const struct handler_options *o, int64_t timeout_max_ms)
{
	struct terms t = {
		.max_attempts = r->max_attempts ? r->max_attempts : clip(o->retry.attempts),
		.timeout_ms = r->timeout_ms ? (int64_t)r->timeout_ms : o->timeout_ms,
		.retry = {clip(o->retry.base_ms), clip(o->retry.cap_ms)},
	};

	if (r->has_retry)
		t.retry = r->retry;
	if (t.timeout_ms > timeout_max_ms)
		t.timeout_ms = timeout_max_ms;
	return t;
}

enum reply_kind verdict_of(
	enum outcome_kind outcome, bool is_inline, uint32_t attempt, uint32_t max_attempts, bool *retryable)
{
	*retryable = outcome == OUTCOME_RETRY;
	switch (outcome) {
	case OUTCOME_SUCCEEDED: return REPLY_SUCCEEDED;
	case OUTCOME_CANCELED: return REPLY_CANCELED;
	case OUTCOME_FAILED: return REPLY_FAILED;
	case OUTCOME_RETRY: break;
	}
	return !is_inline && attempt < max_attempts ? REPLY_RETRY : REPLY_FAILED;
}
