/*
 * Whose turn it is to look a name up: a look-up takes a thread, and a name server that says nothing holds it for long. So
 * there are so many at a time, and no domain and no party has more than a part of them. Pure.
 */
#ifndef RUNTIME_LOOKUPS_H
#define RUNTIME_LOOKUPS_H

#include "base/slice.h"

#define LOOKUPS_MAX	   32
#define LOOKUPS_PARTY_MAX  24 /* for one party */
#define LOOKUPS_DOMAIN_MAX 8  /* of one domain: names that end in the same two labels */

struct lookup {
	uint32_t party; /* a number for whoever it is made for; 0: nobody in particular */
	uint32_t domain;
};

/* Those under way. Zeroed: none. */
struct lookups {
	struct lookup items[LOOKUPS_MAX];
	size_t len;
};

struct lookup lookup_of(struct slice host, uint32_t party);
bool lookups_has_room(const struct lookups *l, const struct lookup *wanted);
/* Only when there is room. */
void lookups_add(struct lookups *l, const struct lookup *one);
/* One that was added. */
void lookups_remove(struct lookups *l, const struct lookup *one);

#endif
