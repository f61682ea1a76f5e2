/*
 * Ids: standard UUIDv7 whose random bits carry a keyed check, so that a gateway knows its own ids (and whose they
 * are) without having stored anything.
 *
 *   48 bits  milliseconds since the epoch
 *    4 bits  version 7
 *   12 bits  random prefix of the minting process, upper part
 *    2 bits  variant
 *   12 bits  random prefix, lower part (24 together)
 *   18 bits  counter; the minter waits for no clock, a full counter borrows the next millisecond
 *   32 bits  check: HMAC-SHA256 over kind, tenant and the 96 bits above, truncated
 *
 * Never reads a clock or random numbers: the caller brings both.
 */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include "base/slice.h"

#define ID_LEN	    16
#define ID_TEXT_LEN 36

struct id {
	uint8_t bytes[ID_LEN];
};

/* What an id names: an id of one kind never passes as one of another. */
enum id_kind { ID_TASK = 't', ID_BATCH = 'b', ID_DELIVERY = 'd', ID_ENDPOINT = 'e', ID_SCHEDULE = 's' };

#define ID_KEY_LEN 32

struct id_key {
	uint8_t bytes[ID_KEY_LEN];
};

struct id_minter {
	struct id_key key;
	uint32_t prefix;
	uint32_t counter;
	uint64_t last_ms;
};

/* `random_prefix`: any 32 random bits, of which 24 are used. Copies the key. */
void id_minter_init(struct id_minter *m, const struct id_key *key, uint32_t random_prefix);
/*
 * Ids of one minter are strictly increasing, even when the clock steps back. Takes under a microsecond, but for a
 * thread's first one. Ends the process when libcrypto cannot give HMAC-SHA256 or has no memory for it.
 */
struct id id_mint(struct id_minter *m, enum id_kind kind, struct slice tenant, uint64_t now_ms);

/*
 * A minter that goes on where `last` was minted: ids that were minted in a row, with one `now_ms`, can be minted again.
 */
void id_minter_resume(struct id_minter *m, const struct id_key *key, const struct id *last);

/* True when one of the `n` keys minted this id for this kind and tenant. Constant time in the check. */
bool id_is_genuine(
	const struct id *id, enum id_kind kind, struct slice tenant, const struct id_key *keys, size_t n);

/* Milliseconds since the epoch at which it was minted. */
uint64_t id_time_ms(const struct id *id);

bool id_is_equal(const struct id *a, const struct id *b);
/* All bytes zero: stands for "no id" in structs. */
bool id_is_zero(const struct id *id);

/* Lower-case text with dashes, terminated. */
void id_format(const struct id *id, char text[ID_TEXT_LEN + 1]);
/* Accepts exactly the 36 characters of a UUID of version 7, either case. -EINVAL otherwise. */
int id_parse(struct slice text, struct id *out);
/* From the 16 bytes of the wire; -EINVAL for another length. */
int id_from_bytes(struct slice bytes, struct id *out);

#endif
