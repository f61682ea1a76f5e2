#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "runtime/signing_key.h"

/* "whsec_" and the base64 of `len` bytes. */
static void make(size_t len, char text[256])
{
	uint8_t bytes[128];

	memset(bytes, 0xfb, sizeof bytes);
	memcpy(text, "whsec_", 6);
	EVP_EncodeBlock((unsigned char *)text + 6, bytes, (int)len);
}

static void secrets_of_24_to_64_bytes_are_valid(void **state)
{
	char text[256];

	for (size_t len = 1; len <= 96; len++) {
		bool expected = len >= SIGNING_SECRET_MIN && len <= SIGNING_KEY_MAX;

		make(len, text);
		if (signing_secret_is_valid(slice_text(text)) != expected)
			fail_msg("a secret of %zu bytes", len);
	}
}

static void every_length_comes_back(void **state)
{
	uint8_t bytes[SIGNING_KEY_MAX];
	char text[256];

	for (size_t len = 1; len <= SIGNING_KEY_MAX; len++) {
		size_t got = 0;

		make(len, text);
		assert_int_equal(signing_key_parse(slice_text(text), "whsec_", bytes, &got), 0);
		assert_int_equal(got, len);
		for (size_t i = 0; i < got; i++)
			assert_int_equal(bytes[i], 0xfb);
	}
}

static void every_prefix_but_those_of_full_groups_is_refused(void **state)
{
	char text[256];

	make(48, text);
	for (size_t len = 0; len < strlen(text); len++) {
		bool is_whole = len >= 6 + 32 && (len - 6) % 4 == 0;

		assert_int_equal(signing_secret_is_valid(slice_of(text, len)), is_whole);
	}
}

static void what_is_no_base64_is_refused(void **state)
{
	static const char *const wrong[] = {"", "whsec_", "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
		" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
		"whsec_=fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL===", "whsec_===="};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (signing_secret_is_valid(slice_text(wrong[i])))
			fail_msg("\"%s\" was taken for a secret", wrong[i]);
}

static void new_secrets_are_valid_and_differ(void **state)
{
	char first[SIGNING_SECRET_TEXT_MAX + 1], second[SIGNING_SECRET_TEXT_MAX + 1];

	signing_secret_make(first);
	signing_secret_make(second);
	assert_true(signing_secret_is_valid(slice_text(first)));
	assert_true(signing_secret_is_valid(slice_text(second)));
	assert_string_not_equal(first, second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_of_24_to_64_bytes_are_valid),
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(every_prefix_but_those_of_full_groups_is_refused),
		cmocka_unit_test(what_is_no_base64_is_refused),
		cmocka_unit_test(new_secrets_are_valid_and_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
