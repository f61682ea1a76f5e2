#include "processor/admission.h"

enum {
	AHEAD_US = 50 * 1000,
	AHEAD_MAX = 1024,
	AHEAD_BYTES = 32 * 1024 * 1024,
	END_MS = 10 * 1000, /* what a run may take beyond its timeout: TERM, KILL, the reply's confirm */
};

enum waiting admission_next(const struct admission *a)
{
	if (a->running >= a->slots)
		return WAITING_NONE;
	if (a->waiting[WAITING_INLINE])
		return WAITING_INLINE;
	if (a->is_alone)
		return WAITING_NONE;
	if (a->waiting[WAITING_REDELIVERED])
		return a->running_durable ? WAITING_NONE : WAITING_REDELIVERED;
	return a->waiting[WAITING_FRESH] ? WAITING_FRESH : WAITING_NONE;
}

void admission_arrived(struct admission *a, bool is_redelivered)
{
	if (is_redelivered)
		a->is_careful = true;
	else if (!a->is_alone && !a->waiting[WAITING_REDELIVERED])
		a->is_careful = false;
}

uint16_t admission_prefetch(const struct admission *a, size_t full, size_t joined)
{
	size_t careful = 1 + joined;
	size_t n = a->is_careful && careful < full ? careful : full;

	return n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t admission_ahead(size_t slots, uint64_t mean_us, uint64_t mean_bytes, size_t max)
{
	uint64_t by_time = AHEAD_US * slots / (mean_us ? mean_us : 1);
	uint64_t by_bytes = AHEAD_BYTES / (mean_bytes ? mean_bytes : 1);
	size_t wanted = least(by_time < by_bytes ? by_time : by_bytes, AHEAD_MAX);
	size_t ahead = 1;

	while (ahead * 2 <= wanted)
		ahead *= 2;
	return least(slots + ahead, max);
}

size_t admission_most(size_t slots, int64_t timeout_ms, int64_t consumer_timeout_ms)
{
	int64_t rounds = consumer_timeout_ms / (timeout_ms + END_MS);
	uint64_t most = rounds > 0 ? (uint64_t)rounds * slots : 0;

	return most > UINT16_MAX ? UINT16_MAX : (size_t)most;
}

int64_t admission_longest_ms(size_t slots, size_t prefetch, int64_t consumer_timeout_ms)
{
	int64_t rounds = prefetch ? (int64_t)((prefetch + slots - 1) / slots) : 2;

	return consumer_timeout_ms / rounds - END_MS;
}
