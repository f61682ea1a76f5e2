#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/auth.h"
#include "gateway/cors.h"
#include "gateway/http.h"
#include "runtime/listener.h"
#include "runtime/rate.h"

/* Of "one", "two" and "three". */
static char one[] = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
static char two[] = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
static char three[] = "8B5B9DB0C13DB24256C829AA364AA90C6D2EBA318B9232A4AB9313B954D3555F";
static char acme[] = "acme";
static char other[] = "other";
static struct gateway_key keys[] = {
	{.tenant = acme, .sha256 = one},
	{.tenant = other, .sha256 = two},
	{.tenant = acme, .sha256 = three},
};

static struct auth *new_auth(size_t len)
{
	struct gateway_auth options = {.keys = {keys, len}};
	struct auth *a;

	assert_int_equal(auth_new(&options, &a), 0);
	return a;
}

static const char *tenant(const struct auth *a, const char *authorization)
{
	int t = auth_check(a, slice_text(authorization));

	return t < 0 ? NULL : auth_tenant_name(a, (size_t)t);
}

static void every_key_opens_for_its_tenant(void **state)
{
	struct auth *a = new_auth(3);

	assert_int_equal(auth_tenants(a), 2);
	assert_string_equal(tenant(a, "Bearer one"), "acme");
	assert_string_equal(tenant(a, "Bearer two"), "other");
	assert_string_equal(tenant(a, "BEARER  three"), "acme");
	auth_free(a);
}

static void nothing_else_opens(void **state)
{
	static const char *const wrong[] = {NULL, "", "one", "Bearer", "Bearer ", "Bearer on", "Bearer one ",
		"Bearer four", "Basic one", "Bearerone"};
	struct auth *a = new_auth(3);

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_null(tenant(a, wrong[i]));
	auth_free(a);
}

static void without_keys_everybody_is_the_default_tenant(void **state)
{
	struct auth *a = new_auth(0);

	assert_false(auth_has_keys(a));
	assert_string_equal(tenant(a, NULL), "default");
	assert_string_equal(tenant(a, "Bearer x"), "default");
	auth_free(a);
}

static void tenants_and_digests_are_checked(void **state)
{
	uint8_t digest[AUTH_DIGEST_LEN];

	assert_true(tenant_is_valid("a"));
	assert_true(tenant_is_valid("A-b_c.9"));
	assert_false(tenant_is_valid(""));
	assert_false(tenant_is_valid(NULL));
	assert_false(tenant_is_valid("-a"));
	assert_false(tenant_is_valid("a/b"));
	assert_false(tenant_is_valid("12345678901234567890123456789012345678901234567890123456789012345"));
	assert_int_equal(digest_parse(keys[0].sha256, digest), 0);
	assert_int_equal(digest[0], 0x76);
	assert_int_equal(digest_parse("76", digest), -EINVAL);
	assert_int_equal(digest_parse(NULL, digest), -EINVAL);
}

static void a_bucket_gives_its_rate_and_no_more(void **state)
{
	struct rate r = {0};
	int64_t wait_ms;
	int given = 0;

	for (int64_t now = 1; now <= 10001; now += 10)
		given += rate_take(&r, 5, 1, now, &wait_ms);
	assert_in_range(given, 54, 56);
}

static void a_bucket_says_when_to_come_again(void **state)
{
	struct rate r = {0};
	int64_t wait_ms = 0;

	assert_true(rate_take(&r, 0.5, 1, 1000, &wait_ms));
	assert_false(rate_take(&r, 0.5, 1, 1000, &wait_ms));
	assert_int_equal(wait_ms, 2000);
	assert_false(rate_take(&r, 0.5, 1, 2999, &wait_ms));
	assert_int_equal(wait_ms, 1);
	assert_true(rate_take(&r, 0.5, 1, 3000, &wait_ms));
}

static void what_is_taken_at_once_is_owed(void **state)
{
	struct rate r = {0};
	int64_t wait_ms;

	assert_true(rate_take(&r, 10, 100, 1, &wait_ms));
	assert_false(rate_take(&r, 10, 1, 2, &wait_ms));
	assert_in_range(wait_ms, 9000, 9200);
	assert_true(rate_take(&r, 10, 1, 9200, &wait_ms));
}

