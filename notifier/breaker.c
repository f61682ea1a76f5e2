#include "notifier/breaker.h"

bool breaker_is_open(const struct breaker *b)
{
	return b->openings > 0;
}

bool breaker_is_fresh(const struct breaker *b)
{
	return b->failures == 0 && b->openings == 0;
}

enum breaker_pass breaker_ask(
	struct breaker *b, const struct breaker_policy *policy, int64_t now_ms, int64_t *wait_ms)
{
	if (!breaker_is_open(b))
		return BREAKER_CALL;
	if (now_ms < b->open_until_ms) {
		*wait_ms = b->open_until_ms - now_ms;
		return BREAKER_WAIT;
	}
	if (b->is_probing) {
		*wait_ms = policy->open_ms;
		return BREAKER_WAIT;
	}
	b->is_probing = true;
	return BREAKER_PROBE;
}

void breaker_answered(struct breaker *b)
{
	*b = (struct breaker){0};
}

static int64_t open_for(const struct breaker_policy *policy, uint32_t openings)
{
	int64_t ms = policy->open_ms;

	while (--openings > 0 && ms < policy->open_max_ms)
		ms *= 2;
	return ms < policy->open_max_ms ? ms : policy->open_max_ms;
}

/* Calls that were on their way when it opened fail one after the other: they must not lengthen it each. */
void breaker_failed(struct breaker *b, const struct breaker_policy *policy, int64_t now_ms)
{
	bool opens = breaker_is_open(b) ? b->is_probing : b->failures + 1 >= policy->failures;

	if (b->failures < UINT32_MAX)
		b->failures++;
	if (!opens)
		return;
	if (b->openings < UINT32_MAX)
		b->openings++;
	b->is_probing = false;
	b->open_until_ms = now_ms + open_for(policy, b->openings);
}

void breaker_dropped(struct breaker *b)
{
	b->is_probing = false;
}
