#include <errno.h>
#include <stdio.h>

#include "notifier/options.h"
#include "notifier/signature.h"
#include "runtime/address.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static int try_key(const char *text, int (*add)(struct signature_keys *k, const char *text))
{
	struct signature_keys *k;
	int rc = signature_keys_new(&k);

	if (rc < 0)
		return rc;
	rc = add(k, text);
	signature_keys_free(k);
	return rc;
}

static int check_secret(const void *value, char *why, size_t why_len)
{
	int rc = try_key(*(char *const *)value, signature_add_secret);

	if (rc == -EINVAL)
		snprintf(why, why_len, "must be whsec_ and the base64 of 24 to 64 random bytes");
	return rc;
}

static int check_secrets(const struct option_list *secrets, char *why, size_t why_len)
{
	if (secrets->len <= SIGNATURE_SECRETS_MAX)
		return 0;
	snprintf(why, why_len, "has more than %d secrets", SIGNATURE_SECRETS_MAX);
	return -EINVAL;
}

static int check_tenant(const void *value, char *why, size_t why_len)
{
	const struct webhook_tenant *tenant = value;

	return check_secrets(&tenant->secrets, why, why_len);
}

static bool is_any_keyless(const struct webhook_options *o)
{
	const struct webhook_tenant *tenants = o->tenants.items;

	for (size_t i = 0; i < o->tenants.len; i++)
		if (tenants[i].secrets.len == 0 && !*o->signing_key)
			return true;
	return false;
}

int webhook_options_check(const void *value, char *why, size_t why_len)
{
	const struct webhook_options *o = value;
	const char *what = NULL;

	if (options_has_twice(&o->tenants, sizeof(struct webhook_tenant)))
		what = "names a tenant twice: all its secrets stand in one list";
	else if (is_any_keyless(o))
		what = "names a tenant without secrets, whose messages nothing would sign: leave it out and the general ones do";
	if (!what)
		return check_secrets(&o->secrets, why, why_len);
	snprintf(why, why_len, "%s", what);
	return -EINVAL;
}

static int check_signing_key(const void *value, char *why, size_t why_len)
{
	const char *text = *(char *const *)value;
	int rc = *text ? try_key(text, signature_set_ed25519) : 0;

	if (rc == -EINVAL)
		snprintf(why, why_len, "must be whsk_ and the base64 of an ed25519 private key");
	return rc;
}

static int check_allow(const void *value, char *why, size_t why_len)
{
	const struct option_strings *allow = value;
	struct address_range ignored;

	for (size_t i = 0; i < allow->len; i++) {
		if (address_range_parse(allow->items[i], &ignored) == 0)
			continue;
		snprintf(why, why_len, "entry %zu is no range of addresses like 10.0.0.0/8 or fd00::/8", i);
		return -EINVAL;
	}
	return 0;
}

static const struct option secret_table[] = {
	{.name = "secret",
		.type = OPTION_SECRET,
		.offset = offsetof(struct webhook_secret, secret),
		.required = true,
		.check = check_secret,
		.help = "whsec_ and the base64 of 24 to 64 random bytes."},
	{0},
};

static const struct option tenant_table[] = {
	{.name = "tenant",
		.type = OPTION_STRING,
		.offset = offsetof(struct webhook_tenant, tenant),
		.required = true,
		.help = "The tenant."},
	{.name = "secrets",
		.type = OPTION_LIST,
		.offset = offsetof(struct webhook_tenant, secrets),
		.fields = secret_table,
		.item_size = sizeof(struct webhook_secret),
		.scalar_field = "secret",
		.help = "Its secrets, instead of the general ones."},
	{0},
};

