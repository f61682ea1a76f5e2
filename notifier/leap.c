#include "notifier/leap.h"

int64_t leap_wait_ms(struct leap *l, int64_t wall_ms, int64_t mono_ms)
{
	int64_t ahead_ms = wall_ms - mono_ms;

	if (l->is_known && ahead_ms - l->ahead_ms > LEAP_MS) {
		if (!l->has_leapt || ahead_ms - l->leapt_to_ms > LEAP_MS)
			*l = (struct leap){true, true, l->ahead_ms, ahead_ms, mono_ms};
		if (mono_ms - l->since_ms < LEAP_WAIT_MS)
			return LEAP_WAIT_MS - (mono_ms - l->since_ms);
	}
	*l = (struct leap){.is_known = true, .ahead_ms = ahead_ms};
	return 0;
}
