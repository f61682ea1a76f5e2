/*
 * Idempotency keys.
 */
#include <errno.h>

#include "store/sql.h"

enum claim_row { ROW_IN_FLIGHT, ROW_UNKNOWN, ROW_ANSWERED };

struct kept {
	bool is_there;
	enum claim_row state;
	uint8_t hash[STORE_HASH_LEN];
	struct id id;
	int64_t lease_until_ms;
	struct slice answer;
};

static int look_up(struct sql *s, struct arena *a, const struct store_claim *c, struct kept *k)
{
	struct query q;
	int rc;

	*k = (struct kept){0};
	query_init(&q, s,
		"SELECT state, hash, id, lease_until, answer FROM claims WHERE tenant = ? AND key = ? AND expires_at > ? "
		"/*pg:FOR UPDATE*/");
	query_text(&q, c->tenant);
	query_text(&q, c->key);
	query_int(&q, c->now_ms);
	rc = query_next(&q);
	if (rc == 1) {
		struct slice hash = row_slice(&q, 1);

		k->is_there = true;
		k->state = (enum claim_row)row_int(&q, 0);
		memcpy(k->hash, hash.data, hash.len < STORE_HASH_LEN ? hash.len : STORE_HASH_LEN);
		k->id = row_id(&q, 2);
		k->lease_until_ms = row_int(&q, 3);
		k->answer = row_copy(&q, 4, a);
	}
	query_done(&q);
	return rc < 0 ? rc : a->has_failed ? -ENOMEM : 0;
}

static enum store_claim_state decide(const struct store_claim *c, const struct kept *k)
{
	if (memcmp(k->hash, c->hash, STORE_HASH_LEN) != 0)
		return STORE_CLAIM_MISMATCH;
	switch (k->state) {
	case ROW_ANSWERED: return STORE_CLAIM_ANSWERED;
	case ROW_UNKNOWN: return STORE_CLAIM_RESUME;
	case ROW_IN_FLIGHT: break;
	}
	return k->lease_until_ms > c->now_ms ? STORE_CLAIM_IN_FLIGHT : STORE_CLAIM_RESUME;
}

/*
 * Tried before anything is read, so that of several who come at once one is the first. One whose time has passed may
 * still be there: it is written over. 1: the key is the caller's now.
 */
static int insert(struct sql *s, const struct store_claim *c)
{
	struct query q;
	int rc;

	query_init(&q, s,
		"INSERT INTO claims (tenant, key, hash, id, state, was_unknown, lease_until, expires_at) "
		"VALUES (?, ?, ?, ?, 0, 0, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET hash = excluded.hash, "
		"id = excluded.id, state = 0, was_unknown = 0, lease_until = excluded.lease_until, "
		"expires_at = excluded.expires_at, answer = NULL WHERE claims.expires_at <= ?");
	query_text(&q, c->tenant);
	query_text(&q, c->key);
	query_blob(&q, slice_of(c->hash, STORE_HASH_LEN));
	query_id(&q, &c->id);
	query_int(&q, c->now_ms + c->lease_ms);
	query_int(&q, c->now_ms + c->keep_ms);
	query_int(&q, c->now_ms);
	rc = query_run(&q);
	return rc < 0 ? rc : (int)query_changes(&q);
}

static int take_up(struct sql *s, const struct store_claim *c)
{
	struct query q;

	query_init(&q, s,
		"UPDATE claims SET state = 0, was_unknown = 1, lease_until = ? WHERE tenant = ? AND key = ?");
	query_int(&q, c->now_ms + c->lease_ms);
	query_text(&q, c->tenant);
	query_text(&q, c->key);
	return query_run(&q);
}

int sql_claim(struct backend *b, struct arena *a, const struct store_claim *c, struct backend_claimed *out)
{
	struct sql *s = sql_of(b);
	struct kept k;
	int rc = insert(s, c);

	*out = (struct backend_claimed){.state = STORE_CLAIM_NEW, .id = c->id};
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = look_up(s, a, c, &k);
	if (rc < 0)
		return rc;
	/* Between the two somebody gave it back. */
	if (!k.is_there)
		return -ERESTART;
	*out = (struct backend_claimed){.state = decide(c, &k), .id = k.id};
	switch (out->state) {
	case STORE_CLAIM_RESUME: return take_up(s, c);
	case STORE_CLAIM_ANSWERED: out->answer = k.answer; return 0;
	case STORE_CLAIM_NEW:
	case STORE_CLAIM_IN_FLIGHT:
	case STORE_CLAIM_MISMATCH: return 0;
	}
	return 0;
}

/* Once an outcome was unknown the id may have gone out: the key is never given free with it. */
static const char *const endings[] = {
	[STORE_CLAIM_KEEP] = "UPDATE claims SET state = 2, answer = ?3 WHERE tenant = ?1 AND key = ?2",
	[STORE_CLAIM_RELEASE] = "DELETE FROM claims WHERE tenant = ?1 AND key = ?2 AND was_unknown = 0",
	[STORE_CLAIM_UNKNOWN] =
		"UPDATE claims SET state = 1, was_unknown = 1 WHERE tenant = ?1 AND key = ?2 AND state = 0",
};

static int end_by(
	struct sql *s, struct slice tenant, struct slice key, enum store_claim_end how, struct slice answer)
{
	struct query q;

	query_init(&q, s, endings[how]);
	query_text(&q, tenant);
	query_text(&q, key);
	if (how == STORE_CLAIM_KEEP)
		query_blob(&q, answer);
	return query_run(&q);
}

int sql_claim_end(struct backend *b, struct slice tenant, struct slice key, enum store_claim_end how,
	struct slice answer)
{
	struct sql *s = sql_of(b);
	int rc = end_by(s, tenant, key, how, answer);

	if (rc == 0 && how == STORE_CLAIM_RELEASE)
		rc = end_by(s, tenant, key, STORE_CLAIM_UNKNOWN, answer);
	return rc;
}