static const struct option circuit_table[] = {
	{.name = "failures",
		.type = OPTION_INT,
		.offset = offsetof(struct webhook_circuit, failures),
		.fallback = "5",
		.min = 1,
		.max = 1000000,
		.help = "Calls in a row without any answer after which a host is left alone."},
	{.name = "open",
		.type = OPTION_DURATION,
		.offset = offsetof(struct webhook_circuit, open_ms),
		.fallback = "5s",
		.min = 1,
		.max = HOUR,
		.help = "For how long, before one delivery tries it; doubles while that fails."},
	{.name = "open_max",
		.type = OPTION_DURATION,
		.offset = offsetof(struct webhook_circuit, open_max_ms),
		.fallback = "60s",
		.min = 1,
		.max = HOUR,
		.help = "The longest such time."},
	{0},
};

const struct option webhook_option_table[] = {
	{.name = "secrets",
		.type = OPTION_LIST,
		.offset = offsetof(struct webhook_options, secrets),
		.fields = secret_table,
		.item_size = sizeof(struct webhook_secret),
		.scalar_field = "secret",
		.help = "What messages are signed with, each a text or {secret_file: PATH}; while they are rotated the new "
			"and the old one. Without any, and without a signing_key, no webhook is sent."},
	{.name = "tenants",
		.type = OPTION_LIST,
		.offset = offsetof(struct webhook_options, tenants),
		.fields = tenant_table,
		.item_size = sizeof(struct webhook_tenant),
		.check = check_tenant,
		.help = "Tenants with secrets of their own."},
	{.name = "signing_key",
		.type = OPTION_SECRET,
		.offset = offsetof(struct webhook_options, signing_key),
		.fallback = "",
		.check = check_signing_key,
		.help = "whsk_ and the base64 of an ed25519 private key: every message is signed with it, too (v1a)."},
	{.name = "allow",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct webhook_options, allow),
		.check = check_allow,
		.help = "Ranges of addresses that may be called though they are not public, as 10.0.0.0/8."},
	{.name = "schedule",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct webhook_options, schedule),
		.fallback = "[0s, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h]",
		.check = options_check_schedule,
		.help = "Wait before the first attempt and after each that failed, +-20 %; one for each attempt."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		.offset = offsetof(struct webhook_options, timeout_ms),
		.fallback = "20s",
		.min = 1,
		.max = 40 * SECOND,
		.help = "For one attempt, from looking the name up to the end of the answer."},
	{.name = "concurrency",
		.type = OPTION_INT,
		.offset = offsetof(struct webhook_options, concurrency),
		.fallback = "1000",
		.min = 1,
		.max = 10000,
		.help = "Calls at the same time."},
	{.name = "host_concurrency",
		.type = OPTION_INT,
		.offset = offsetof(struct webhook_options, host_concurrency),
		.fallback = "32",
		.min = 1,
		.max = 10000,
		.help = "Calls to one host (scheme, name and port) at the same time."},
	{.name = "circuit",
		.type = OPTION_SECTION,
		.offset = offsetof(struct webhook_options, circuit),
		.fields = circuit_table,
		.help = "When a host that does not answer is left alone. No delivery lives longer by it or dies sooner than "
			"its schedule says."},
	{.name = "disable_after",
		.type = OPTION_DURATION,
		.offset = offsetof(struct webhook_options, disable_after_ms),
		.fallback = "5d",
		.min = 0,
		.max = (int64_t)365 * 24 * HOUR,
		.help = "A registered endpoint is disabled when every attempt has failed for so long; 0: only when it "
			"answers 410."},
	{.name = "cloudevents",
		.type = OPTION_BOOL,
		.offset = offsetof(struct webhook_options, cloudevents),
		.fallback = "false",
		.help = "Adds the headers of CloudEvents 1.0, binary mode."},
	{.name = "proxy",
		.type = OPTION_SECRET,
		.offset = offsetof(struct webhook_options, proxy),
		.fallback = "",
		.check = options_check_proxy,
		.help = "URL of a proxy for all calls, as http://proxy.example.com:3128. It then sees to which addresses may be called: `allow` does not apply."},
	{.name = "ca_file",
		.type = OPTION_STRING,
		.offset = offsetof(struct webhook_options, ca_file),
		.fallback = "",
		.check = options_check_ca_file,
		.help = "Certificates to trust, PEM; empty: the system's."},
	{0},
};
