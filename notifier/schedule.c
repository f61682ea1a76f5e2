#include "notifier/schedule.h"

#include <errno.h>

#include "runtime/config.h"

int schedule_parse(char *const *texts, size_t len, struct schedule *out)
{
	struct schedule s = {.len = len};

	if (len == 0 || len > SCHEDULE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (duration_parse(slice_text(texts[i]), &s.waits_ms[i]) < 0 ||
			s.waits_ms[i] > SCHEDULE_WAIT_MAX_MS)
			return -EINVAL;
	*out = s;
	return 0;
}

/* From 80 to 120 percent. */
static int64_t with_jitter(int64_t wait_ms, uint32_t random)
{
	return wait_ms * 4 / 5 + (int64_t)((double)wait_ms * 0.4 * ((double)random / UINT32_MAX));
}

bool schedule_next(
	const struct schedule *s, uint32_t made, int64_t asked_ms, uint32_t random, int64_t *wait_ms)
{
	int64_t wait;

	if (made >= s->len)
		return false;
	wait = with_jitter(s->waits_ms[made], random);
	*wait_ms = wait > asked_ms ? wait : asked_ms;
	return true;
}

int64_t schedule_offset(const struct schedule *s, uint32_t number)
{
	int64_t sum = 0;

	for (size_t i = 0; i < s->len && i < number; i++)
		sum += s->waits_ms[i];
	if (number > s->len)
		sum += s->waits_ms[s->len - 1] > 0 ? s->waits_ms[s->len - 1] : 1;
	return sum;
}
