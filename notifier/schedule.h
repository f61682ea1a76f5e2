/*
 * When a delivery is tried: a list of waits, the first before the first attempt, each further one after the attempt that
 * failed. After the last attempt it is dead. Pure.
 */
#ifndef NOTIFIER_SCHEDULE_H
#define NOTIFIER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEDULE_MAX	     32 /* attempts */
#define SCHEDULE_WAIT_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)

struct schedule {
	int64_t waits_ms[SCHEDULE_MAX];
	size_t len; /* at least 1 */
};

/* `texts`: durations. 0, or -EINVAL: none, too many, no duration or one above SCHEDULE_WAIT_MAX_MS. */
int schedule_parse(char *const *texts, size_t len, struct schedule *out);

/*
 * After attempt number `made` (from 1) failed: true with how long to wait for the next, false when it was the last.
 * The wait varies by +-20 % with `random`, any 32 bits; it is at least what the receiver asked for, `asked_ms`.
 */
bool schedule_next(
	const struct schedule *s, uint32_t made, int64_t asked_ms, uint32_t random, int64_t *wait_ms);

/*
 * When, after its beginning, attempt number `number` (from 1) is to be made, if none before took any time; of one
 * behind the last as far behind it as that was behind the one before, and at least a millisecond.
 */
int64_t schedule_offset(const struct schedule *s, uint32_t number);

#endif
