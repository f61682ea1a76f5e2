#include <errno.h>

#include "runtime/clock.h"
#include "store/sql.h"

int sql_keys_get(struct backend *b, struct id_key keys[STORE_KEYS_MAX], size_t *len)
{
	struct query q;
	int rc;

	*len = 0;
	query_init(&q, sql_of(b), "SELECT key FROM id_keys ORDER BY seq DESC LIMIT ?");
	query_int(&q, STORE_KEYS_MAX);
	while ((rc = query_next(&q)) == 1) {
		struct slice key = row_slice(&q, 0);

		if (key.len == ID_KEY_LEN)
			memcpy(keys[(*len)++].bytes, key.data, ID_KEY_LEN);
	}
	return rc;
}

static int insert(struct sql *s, const struct id_key *key, int64_t now_ms)
{
	struct query q;

	query_init(&q, s, "INSERT INTO id_keys (key, added_at) VALUES (?, ?)");
	query_blob(&q, slice_of(key->bytes, ID_KEY_LEN));
	query_int(&q, now_ms);
	return query_run(&q);
}

static int remove_key(struct sql *s, const struct id_key *key)
{
	struct query q;

	query_init(&q, s, "DELETE FROM id_keys WHERE key = ?");
	query_blob(&q, slice_of(key->bytes, ID_KEY_LEN));
	return query_run(&q);
}

static int forget_oldest(struct sql *s)
{
	struct query q;

	query_init(&q, s,
		"DELETE FROM id_keys WHERE seq <= (SELECT seq FROM id_keys ORDER BY seq DESC LIMIT 1 OFFSET ?)");
	query_int(&q, STORE_KEYS_MAX);
	return query_run(&q);
}

int sql_keys_add(struct backend *b, const struct id_key *key, int64_t now_ms)
{
	struct sql *s = sql_of(b);
	struct id_key keys[STORE_KEYS_MAX];
	size_t len;
	int rc = sql_keys_get(b, keys, &len);

	if (rc < 0 || (len > 0 && memcmp(&keys[0], key, sizeof *key) == 0))
		return rc;
	rc = remove_key(s, key);
	if (rc == 0)
		rc = insert(s, key, now_ms);
	return rc < 0 ? rc : forget_oldest(s);
}

int sql_keys_start(struct sql *s)
{
	struct id_key keys[STORE_KEYS_MAX];
	size_t len;
	int rc = sql_keys_get(&s->base, keys, &len);

	if (rc == 0 && len == 0) {
		random_fill(&keys[0], sizeof keys[0]);
		rc = insert(s, &keys[0], 0);
	}
	if (rc == 0)
		id_minter_init(&s->minter, &keys[0], random_u32());
	return rc;
}
