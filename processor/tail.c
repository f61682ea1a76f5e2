#include "processor/tail.h"

#include "base/utf8.h"

void tail_add(struct tail *t, struct slice bytes)
{
	if (bytes.len > TAIL_MAX) {
		t->total += bytes.len - TAIL_MAX;
		bytes = slice_of(bytes.data + bytes.len - TAIL_MAX, TAIL_MAX);
	}
	for (size_t i = 0; i < bytes.len; i++)
		t->ring[t->total++ % TAIL_MAX] = bytes.data[i];
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

int tail_text(const struct tail *t, struct buf *out)
{
	uint8_t flat[TAIL_MAX];
	size_t len = t->total < TAIL_MAX ? (size_t)t->total : TAIL_MAX;
	size_t first = 0;

	for (size_t i = 0; i < len; i++)
		flat[i] = t->ring[(t->total - len + i) % TAIL_MAX];
	while (len > 0 && is_space(flat[len - 1]))
		len--;
	while (t->total > TAIL_MAX && first < len && first < 3 && (flat[first] & 0xc0) == 0x80)
		first++;
	return utf8_append_valid(out, slice_of(flat + first, len - first));
}
