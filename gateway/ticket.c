#include "gateway/ticket.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum {
	EXPIRY_LEN = 6,
	MAC_LEN = 32,
	FIXED_LEN = EXPIRY_LEN + TICKET_RANDOM_LEN + ID_LEN,
	BYTES_MAX = FIXED_LEN + TICKET_TENANT_MAX + MAC_LEN,
	BLOCK_MAX = (BYTES_MAX + 2) / 3 * 4,
};
_Static_assert(BLOCK_MAX == TICKET_TEXT_MAX, "the longest ticket");
#define PURPOSE \
	"postback ticket v1" /* no kind of ids begins with a 'p': what is signed for the one is none of the other */

/* ---- signing ---- */

static int mac_with(const uint8_t *key, const void *data, size_t len, uint8_t mac[MAC_LEN])
{
	return HMAC(EVP_sha256(), key, MAC_LEN, data, len, mac, NULL) ? 0 : -ENOMEM;
}

static int sign(const struct id_key *key, const uint8_t *bytes, size_t len, uint8_t mac[MAC_LEN])
{
	uint8_t derived[MAC_LEN];
	int rc = mac_with(key->bytes, PURPOSE, sizeof PURPOSE - 1, derived);

	if (rc == 0)
		rc = mac_with(derived, bytes, len, mac);
	OPENSSL_cleanse(derived, sizeof derived);
	return rc;
}

/* ---- text ---- */

static char swapped(char c, const char *from, const char *to)
{
	const char *at = strchr(from, c);

	if (c && at)
		return to[at - from];
	return c;
}

static void to_url(const uint8_t *bytes, size_t len, char text[TICKET_TEXT_MAX + 1])
{
	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	text[(len * 4 + 2) / 3] = '\0';
	for (; *text; text++)
		*text = swapped(*text, "+/", "-_");
}

static bool block_of(struct slice text, char block[BLOCK_MAX + 1], size_t *block_len)
{
	size_t len = (text.len + 3) / 4 * 4;

	if (text.len == 0 || text.len > TICKET_TEXT_MAX || text.len % 4 == 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = (char)text.data[i];

		if (c == '+' || c == '/' || c == '=')
			return false;
		block[i] = swapped(c, "-_", "+/");
	}
	memset(block + text.len, '=', len - text.len);
	*block_len = len;
	return true;
}

/* The bytes behind it, or -EINVAL. One text only stands for them: no bits are left over. */
static int from_url(struct slice text, uint8_t bytes[BYTES_MAX])
{
	char block[BLOCK_MAX + 1], again[TICKET_TEXT_MAX + 1];
	uint8_t decoded[BYTES_MAX + 2];
	size_t block_len;
	int len;

	if (!block_of(text, block, &block_len))
		return -EINVAL;
	len = EVP_DecodeBlock(decoded, (const unsigned char *)block, (int)block_len);
	if (len < 0)
		return -EINVAL;
	len -= (int)(block_len - text.len);
	if (len <= FIXED_LEN + MAC_LEN || len > BYTES_MAX)
		return -EINVAL;
	to_url(decoded, (size_t)len, again);
	if (!slice_is_text(text, again))
		return -EINVAL;
	memcpy(bytes, decoded, (size_t)len);
	return len;
}

/* ---- tickets ---- */

static void put_expiry(int64_t ms, uint8_t *out)
{
	for (int i = 0; i < EXPIRY_LEN; i++)
		out[i] = (uint8_t)(ms >> (8 * (EXPIRY_LEN - 1 - i)));
}

static int64_t get_expiry(const uint8_t *in)
{
	int64_t ms = 0;

	for (int i = 0; i < EXPIRY_LEN; i++)
		ms = ms << 8 | in[i];
	return ms;
}

int ticket_write(const struct ticket *t, const uint8_t random[TICKET_RANDOM_LEN], const struct id_key *key,
	char text[TICKET_TEXT_MAX + 1])
{
	uint8_t bytes[BYTES_MAX];
	size_t tenant_len = strlen(t->tenant);
	size_t len = FIXED_LEN + tenant_len;
	int rc;

	if (tenant_len == 0 || tenant_len > TICKET_TENANT_MAX || t->expires_at_ms < 0 ||
		t->expires_at_ms >> (8 * EXPIRY_LEN))
		return -EINVAL;
	put_expiry(t->expires_at_ms, bytes);
	memcpy(bytes + EXPIRY_LEN, random, TICKET_RANDOM_LEN);
	memcpy(bytes + EXPIRY_LEN + TICKET_RANDOM_LEN, t->task.bytes, ID_LEN);
	memcpy(bytes + FIXED_LEN, t->tenant, tenant_len);
	rc = sign(key, bytes, len, bytes + len);
	if (rc == 0)
		to_url(bytes, len + MAC_LEN, text);
	return rc;
}

static int check_mac(const uint8_t *bytes, size_t len, const struct id_key *keys, size_t n)
{
	uint8_t mac[MAC_LEN];

	for (size_t i = 0; i < n; i++) {
		int rc = sign(&keys[i], bytes, len, mac);

		if (rc < 0)
			return rc;
		if (CRYPTO_memcmp(mac, bytes + len, MAC_LEN) == 0)
			return 0;
	}
	return -EINVAL;
}

int ticket_read(struct slice text, const struct id_key *keys, size_t n, int64_t now_ms, struct ticket *out)
{
	uint8_t bytes[BYTES_MAX];
	int len = from_url(text, bytes);
	size_t tenant_len;
	int rc;

	if (len < 0)
		return len;
	rc = check_mac(bytes, (size_t)len - MAC_LEN, keys, n);
	if (rc < 0)
		return rc;
	if (get_expiry(bytes) <= now_ms)
		return -ETIMEDOUT;
	tenant_len = (size_t)len - MAC_LEN - FIXED_LEN;
	*out = (struct ticket){.expires_at_ms = get_expiry(bytes)};
	memcpy(out->task.bytes, bytes + EXPIRY_LEN + TICKET_RANDOM_LEN, ID_LEN);
	memcpy(out->tenant, bytes + FIXED_LEN, tenant_len);
	return 0;
}
