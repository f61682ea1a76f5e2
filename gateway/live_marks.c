#include "gateway/live_marks.h"

#include <stdlib.h>

static size_t oldest(const struct live_marks *m)
{
	size_t at = 0;

	for (size_t i = 0; i < LIVE_PUBLISHERS_MAX; i++) {
		if (!m->publishers[i])
			return i;
		if (m->publishers[i]->heard < m->publishers[at]->heard)
			at = i;
	}
	return at;
}

struct live_publisher *live_marks_publisher(struct live_marks *m, uint64_t id)
{
	struct live_publisher *p;
	size_t at;

	for (at = 0; at < LIVE_PUBLISHERS_MAX && m->publishers[at]; at++) {
		if (m->publishers[at]->id == id) {
			m->publishers[at]->heard = ++m->clock;
			return m->publishers[at];
		}
	}
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	at = oldest(m);
	free(m->publishers[at]);
	m->publishers[at] = p;
	p->id = id;
	p->heard = ++m->clock;
	return p;
}

bool live_marks_note(struct live_publisher *p, const struct live_mark *mark)
{
	uint32_t before;

	if (mark->shard >= TOPOLOGY_EVENT_SHARDS)
		return false;
	before = p->counts[mark->shard];
	p->counts[mark->shard] = mark->count;
	return before != 0 && mark->count != before + 1;
}

void live_marks_forget(struct live_marks *m, unsigned shard)
{
	for (size_t i = 0; i < LIVE_PUBLISHERS_MAX && m->publishers[i]; i++)
		m->publishers[i]->counts[shard] = 0;
}

void live_marks_done(struct live_marks *m)
{
	for (size_t i = 0; i < LIVE_PUBLISHERS_MAX; i++)
		free(m->publishers[i]);
	*m = (struct live_marks){.clock = 0};
}
