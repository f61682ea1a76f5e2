#include "proto/id.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hex.h"

#define PREFIX_BITS  24
#define COUNTER_BITS 18
#define COUNTER_MAX  ((UINT32_C(1) << COUNTER_BITS) - 1)
#define CHECKED_LEN  12 /* all bytes but the check */
#define CHECK_LEN    (ID_LEN - CHECKED_LEN)
#define HMAC_LEN     32
#define MS_MAX	     ((UINT64_C(1) << 48) - 1)

/*
 * Fetching the algorithm and making a context costs more than ten checks do, and a context serves one thread at a
 * time: each thread keeps its own.
 */
static pthread_once_t hmac_once = PTHREAD_ONCE_INIT;
static pthread_key_t hmac_key;
static _Thread_local EVP_MAC_CTX *hmac;
static _Thread_local struct id_key hmac_of; /* the key that it has: setting one costs half a check */

static void hmac_free(void *ctx)
{
	EVP_MAC_CTX_free(ctx);
}

static void hmac_key_create(void)
{
	if (pthread_key_create(&hmac_key, hmac_free) != 0)
		abort();
}

static EVP_MAC_CTX *hmac_new(void)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	EVP_MAC_free(mac);
	pthread_once(&hmac_once, hmac_key_create);
	if (!ctx || !EVP_MAC_CTX_set_params(ctx, params) || pthread_setspecific(hmac_key, ctx) != 0)
		abort();
	return ctx;
}

static void check_of(const struct id *id, enum id_kind kind, struct slice tenant, const struct id_key *key,
	uint8_t check[CHECK_LEN])
{
	uint8_t kind_byte = (uint8_t)kind;
	uint8_t full[HMAC_LEN];
	bool has_key = hmac && memcmp(&hmac_of, key, sizeof hmac_of) == 0;
	size_t len;

	if (!hmac)
		hmac = hmac_new();
	hmac_of = *key;
	/* Only the tenant's length varies and it comes last, so no two inputs run together. */
	if (!EVP_MAC_init(hmac, has_key ? NULL : key->bytes, has_key ? 0 : ID_KEY_LEN, NULL) ||
		!EVP_MAC_update(hmac, &kind_byte, 1) || !EVP_MAC_update(hmac, id->bytes, CHECKED_LEN) ||
		!EVP_MAC_update(hmac, tenant.data, tenant.len) ||
		!EVP_MAC_final(hmac, full, &len, sizeof full))
		abort();
	memcpy(check, full, CHECK_LEN);
}

static void put_be(uint8_t *out, uint64_t number, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(number >> 8 * (len - 1 - i));
}

void id_minter_init(struct id_minter *m, const struct id_key *key, uint32_t random_prefix)
{
	*m = (struct id_minter){.key = *key, .prefix = random_prefix & ((UINT32_C(1) << PREFIX_BITS) - 1)};
}

static void advance(struct id_minter *m, uint64_t now_ms)
{
	if (now_ms > m->last_ms) {
		m->last_ms = now_ms & MS_MAX;
		m->counter = 0;
	} else if (m->counter < COUNTER_MAX) {
		m->counter++;
	} else {
		m->last_ms++;
		m->counter = 0;
	}
}

struct id id_mint(struct id_minter *m, enum id_kind kind, struct slice tenant, uint64_t now_ms)
{
	struct id id;

	advance(m, now_ms);
	put_be(id.bytes, m->last_ms, 6);
	put_be(id.bytes + 6, UINT32_C(0x7000) | m->prefix >> 12, 2);
	put_be(id.bytes + 8,
		UINT32_C(0x80000000) | (m->prefix & UINT32_C(0xfff)) << COUNTER_BITS | m->counter, 4);
	check_of(&id, kind, tenant, &m->key, id.bytes + CHECKED_LEN);
	return id;
}

static uint32_t get_be32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void id_minter_resume(struct id_minter *m, const struct id_key *key, const struct id *last)
{
	uint32_t low = get_be32(last->bytes + 8) & UINT32_C(0x3fffffff);
	uint32_t high = get_be32(last->bytes + 4) & UINT32_C(0xfff);

	*m = (struct id_minter){
		.key = *key,
		.prefix = high << (PREFIX_BITS / 2) | low >> COUNTER_BITS,
		.counter = low & COUNTER_MAX,
		.last_ms = id_time_ms(last),
	};
}

bool id_is_genuine(
	const struct id *id, enum id_kind kind, struct slice tenant, const struct id_key *keys, size_t n)
{
	bool genuine = false;

	for (size_t i = 0; i < n; i++) {
		uint8_t check[CHECK_LEN];

		check_of(id, kind, tenant, &keys[i], check);
		genuine |= CRYPTO_memcmp(check, id->bytes + CHECKED_LEN, CHECK_LEN) == 0;
	}
	return genuine;
}

uint64_t id_time_ms(const struct id *id)
{
	uint64_t ms = 0;

	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id->bytes[i];
	return ms;
}

bool id_is_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_LEN) == 0;
}

bool id_is_zero(const struct id *id)
{
	static const struct id zero;

	return id_is_equal(id, &zero);
}

static bool is_dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void id_format(const struct id *id, char text[ID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *at = text;

	for (size_t i = 0; i < ID_LEN; i++) {
		if (is_dash_before(i))
			*at++ = '-';
		*at++ = digits[id->bytes[i] >> 4];
		*at++ = digits[id->bytes[i] & 15];
	}
	*at = '\0';
}

static bool is_uuid_v7(const struct id *id)
{
	return id->bytes[6] >> 4 == 7 && id->bytes[8] >> 6 == 2;
}

int id_parse(struct slice text, struct id *out)
{
	const uint8_t *at = text.data;
	struct id id;

	if (text.len != ID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < ID_LEN; i++) {
		int high, low;

		if (is_dash_before(i) && *at++ != '-')
			return -EINVAL;
		high = hex_value(*at++);
		low = hex_value(*at++);
		if (high < 0 || low < 0)
			return -EINVAL;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (!is_uuid_v7(&id))
		return -EINVAL;
	*out = id;
	return 0;
}

int id_from_bytes(struct slice bytes, struct id *out)
{
	if (bytes.len != ID_LEN)
		return -EINVAL;
	memcpy(out->bytes, bytes.data, ID_LEN);
	return 0;
}
