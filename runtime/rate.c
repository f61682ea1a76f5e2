#include "runtime/rate.h"

#include <math.h>

static double burst(double per_second)
{
	return per_second > 1 ? per_second : 1;
}

static void fill(struct rate *r, double per_second, int64_t now_ms)
{
	double most = burst(per_second);
	double passed_s = (double)(now_ms - r->at_ms) / 1000;

	r->tokens = r->at_ms == 0 ? most : fmin(most, r->tokens + fmax(passed_s, 0) * per_second);
	r->at_ms = now_ms;
}

bool rate_take(struct rate *r, double per_second, double count, int64_t now_ms, int64_t *wait_ms)
{
	fill(r, per_second, now_ms);
	if (r->tokens >= 1) {
		r->tokens -= count;
		return true;
	}
	*wait_ms = (int64_t)fmin(ceil((1 - r->tokens) / per_second * 1000), 86400e3);
	if (*wait_ms < 1)
		*wait_ms = 1;
	return false;
}
