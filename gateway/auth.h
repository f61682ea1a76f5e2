/*
 * Who calls: API keys as SHA-256 digests, compared in constant time against all of them. A key itself is never kept.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "base/slice.h"
#include "gateway/options.h"

struct auth;

#define AUTH_TENANT_DEFAULT "default"

/* Borrows: the options. 0, -ENOMEM, or -EINVAL for keys that gateway_options_check refuses. */
int auth_new(const struct gateway_auth *options, struct auth **out);
void auth_free(struct auth *a);

/* False: no key is needed, everybody is the tenant "default". */
bool auth_has_keys(const struct auth *a);
/*
 * The tenant of an Authorization field ("Bearer <key>", unset when there is none): an index below auth_tenants, or
 * -EACCES. Without keys it is 0 whatever the field says.
 */
int auth_check(const struct auth *a, struct slice authorization);
/* The index of a tenant by name, or -EACCES: none has a key (any more). */
int auth_find(const struct auth *a, const char *tenant);
size_t auth_tenants(const struct auth *a);
/* Borrows. */
const char *auth_tenant_name(const struct auth *a, size_t tenant);

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,63} */
bool tenant_is_valid(const char *name);
/* 64 hexadecimal digits into 32 bytes. 0 or -EINVAL. */
#define AUTH_DIGEST_LEN 32
int digest_parse(const char *hex, uint8_t digest[AUTH_DIGEST_LEN]);

#endif
