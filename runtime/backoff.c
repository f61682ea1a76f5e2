#include "runtime/backoff.h"

enum { JITTER_PERCENT = 20 };

uint32_t backoff_ms(uint32_t base_ms, uint32_t cap_ms, uint32_t attempt, uint32_t random)
{
	uint64_t wait = base_ms;
	uint64_t percent = 100 - JITTER_PERCENT + random % (2 * JITTER_PERCENT + 1);

	for (uint32_t i = 1; i < attempt && wait < cap_ms; i++)
		wait *= 2;
	if (wait > cap_ms)
		wait = cap_ms;
	wait = wait * percent / 100;
	return wait > cap_ms ? cap_ms : (uint32_t)wait;
}
