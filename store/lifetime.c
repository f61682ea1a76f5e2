#include "store/lifetime.h"

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t lifetime_of_unfinished(const struct lifetime *l, int64_t since_ms)
{
	return add(add(since_ms, l->task_ttl_ms), LIFETIME_MARGIN_MS);
}

int64_t lifetime_of_content(const struct lifetime *l, int64_t finished_ms)
{
	return add(finished_ms, l->result_ttl_ms);
}

int64_t lifetime_of_id(const struct lifetime *l, const struct id *id)
{
	return add(lifetime_of_unfinished(l, (int64_t)id_time_ms(id)), l->result_ttl_ms);
}
