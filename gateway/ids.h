/*
 * The ids that this gateway mints and knows as its own. Not ready until the store has handed over the keys.
 */
#ifndef GATEWAY_IDS_H
#define GATEWAY_IDS_H

#include "proto/id.h"
#include "store/store.h"

struct ids {
	struct id_minter minter;
	struct id_key keys[STORE_KEYS_MAX];
	size_t len; /* 0: not ready */
};

/*
 * The first key mints from now on; all verify. `random_prefix` as id_minter_init. False: they were these already, and
 * nothing changed.
 */
bool ids_set_keys(struct ids *ids, const struct id_key *keys, size_t len, uint32_t random_prefix);
bool ids_are_ready(const struct ids *ids);

/* `len` ids in a row, so that ids_follow finds the others from the first. Ready only. */
void ids_mint(
	struct ids *ids, enum id_kind kind, struct slice tenant, int64_t now_ms, struct id *out, size_t len);
/* The `len` ids that were minted right after `first`. */
void ids_follow(const struct ids *ids, const struct id *first, enum id_kind kind, struct slice tenant,
	struct id *out, size_t len);
/* 0, or -EINVAL for a text that is no id of this kind and tenant. */
int ids_parse(
	const struct ids *ids, enum id_kind kind, struct slice tenant, struct slice text, struct id *out);

#endif
