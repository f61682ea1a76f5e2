#include "gateway/auth.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/hex.h"

enum { TENANT_MAX = 64 };

struct key {
	uint8_t digest[AUTH_DIGEST_LEN];
	int tenant;
};

struct auth {
	struct key *keys;
	size_t keys_len;
	const char **tenants;
	size_t tenants_len;
};

int digest_parse(const char *hex, uint8_t digest[AUTH_DIGEST_LEN])
{
	return hex_decode(slice_text(hex), digest, AUTH_DIGEST_LEN);
}

bool tenant_is_valid(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!is_alnum && (i == 0 || !strchr("_.-", c)))
			return false;
	}
	return len > 0 && len <= TENANT_MAX;
}

static int add_tenant(struct auth *a, const char *name)
{
	int found = auth_find(a, name);

	if (found >= 0)
		return found;
	a->tenants[a->tenants_len] = name;
	return (int)a->tenants_len++;
}

static int add_keys(struct auth *a, const struct gateway_key *keys, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct key *k = &a->keys[i];

		if (!tenant_is_valid(keys[i].tenant) || digest_parse(keys[i].sha256, k->digest) < 0)
			return -EINVAL;
		k->tenant = add_tenant(a, keys[i].tenant);
		a->keys_len++;
	}
	return 0;
}

int auth_new(const struct gateway_auth *options, struct auth **out)
{
	size_t len = options->keys.len;
	struct auth *a = calloc(1, sizeof *a);
	int rc = -ENOMEM;

	if (!a)
		goto out;
	a->keys = calloc(len + 1, sizeof *a->keys);
	a->tenants = calloc(len + 1, sizeof *a->tenants);
	if (!a->keys || !a->tenants)
		goto out;
	rc = add_keys(a, options->keys.items, len);
	if (rc < 0)
		goto out;
	if (len == 0)
		add_tenant(a, AUTH_TENANT_DEFAULT);
	*out = a;
	a = NULL;
out:
	auth_free(a);
	return rc;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	free(a->keys);
	free(a->tenants);
	free(a);
}

bool auth_has_keys(const struct auth *a)
{
	return a->keys_len > 0;
}

/* What follows "Bearer "; unset: another scheme. */
static struct slice bearer(struct slice authorization)
{
	static const char scheme[] = "Bearer ";
	size_t len = sizeof scheme - 1;

	if (authorization.len <= len || strncasecmp((const char *)authorization.data, scheme, len) != 0)
		return (struct slice){0};
	while (len < authorization.len && authorization.data[len] == ' ')
		len++;
	return slice_of(authorization.data + len, authorization.len - len);
}

int auth_check(const struct auth *a, struct slice authorization)
{
	uint8_t digest[AUTH_DIGEST_LEN];
	struct slice key = bearer(authorization);
	int tenant = -EACCES;

	if (a->keys_len == 0)
		return 0;
	if (key.len == 0 || !EVP_Digest(key.data, key.len, digest, NULL, EVP_sha256(), NULL))
		return -EACCES;
	/* All of them, whichever matches: the time tells nothing of where. */
	for (size_t i = 0; i < a->keys_len; i++)
		if (CRYPTO_memcmp(digest, a->keys[i].digest, sizeof digest) == 0)
			tenant = a->keys[i].tenant;
	return tenant;
}

int auth_find(const struct auth *a, const char *tenant)
{
	for (size_t i = 0; i < a->tenants_len; i++)
		if (strcmp(a->tenants[i], tenant) == 0)
			return (int)i;
	return -EACCES;
}

size_t auth_tenants(const struct auth *a)
{
	return a->tenants_len;
}

const char *auth_tenant_name(const struct auth *a, size_t tenant)
{
	return a->tenants[tenant];
}
