/*
 * How often is written down. Pure.
 */
#ifndef NOTIFIER_PACE_H
#define NOTIFIER_PACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * How long, in milliseconds, a batch may grow after one of `last` entries: a commit costs about the same for few and many,
 * so a busy notifier waits a little, and an idle one writes at once.
 */
static inline int64_t pace_ms(size_t last)
{
	return last < 8 ? 0 : 4;
}

#endif
