#include "runtime/lookups.h"

#include <assert.h>
#include <ctype.h>

/* The last two labels; "example.com" and "Example.com." are one. */
static struct slice domain_of(struct slice host)
{
	size_t from;
	int dots = 0;

	if (host.len > 0 && host.data[host.len - 1] == '.')
		host.len--;
	for (from = host.len; from > 0; from--) {
		dots += host.data[from - 1] == '.';
		if (dots == 2)
			break;
	}
	return slice_of(host.data + from, host.len - from);
}

static uint32_t hash_of_name(struct slice name)
{
	uint32_t hash = SLICE_HASH_INIT;

	for (size_t i = 0; i < name.len; i++)
		hash = slice_hash_byte(hash, (uint8_t)tolower(name.data[i]));
	return hash;
}

struct lookup lookup_of(struct slice host, uint32_t party)
{
	return (struct lookup){.party = party, .domain = hash_of_name(domain_of(host))};
}

bool lookups_has_room(const struct lookups *l, const struct lookup *wanted)
{
	size_t of_party = 0, of_domain = 0;

	for (size_t i = 0; i < l->len; i++) {
		of_party += wanted->party != 0 && l->items[i].party == wanted->party;
		of_domain += l->items[i].domain == wanted->domain;
	}
	return l->len < LOOKUPS_MAX && of_party < LOOKUPS_PARTY_MAX && of_domain < LOOKUPS_DOMAIN_MAX;
}

void lookups_add(struct lookups *l, const struct lookup *one)
{
	assert(lookups_has_room(l, one));
	l->items[l->len++] = *one;
}

void lookups_remove(struct lookups *l, const struct lookup *one)
{
	size_t i = 0;

	while (i < l->len && (l->items[i].party != one->party || l->items[i].domain != one->domain))
		i++;
	assert(i < l->len);
	l->items[i] = l->items[--l->len];
}
