#include "notifier/quota.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/rate.h"

enum { AGAIN_MS = 1000 };

/* Tenants are those of the configuration's keys, so there is no end of them to guard against. */
struct purse {
	struct purse *next;
	struct rate rate;
	double promised_ms; /* the time that the next one to be put off comes after */
	size_t tenant_len;
	uint8_t tenant[];
};

struct quota {
	double per_second; /* 0: no limit */
	struct purse *purses;
};

int quota_new(double per_minute, struct quota **out)
{
	struct quota *q = calloc(1, sizeof *q);

	if (!q)
		return -ENOMEM;
	q->per_second = per_minute / 60;
	*out = q;
	return 0;
}

void quota_free(struct quota *q)
{
	struct purse *next;

	if (!q)
		return;
	for (struct purse *p = q->purses; p; p = next) {
		next = p->next;
		free(p);
	}
	free(q);
}

static struct purse *purse_new(struct quota *q, struct slice tenant)
{
	struct purse *p = calloc(1, sizeof *p + tenant.len);

	if (!p)
		return NULL;
	p->tenant_len = tenant.len;
	if (tenant.len > 0)
		memcpy(p->tenant, tenant.data, tenant.len);
	p->next = q->purses;
	q->purses = p;
	return p;
}

static struct purse *purse_of(struct quota *q, struct slice tenant)
{
	for (struct purse *p = q->purses; p; p = p->next)
		if (slice_is_equal(tenant, slice_of(p->tenant, p->tenant_len)))
			return p;
	return purse_new(q, tenant);
}

/* Behind those that were put off before, one for each token that will come in. */
static int64_t promise(struct purse *p, double per_second, int64_t now_ms, int64_t soonest_ms)
{
	double at_ms = fmax((double)(now_ms + soonest_ms), p->promised_ms);
	double wait_ms = ceil(at_ms - (double)now_ms);

	if (wait_ms > QUOTA_WAIT_MAX_MS)
		return QUOTA_WAIT_MAX_MS;
	p->promised_ms = at_ms + 1000 / per_second;
	return (int64_t)wait_ms;
}

bool quota_take(struct quota *q, struct slice tenant, int64_t now_ms, int64_t *wait_ms)
{
	struct purse *p;

	if (q->per_second <= 0)
		return true;
	p = purse_of(q, tenant);
	*wait_ms = AGAIN_MS;
	if (!p)
		return false;
	if (rate_take(&p->rate, q->per_second, 1, now_ms, wait_ms))
		return true;
	*wait_ms = promise(p, q->per_second, now_ms, *wait_ms);
	return false;
}
