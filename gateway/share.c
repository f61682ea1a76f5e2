#include "gateway/share.h"

#include <assert.h>

static const char *const complaints[SHARE_KINDS] = {
	[SHARE_IN_FLIGHT] = "As many calls of the tenant wait for their answer as may.",
	[SHARE_WAITERS] = "As many calls of the tenant wait for a task as may.",
	[SHARE_FOLLOWERS] = "The tenant follows as many tasks as it may.",
	[SHARE_STREAMS] = "The tenant keeps as many connections open for what comes as it may.",
};

size_t share_of(size_t limit, int64_t percent)
{
	size_t share = (limit * (size_t)percent + 99) / 100;

	return share > 0 ? share : 1;
}

bool share_take(struct share *s, enum share_kind kind)
{
	if (!s)
		return true;
	if (s->taken[kind] >= s->most[kind])
		return false;
	s->taken[kind]++;
	return true;
}

void share_give(struct share *s, enum share_kind kind)
{
	if (!s)
		return;
	assert(s->taken[kind] > 0);
	s->taken[kind]--;
}

const char *share_complaint(enum share_kind kind)
{
	return complaints[kind];
}
