/*
 * A token bucket: a steady rate with room for a second's worth at once. Pure: the time is handed in.
 *
 * What is taken at once may exceed what is there as long as something is: the bucket then owes it, and gives nothing
 * until it has come in again. So a large batch passes, and is paid for.
 */
#ifndef RUNTIME_RATE_H
#define RUNTIME_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	double tokens;
	int64_t at_ms; /* of the last look; 0: never, the bucket is full */
};

/*
 * Takes `count` at `now_ms` (monotonic, above 0) at `per_second` (above 0). False: nothing was taken, *wait_ms says when
 * to come again, at least 1.
 */
bool rate_take(struct rate *r, double per_second, double count, int64_t now_ms, int64_t *wait_ms);

#endif
