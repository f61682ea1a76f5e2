#include "gateway/ids.h"

#include <assert.h>
#include <errno.h>

bool ids_set_keys(struct ids *ids, const struct id_key *keys, size_t len, uint32_t random_prefix)
{
	assert(len > 0 && len <= STORE_KEYS_MAX);
	if (len == ids->len && memcmp(ids->keys, keys, len * sizeof *keys) == 0)
		return false;
	memcpy(ids->keys, keys, len * sizeof *keys);
	ids->len = len;
	id_minter_init(&ids->minter, &keys[0], random_prefix);
	return true;
}

bool ids_are_ready(const struct ids *ids)
{
	return ids->len > 0;
}

static void mint_row(struct id_minter *m, enum id_kind kind, struct slice tenant, uint64_t now_ms,
	struct id *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = id_mint(m, kind, tenant, now_ms);
}

void ids_mint(
	struct ids *ids, enum id_kind kind, struct slice tenant, int64_t now_ms, struct id *out, size_t len)
{
	assert(ids_are_ready(ids));
	mint_row(&ids->minter, kind, tenant, (uint64_t)now_ms, out, len);
}

/* The one that minted it: keys may have changed since. */
static const struct id_key *key_of(
	const struct ids *ids, const struct id *id, enum id_kind kind, struct slice tenant)
{
	for (size_t i = 0; i < ids->len; i++)
		if (id_is_genuine(id, kind, tenant, &ids->keys[i], 1))
			return &ids->keys[i];
	return &ids->keys[0];
}

void ids_follow(const struct ids *ids, const struct id *first, enum id_kind first_kind, struct slice tenant,
	struct id *out, size_t len)
{
	struct id_minter m;

	id_minter_resume(&m, key_of(ids, first, first_kind, tenant), first);
	mint_row(&m, ID_TASK, tenant, id_time_ms(first), out, len);
}

int ids_parse(
	const struct ids *ids, enum id_kind kind, struct slice tenant, struct slice text, struct id *out)
{
	struct id id;

	if (id_parse(text, &id) < 0 || !id_is_genuine(&id, kind, tenant, ids->keys, ids->len))
		return -EINVAL;
	*out = id;
	return 0;
}
