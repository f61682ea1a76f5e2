#include "gateway/idempotency.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "gateway/lookup.h"
#include "runtime/clock.h"

enum { LEASE_MARGIN_MS = 5000 };
#define KEEP_MS	   ((int64_t)24 * 3600 * 1000)
#define ANSWER_MAX ((size_t)256 * 1024 * 1024)

struct idempotency {
	struct gateway *g;
	struct call *call;
	idempotency_cb *claimed;
	idempotency_done_cb *done;
	void *arg;
	char tenant[256];
	char key[IDEMPOTENCY_KEY_MAX + 1];
};

/* ---- the header and the hash ---- */

static bool is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return false;
	return true;
}

int idempotency_parse(struct slice header, struct slice *key)
{
	struct slice k = header;

	if (k.len >= 2 && k.data[0] == '"' && k.data[k.len - 1] == '"')
		k = slice_of(k.data + 1, k.len - 2);
	if (k.len == 0 || k.len > IDEMPOTENCY_KEY_MAX || !is_printable(k))
		return -EINVAL;
	*key = k;
	return 0;
}

/* With its length first, so that no two requests run together into the same bytes. */
static bool add(EVP_MD_CTX *md, struct slice part)
{
	uint64_t len = part.len;

	return EVP_DigestUpdate(md, &len, sizeof len) &&
	       (part.len == 0 || EVP_DigestUpdate(md, part.data, part.len));
}

int idempotency_hash(const struct call *call, uint8_t out[STORE_HASH_LEN])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool is_done = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
		       add(md, slice_text(call_method_name(call))) && add(md, call_path(call)) &&
		       add(md, call_query(call)) && add(md, call_content_type(call)) &&
		       add(md, call_body(call)) && EVP_DigestFinal_ex(md, out, NULL);

	EVP_MD_CTX_free(md);
	return is_done ? 0 : -ENOMEM;
}

/* ---- claiming ---- */

bool idempotency_is_wanted(const struct call *call)
{
	return slice_is_set(call_header(call, "Idempotency-Key"));
}

/* The call has been answered. */
static void give_up(struct idempotency *i)
{
	i->claimed(NULL, NULL, false, i->arg);
	free(i);
}

static void replay(struct idempotency *i, struct slice kept)
{
	struct answer answer;

	answer_init(&answer);
	if (answer_decode(kept, &answer) == 0) {
		call_set_header(i->call, "Idempotency-Replayed", "true");
		answer_send(&answer, i->call);
	} else {
		call_problem(
			i->call, PROBLEM_INTERNAL, NULL, "the first answer under this key cannot be read");
	}
	answer_done(&answer);
}

static void on_claimed(
	int rc, enum store_claim_state state, const struct id *id, struct slice kept, void *arg)
{
	struct idempotency *i = arg;

	gateway_job_end(i->g);
	if (rc < 0) {
		lookup_store_failed(i->call);
		give_up(i);
		return;
	}
	switch (state) {
	case STORE_CLAIM_NEW:
	case STORE_CLAIM_RESUME: i->claimed(i, id, state == STORE_CLAIM_RESUME, i->arg); return;
	case STORE_CLAIM_ANSWERED: replay(i, kept); break;
	case STORE_CLAIM_IN_FLIGHT:
		call_set_header(i->call, "Retry-After", "1");
		call_problem(
			i->call, PROBLEM_CONFLICT, NULL, "a request under this Idempotency-Key is in flight");
		break;
	case STORE_CLAIM_MISMATCH:
		call_problem(i->call, PROBLEM_IDEMPOTENCY_MISMATCH, NULL,
			"this Idempotency-Key was used for another request");
		break;
	}
	give_up(i);
}

static struct idempotency *idempotency_new(struct gateway *g, struct call *call, struct slice key)
{
	struct idempotency *i = calloc(1, sizeof *i);
	struct slice tenant = call_tenant(call);

	if (!i || tenant.len >= sizeof i->tenant) {
		free(i);
		return NULL;
	}
	i->g = g;
	i->call = call;
	memcpy(i->tenant, tenant.data, tenant.len);
	memcpy(i->key, key.data, key.len);
	return i;
}

static int claim(struct idempotency *i, const struct id *id, int64_t lease_ms)
{
	struct store_claim c = {
		.tenant = slice_text(i->tenant),
		.key = slice_text(i->key),
		.id = *id,
		.now_ms = clock_wall_ms(),
		.lease_ms = lease_ms + LEASE_MARGIN_MS,
		.keep_ms = KEEP_MS,
	};
	int rc = idempotency_hash(i->call, c.hash);

	return rc < 0 ? rc : store_claim(i->g->store, &c, on_claimed, i);
}

void idempotency_claim(struct gateway *g, struct call *call, const struct id *id, int64_t lease_ms,
	idempotency_cb *cb, void *arg)
{
	struct idempotency *i;
	struct slice key;

	if (idempotency_parse(call_header(call, "Idempotency-Key"), &key) < 0) {
		call_problem(
			call, PROBLEM_INVALID_FIELD, "Idempotency-Key", "not 1 to 255 printable characters");
		cb(NULL, NULL, false, arg);
		return;
	}
	i = idempotency_new(g, call, key);
	if (!i) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		cb(NULL, NULL, false, arg);
		return;
	}
	i->claimed = cb;
	i->arg = arg;
	if (claim(i, id, lease_ms) == 0) {
		gateway_job_begin(g);
		return;
	}
	lookup_store_failed(call);
	give_up(i);
}

/* ---- ending ---- */

static void on_ended(int rc, void *arg)
{
	struct idempotency *i = arg;

	if (rc < 0)
		log_warn("idempotency_not_kept", LOG_ERRNO(rc));
	i->done(i->arg);
	gateway_job_end(i->g);
	free(i);
}

static enum store_claim_end end_of(enum answer_fate fate)
{
	switch (fate) {
	case ANSWER_KEEP: return STORE_CLAIM_KEEP;
	case ANSWER_RELEASE: return STORE_CLAIM_RELEASE;
	case ANSWER_UNKNOWN: break;
	}
	return STORE_CLAIM_UNKNOWN;
}

void idempotency_end(struct idempotency *i, const struct answer *answer, idempotency_done_cb *cb, void *arg)
{
	struct buf kept;
	int rc = 0;

	i->done = cb;
	i->arg = arg;
	gateway_job_begin(i->g);
	buf_init(&kept, ANSWER_MAX);
	if (answer->fate == ANSWER_KEEP)
		rc = answer_encode(answer, &kept);
	if (rc == 0)
		rc = store_claim_end(i->g->store, slice_text(i->tenant), slice_text(i->key),
			end_of(answer->fate), buf_slice(&kept), on_ended, i);
	buf_done(&kept);
	if (rc < 0)
		on_ended(rc, i);
}

static void on_released(void *arg)
{
}

void idempotency_release(struct idempotency *i)
{
	static const struct answer nothing = {.fate = ANSWER_RELEASE};

	if (i)
		idempotency_end(i, &nothing, on_released, NULL);
}