static void loopback_names_are_known(void **state)
{
	static const char *const here[] = {"localhost", "LocalHost:1", "localhost.", "127.0.0.1",
		"127.255.255.255:80", "[::1]", "[::1]:80"};
	static const char *const elsewhere[] = {"", ":80", "localhost.example", "127.0.0.1.example",
		"0.0.0.0", "10.0.0.1", "[::]", "[::ffff:10.0.0.1]", "0x7f.1", "2130706433", "[]"};

	for (size_t i = 0; i < sizeof here / sizeof *here; i++)
		assert_true(host_is_loopback(slice_text(here[i])));
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
		assert_false(host_is_loopback(slice_text(elsewhere[i])));
	assert_true(origin_is_loopback(slice_text("http://localhost:3000")));
	assert_false(origin_is_loopback(slice_text("null")));
	assert_false(origin_is_loopback(slice_text("ftp://localhost")));
	assert_false(origin_is_loopback(slice_text("http://localhost.example")));
}

static void origins_are_allowed_by_name(void **state)
{
	char a[] = "https://a.example", b[] = "http://b.example:8080", star[] = "*";
	char *items[] = {a, b};
	char *any[] = {star};
	struct gateway_cors named = {.origins = {items, 2}}, all = {.origins = {any, 1}}, none = {0};

	assert_true(cors_allows(&named, slice_text("https://A.example")));
	assert_true(cors_allows(&named, slice_text("http://b.example:8080")));
	assert_false(cors_allows(&named, slice_text("http://b.example")));
	assert_false(cors_allows(&named, slice_text("https://a.example.evil")));
	assert_true(cors_allows(&all, slice_text("https://x")));
	assert_false(cors_allows(&none, slice_text("https://x")));
	assert_true(cors_origin_is_valid("*"));
	assert_true(cors_origin_is_valid("https://a:1"));
	assert_false(cors_origin_is_valid("https://a/"));
	assert_false(cors_origin_is_valid("a.example"));
	assert_false(cors_origin_is_valid("https://"));
}

static void listen_addresses_are_split(void **state)
{
	static const char *const wrong[] = {"", ":", "a", "a:", "a:b", "a:-1", "a:65536", "::1:80", "[::1]",
		"[]:80", "a b:80", "a/b:80", "127.0.0.1:80x", "a:000080"};
	char host[LISTEN_HOST_MAX];
	unsigned port;

	assert_int_equal(listen_parse("[::1]:0", host, &port), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 0);
	assert_int_equal(listen_parse("localhost:65535", host, &port), 0);
	assert_string_equal(host, "localhost");
	assert_int_equal(port, 65535);
	assert_int_equal(listen_parse(":80", host, &port), 0);
	assert_string_equal(host, "");
	assert_int_equal(port, 80);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(listen_parse(wrong[i], host, &port), -EINVAL);
}

static void request_ids_are_sane(void **state)
{
	char id[REQUEST_ID_LEN + 1];

	request_id_make(id);
	assert_int_equal(strlen(id), REQUEST_ID_LEN);
	assert_true(request_id_is_sane(slice_text(id)));
	assert_false(request_id_is_sane(slice_text("")));
	assert_false(request_id_is_sane(slice_text("a b")));
	assert_false(request_id_is_sane(slice_text("a\"b")));
	assert_false(request_id_is_sane(slice_of("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_opens_for_its_tenant),
		cmocka_unit_test(nothing_else_opens),
		cmocka_unit_test(without_keys_everybody_is_the_default_tenant),
		cmocka_unit_test(tenants_and_digests_are_checked),
		cmocka_unit_test(a_bucket_gives_its_rate_and_no_more),
		cmocka_unit_test(a_bucket_says_when_to_come_again),
		cmocka_unit_test(what_is_taken_at_once_is_owed),
		cmocka_unit_test(loopback_names_are_known),
		cmocka_unit_test(origins_are_allowed_by_name),
		cmocka_unit_test(listen_addresses_are_split),
		cmocka_unit_test(request_ids_are_sane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
