#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/signature.h"

/* The example of the specification and of its libraries. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID     "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define BODY   "{\"test\": 2432232314}"
#define SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
enum { TIMESTAMP = 1614265330 };

#define OTHER_SECRET "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ED25519 \
	"whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define ED25519_PUBLIC "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

static struct signature_keys *keys_with(const char *first, const char *second, const char *ed25519)
{
	struct signature_keys *k;

	assert_int_equal(signature_keys_new(&k), 0);
	assert_true(signature_keys_is_empty(k));
	if (first)
		assert_int_equal(signature_add_secret(k, first), 0);
	if (second)
		assert_int_equal(signature_add_secret(k, second), 0);
	if (ed25519)
		assert_int_equal(signature_set_ed25519(k, ed25519), 0);
	assert_false(signature_keys_is_empty(k));
	return k;
}

static void sign(const struct signature_keys *k, const char *body, struct buf *out)
{
	buf_init(out, 4096);
	assert_int_equal(signature_append(k, slice_text(ID), TIMESTAMP, slice_text(body), out), 0);
}

static void the_specifications_example_comes_out(void **state)
{
	struct signature_keys *k = keys_with(SECRET, NULL, NULL);
	struct buf out;

	sign(k, BODY, &out);
	assert_string_equal(buf_text(&out), SIGNED);
	buf_done(&out);
	signature_keys_free(k);
}

static void every_secret_signs_in_order(void **state)
{
	struct signature_keys *k = keys_with(OTHER_SECRET, SECRET, NULL);
	struct buf out;
	char *space;

	sign(k, BODY, &out);
	space = strchr(buf_text(&out), ' ');
	assert_non_null(space);
	assert_string_equal(space + 1, SIGNED);
	assert_int_equal(strncmp(buf_text(&out), "v1,", 3), 0);
	buf_done(&out);
	signature_keys_free(k);
}

static void another_body_signs_otherwise(void **state)
{
	struct signature_keys *k = keys_with(SECRET, NULL, NULL);
	struct buf out;

	sign(k, BODY " ", &out);
	assert_string_not_equal(buf_text(&out), SIGNED);
	buf_done(&out);
	sign(k, "", &out);
	assert_int_equal(out.len, strlen(SIGNED));
	buf_done(&out);
	sign(k, BODY, &out);
	assert_string_equal(buf_text(&out), SIGNED);
	buf_done(&out);
	signature_keys_free(k);
}

/* By the public key alone, as a receiver has it. */
static bool verifies(const char *base64, struct slice text)
{
	uint8_t public_key[48], signature[96];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key;
	bool is_good;

	assert_int_equal(EVP_DecodeBlock(public_key, (const unsigned char *)ED25519_PUBLIC, 44), 33);
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
	assert_int_equal(EVP_DecodeBlock(signature, (const unsigned char *)base64, 88), 66);
	is_good = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestVerify(ctx, signature, 64, text.data, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return is_good;
}

static void an_ed25519_key_signs_beside_the_secrets(void **state)
{
	struct signature_keys *k = keys_with(SECRET, NULL, ED25519);
	struct buf out;
	const char *second;

	sign(k, BODY, &out);
	second = strstr(buf_text(&out), " v1a,");
	assert_non_null(second);
	assert_int_equal(strlen(second + 5), 88);
	assert_true(verifies(second + 5, slice_text(ID ".1614265330." BODY)));
	assert_false(verifies(second + 5, slice_text(ID ".1614265331." BODY)));
	buf_done(&out);
	signature_keys_free(k);
}

static void an_ed25519_key_can_be_shared_and_outlives_who_had_it_first(void **state)
{
	struct signature_keys *first = keys_with(OTHER_SECRET, NULL, ED25519),
			      *none = keys_with(SECRET, NULL, NULL);
	struct signature_keys *k = keys_with(SECRET, NULL, NULL);
	const char *second;
	struct buf out;

	signature_share_ed25519(k, first);
	signature_keys_free(first);
	sign(k, BODY, &out);
	second = strstr(buf_text(&out), " v1a,");
	assert_non_null(second);
	assert_true(verifies(second + 5, slice_text(ID ".1614265330." BODY)));
	assert_memory_equal(buf_text(&out), SIGNED, strlen(SIGNED));
	buf_done(&out);
	signature_share_ed25519(k, none);
	sign(k, BODY, &out);
	assert_string_equal(buf_text(&out), SIGNED);
	buf_done(&out);
	signature_keys_free(none);
	signature_keys_free(k);
}

static void a_seed_alone_is_a_key_too(void **state)
{
	struct signature_keys *whole = keys_with(NULL, NULL, ED25519);
	struct signature_keys *seed =
		keys_with(NULL, NULL, "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=");
	struct buf a, b;

	sign(whole, BODY, &a);
	sign(seed, BODY, &b);
	assert_string_equal(buf_text(&a), buf_text(&b));
	buf_done(&a);
	buf_done(&b);
	signature_keys_free(whole);
	signature_keys_free(seed);
}

static void what_is_no_key_is_refused(void **state)
{
	static const char *const secrets[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2L=LaSw",
		"whsec_====",
		"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
	static const char *const keys[] = {"", "whsk_", SECRET, "whsk_AAAA",
		"whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvw=="};
	struct signature_keys *k;

	assert_int_equal(signature_keys_new(&k), 0);
	for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
		if (signature_add_secret(k, secrets[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for a secret", secrets[i]);
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (signature_set_ed25519(k, keys[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for a key", keys[i]);
	assert_true(signature_keys_is_empty(k));
	signature_keys_free(k);
}

static void there_is_a_bound_on_secrets(void **state)
{
	struct signature_keys *k;

	assert_int_equal(signature_keys_new(&k), 0);
	for (int i = 0; i < SIGNATURE_SECRETS_MAX; i++)
		assert_int_equal(signature_add_secret(k, SECRET), 0);
	assert_int_equal(signature_add_secret(k, SECRET), -ENOSPC);
	signature_keys_free(k);
	signature_keys_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_specifications_example_comes_out),
		cmocka_unit_test(every_secret_signs_in_order),
		cmocka_unit_test(another_body_signs_otherwise),
		cmocka_unit_test(an_ed25519_key_signs_beside_the_secrets),
		cmocka_unit_test(an_ed25519_key_can_be_shared_and_outlives_who_had_it_first),
		cmocka_unit_test(a_seed_alone_is_a_key_too),
		cmocka_unit_test(what_is_no_key_is_refused),
		cmocka_unit_test(there_is_a_bound_on_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
