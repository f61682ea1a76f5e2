#include "notifier/signature.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "runtime/signing_key.h"

enum {
	SEED_LEN = 32,
	DIGEST_LEN = 32,
	ED25519_LEN = 64,
};

struct signature_keys {
	EVP_MAC *mac;
	EVP_MAC_CTX *secrets[SIGNATURE_SECRETS_MAX]; /* each with its key, ready to be begun again */
	size_t len;
	EVP_PKEY *ed25519;
};

int signature_keys_new(struct signature_keys **out)
{
	struct signature_keys *k = calloc(1, sizeof *k);

	if (!k)
		return -ENOMEM;
	k->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (!k->mac) {
		signature_keys_free(k);
		return -ENOMEM;
	}
	*out = k;
	return 0;
}

void signature_keys_free(struct signature_keys *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->len; i++)
		EVP_MAC_CTX_free(k->secrets[i]);
	EVP_MAC_free(k->mac);
	EVP_PKEY_free(k->ed25519);
	free(k);
}

bool signature_keys_is_empty(const struct signature_keys *k)
{
	return k->len == 0 && !k->ed25519;
}

/* ---- keys from text ---- */

static int make_hmac(EVP_MAC *mac, const uint8_t *key, size_t len, EVP_MAC_CTX **out)
{
	char digest_name[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", digest_name, 0), OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	if (!ctx || EVP_MAC_init(ctx, key, len, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		return -ENOMEM;
	}
	*out = ctx;
	return 0;
}

int signature_add_secret(struct signature_keys *k, const char *text)
{
	uint8_t bytes[SIGNING_KEY_MAX];
	size_t len = 0;
	int rc = signing_key_parse(slice_text(text), SIGNING_SECRET_PREFIX, bytes, &len);

	if (rc == 0 && len < SIGNING_SECRET_MIN)
		rc = -EINVAL;
	if (rc == 0 && k->len == SIGNATURE_SECRETS_MAX)
		rc = -ENOSPC;
	if (rc == 0)
		rc = make_hmac(k->mac, bytes, len, &k->secrets[k->len]);
	if (rc == 0)
		k->len++;
	explicit_bzero(bytes, sizeof bytes);
	return rc;
}

static bool has_public_key(EVP_PKEY *key, const uint8_t *expected)
{
	uint8_t bytes[SEED_LEN];
	size_t len = sizeof bytes;

	return EVP_PKEY_get_raw_public_key(key, bytes, &len) == 1 && len == SEED_LEN &&
	       memcmp(bytes, expected, SEED_LEN) == 0;
}

static int make_ed25519(const uint8_t *bytes, size_t len, EVP_PKEY **out)
{
	EVP_PKEY *key;

	if (len != SEED_LEN && len != 2 * SEED_LEN)
		return -EINVAL;
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, SEED_LEN);
	if (!key)
		return -ENOMEM;
	if (len == 2 * SEED_LEN && !has_public_key(key, bytes + SEED_LEN)) {
		EVP_PKEY_free(key);
		return -EINVAL;
	}
	*out = key;
	return 0;
}

int signature_set_ed25519(struct signature_keys *k, const char *text)
{
	uint8_t bytes[SIGNING_KEY_MAX];
	EVP_PKEY *key = NULL;
	size_t len = 0;
	int rc = signing_key_parse(slice_text(text), "whsk_", bytes, &len);

	if (rc == 0)
		rc = make_ed25519(bytes, len, &key);
	explicit_bzero(bytes, sizeof bytes);
	if (rc < 0)
		return rc;
	EVP_PKEY_free(k->ed25519);
	k->ed25519 = key;
	return 0;
}

void signature_share_ed25519(struct signature_keys *k, const struct signature_keys *from)
{
	if (from->ed25519)
		EVP_PKEY_up_ref(from->ed25519);
	EVP_PKEY_free(k->ed25519);
	k->ed25519 = from->ed25519;
}

/* ---- signing ---- */

static int append_signature(struct buf *out, const char *version, const uint8_t *bytes, size_t len)
{
	char text[4 * ((ED25519_LEN + 2) / 3) + 1];

	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	if (out->len > 0)
		buf_append_byte(out, ' ');
	buf_append_text(out, version);
	buf_append_byte(out, ',');
	return buf_append_text(out, text);
}

/* Begun again without a key it keeps its own, already hashed. */
static int append_hmac(EVP_MAC_CTX *secret, struct slice signed_text, struct slice body, struct buf *out)
{
	uint8_t digest[DIGEST_LEN];
	size_t len;
	bool is_good = EVP_MAC_init(secret, NULL, 0, NULL) == 1 &&
		       EVP_MAC_update(secret, signed_text.data, signed_text.len) == 1 &&
		       EVP_MAC_update(secret, body.data, body.len) == 1 &&
		       EVP_MAC_final(secret, digest, &len, sizeof digest) == 1;

	return is_good ? append_signature(out, "v1", digest, len) : -ENOMEM;
}

static int append_ed25519(
	const struct signature_keys *k, struct slice signed_text, struct slice body, struct buf *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[ED25519_LEN];
	size_t len = sizeof signature;
	struct buf whole; /* ed25519 knows no pieces */
	bool is_good;

	buf_init(&whole, signed_text.len + body.len);
	buf_append_slice(&whole, signed_text);
	buf_append_slice(&whole, body);
	is_good = ctx && !whole.error && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->ed25519) == 1 &&
		  EVP_DigestSign(ctx, signature, &len, whole.data, whole.len) == 1;
	EVP_MD_CTX_free(ctx);
	buf_done(&whole);
	return is_good ? append_signature(out, "v1a", signature, len) : -ENOMEM;
}

int signature_append(const struct signature_keys *k, struct slice id, int64_t timestamp_s, struct slice body,
	struct buf *out)
{
	struct buf head;
	int rc;

	buf_init(&head, id.len + 32);
	buf_append_slice(&head, id);
	rc = buf_printf(&head, ".%" PRId64 ".", timestamp_s);
	for (size_t i = 0; i < k->len && rc == 0; i++)
		rc = append_hmac(k->secrets[i], buf_slice(&head), body, out);
	if (rc == 0 && k->ed25519)
		rc = append_ed25519(k, buf_slice(&head), body, out);
	buf_done(&head);
	return rc;
}
