#include "processor/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

struct entry {
	struct id id;
	uint32_t number;
	uint32_t next; /* in its bucket; newer ones come first */
	int64_t until_ms;
};

/* A ring of entries, the oldest at `first`, and chains through it from hash buckets. */
struct recent {
	uint64_t seed;
	int64_t ttl_ms;
	uint32_t max, first, len;
	uint32_t mask; /* buckets less one */
	uint32_t *buckets;
	struct entry *ring;
};

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static uint32_t *bucket_of(const struct recent *r, const struct id *id, uint32_t number)
{
	uint64_t parts[2];

	memcpy(parts, id->bytes, sizeof parts);
	return &r->buckets[mix(mix(parts[0] ^ r->seed) ^ parts[1] ^ number) & r->mask];
}

int recent_new(size_t max, int64_t ttl_ms, struct recent **out)
{
	struct recent *r = calloc(1, sizeof *r);
	uint32_t buckets = 1;

	if (!r)
		return -ENOMEM;
	while (buckets < max)
		buckets *= 2;
	*r = (struct recent){.ttl_ms = ttl_ms, .max = (uint32_t)max, .mask = buckets - 1};
	r->ring = calloc(max, sizeof *r->ring);
	r->buckets = calloc(buckets, sizeof *r->buckets);
	if (!r->ring || !r->buckets) {
		recent_free(r);
		return -ENOMEM;
	}
	if (getrandom(&r->seed, sizeof r->seed, GRND_NONBLOCK) < 0)
		r->seed = (uintptr_t)r;
	*out = r;
	return 0;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	free(r->ring);
	free(r->buckets);
	free(r);
}

/* Chains hold index + 1, so that zeroed buckets are empty. */
static void forget_oldest(struct recent *r)
{
	const struct entry *e = &r->ring[r->first];
	uint32_t *link = bucket_of(r, &e->id, e->number);

	while (*link != r->first + 1)
		link = &r->ring[*link - 1].next;
	*link = e->next;
	if (++r->first == r->max)
		r->first = 0;
	r->len--;
}

static const struct entry *find(const struct recent *r, const struct id *id, uint32_t number)
{
	for (uint32_t i = *bucket_of(r, id, number); i; i = r->ring[i - 1].next) {
		const struct entry *e = &r->ring[i - 1];

		if (e->number == number && id_is_equal(&e->id, id))
			return e;
	}
	return NULL;
}

void recent_add(struct recent *r, const struct id *id, uint32_t number, int64_t now_ms)
{
	uint32_t *bucket = bucket_of(r, id, number);
	uint32_t i;

	while (r->len && r->ring[r->first].until_ms <= now_ms)
		forget_oldest(r);
	if (find(r, id, number))
		return;
	if (r->len == r->max)
		forget_oldest(r);
	i = r->first + r->len++;
	if (i >= r->max)
		i -= r->max;
	r->ring[i] =
		(struct entry){.id = *id, .number = number, .next = *bucket, .until_ms = now_ms + r->ttl_ms};
	*bucket = i + 1;
}

bool recent_has(const struct recent *r, const struct id *id, uint32_t number, int64_t now_ms)
{
	const struct entry *e = find(r, id, number);

	return e && e->until_ms > now_ms;
}
