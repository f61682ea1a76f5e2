#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>

#include "proto/id.h"

#define NOW UINT64_C(1700000000000)

static const struct id_key key = {{1, 2, 3}};
static const struct id_key other_key = {{1, 2, 4}};

static struct id minted(enum id_kind kind, const char *tenant)
{
	struct id_minter m;

	id_minter_init(&m, &key, 0xabcdef);
	return id_mint(&m, kind, slice_text(tenant), NOW);
}

static bool is_genuine(const struct id *id, enum id_kind kind, const char *tenant)
{
	return id_is_genuine(id, kind, slice_text(tenant), &key, 1);
}

static int compare(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_LEN);
}

/* The check was computed with Python's hmac and hashlib from the layout in the header. */
static void an_id_has_the_layout_of_its_manual(void **state)
{
	struct id_minter m;
	char text[ID_TEXT_LEN + 1];
	struct id_key ascending;
	struct id id;

	for (unsigned i = 0; i < ID_KEY_LEN; i++)
		ascending.bytes[i] = (uint8_t)i;
	id_minter_init(&m, &ascending, 0xff123456);
	id_mint(&m, ID_TASK, slice_text("acme"), NOW);
	id = id_mint(&m, ID_TASK, slice_text("acme"), NOW);
	id_format(&id, text);
	assert_string_equal(text, "018bcfe5-6800-7123-9158-000113af7ccc");
}

static void ids_of_one_minter_strictly_increase(void **state)
{
	static const uint64_t clock[] = {NOW, NOW, NOW + 1, NOW + 1, NOW - 5000, NOW, NOW + 2, 0};
	struct id_minter m;
	struct id last = {{0}};

	id_minter_init(&m, &key, 7);
	for (size_t i = 0; i < sizeof clock / sizeof *clock; i++) {
		struct id id = id_mint(&m, ID_TASK, slice_text("t"), clock[i]);

		assert_true(compare(&last, &id) < 0);
		last = id;
	}
}

static void a_full_counter_borrows_the_next_millisecond(void **state)
{
	struct id_minter m;
	struct id last = {{0}};

	id_minter_init(&m, &key, 7);
	m.last_ms = NOW;
	m.counter = (1 << 18) - 3;
	for (int i = 0; i < 6; i++) {
		struct id id = id_mint(&m, ID_TASK, slice_text("t"), NOW);

		assert_true(compare(&last, &id) < 0);
		assert_int_equal(id_time_ms(&id), i < 2 ? NOW : NOW + 1);
		last = id;
	}
}

static void an_id_tells_when_it_was_minted(void **state)
{
	struct id id = minted(ID_TASK, "acme");

	assert_int_equal(id_time_ms(&id), NOW);
}

static void a_minted_id_is_genuine(void **state)
{
	struct id id = minted(ID_TASK, "acme");

	assert_true(is_genuine(&id, ID_TASK, "acme"));
}

static void an_id_of_another_kind_tenant_or_key_is_not_genuine(void **state)
{
	static const enum id_kind kinds[] = {ID_BATCH, ID_DELIVERY, ID_ENDPOINT, ID_SCHEDULE};
	static const char *const tenants[] = {"", "acm", "acmee", "Acme", "default"};
	struct id id = minted(ID_TASK, "acme");

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		assert_false(is_genuine(&id, kinds[i], "acme"));
	for (size_t i = 0; i < sizeof tenants / sizeof *tenants; i++)
		assert_false(is_genuine(&id, ID_TASK, tenants[i]));
	assert_false(id_is_genuine(&id, ID_TASK, slice_text("acme"), &other_key, 1));
}

static void every_flipped_bit_is_noticed(void **state)
{
	for (size_t bit = 0; bit < 8 * ID_LEN; bit++) {
		struct id id = minted(ID_TASK, "acme");

		id.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(is_genuine(&id, ID_TASK, "acme"));
	}
}

static void a_retired_key_still_verifies(void **state)
{
	const struct id_key keys[] = {other_key, key};
	struct id id = minted(ID_TASK, "acme");

	assert_true(id_is_genuine(&id, ID_TASK, slice_text("acme"), keys, 2));
	assert_false(id_is_genuine(&id, ID_TASK, slice_text("acme"), keys, 1));
	assert_false(id_is_genuine(&id, ID_TASK, slice_text("acme"), keys, 0));
}

static void a_tenant_may_be_longer_than_a_block_of_the_hash(void **state)
{
	char tenant[256] = {0};
	struct id id;

	memset(tenant, 'x', sizeof tenant - 1);
	id = minted(ID_TASK, tenant);
	assert_true(is_genuine(&id, ID_TASK, tenant));
	tenant[sizeof tenant - 2] = 'y';
	assert_false(is_genuine(&id, ID_TASK, tenant));
}

static void two_minters_of_other_prefixes_share_no_id(void **state)
{
	struct id_minter a, b;

	id_minter_init(&a, &key, 1);
	id_minter_init(&b, &key, 2);
	for (int i = 0; i < 1000; i++) {
		struct id x = id_mint(&a, ID_TASK, slice_text("t"), NOW);
		struct id y = id_mint(&b, ID_TASK, slice_text("t"), NOW);

		assert_false(id_is_equal(&x, &y));
	}
}

static void text_parses_back_in_either_case(void **state)
{
	struct id id = minted(ID_TASK, "acme");
	char text[ID_TEXT_LEN + 1];
	struct id parsed;

	id_format(&id, text);
	assert_int_equal(strlen(text), ID_TEXT_LEN);
	assert_int_equal(id_parse(slice_text(text), &parsed), 0);
	assert_true(id_is_equal(&id, &parsed));
	for (char *c = text; *c; c++) {
		if (*c >= 'a' && *c <= 'f')
			*c = (char)(*c - 'a' + 'A');
	}
	assert_int_equal(id_parse(slice_text(text), &parsed), 0);
	assert_true(id_is_equal(&id, &parsed));
}

/* Byte values are tried one by one against the characters that a UUID allows at each place. */
static void only_the_text_of_a_version_7_uuid_parses(void **state)
{
	static const char good[] = "018bcfe5-6800-7abc-b0e4-00000b5eee8c";
	struct id parsed;

	for (size_t at = 0; at < ID_TEXT_LEN; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			const char *allowed = good[at] == '-' ? "-" : "0123456789abcdefABCDEF";
			char text[sizeof good];
			bool is_allowed;

			if (at == 14)
				allowed = "7";
			if (at == 19)
				allowed = "89abAB";
			memcpy(text, good, sizeof good);
			text[at] = (char)byte;
			is_allowed = byte != 0 && strchr(allowed, (int)byte);
			assert_int_equal(
				id_parse(slice_of(text, ID_TEXT_LEN), &parsed), is_allowed ? 0 : -EINVAL);
		}
	}
}

static void text_of_another_length_is_refused(void **state)
{
	static const char good[] = "018bcfe5-6800-7abc-b0e4-00000b5eee8c0";
	struct id parsed;

	for (size_t len = 0; len < sizeof good; len++)
		assert_int_equal(id_parse(slice_of(good, len), &parsed), len == ID_TEXT_LEN ? 0 : -EINVAL);
}

static void sixteen_bytes_make_an_id_and_no_other_number(void **state)
{
	static const uint8_t bytes[20] = {9, 8, 7};
	struct id id;

	for (size_t len = 0; len < sizeof bytes; len++)
		assert_int_equal(id_from_bytes(slice_of(bytes, len), &id), len == ID_LEN ? 0 : -EINVAL);
	assert_memory_equal(id.bytes, bytes, ID_LEN);
}

static void zero_is_no_id(void **state)
{
	struct id id = {{0}};

	assert_true(id_is_zero(&id));
	id.bytes[15] = 1;
	assert_false(id_is_zero(&id));
}

static void *verify(void *id)
{
	bool genuine = true;

	for (int i = 0; i < 200; i++)
		genuine &= is_genuine(id, ID_TASK, "acme");
	return genuine ? id : NULL;
}

static void threads_verify_side_by_side(void **state)
{
	struct id id = minted(ID_TASK, "acme");
	pthread_t threads[4];
	void *outcome;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify, &id), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &outcome), 0);
		assert_non_null(outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_has_the_layout_of_its_manual),
		cmocka_unit_test(ids_of_one_minter_strictly_increase),
		cmocka_unit_test(a_full_counter_borrows_the_next_millisecond),
		cmocka_unit_test(an_id_tells_when_it_was_minted),
		cmocka_unit_test(a_minted_id_is_genuine),
		cmocka_unit_test(an_id_of_another_kind_tenant_or_key_is_not_genuine),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(a_retired_key_still_verifies),
		cmocka_unit_test(a_tenant_may_be_longer_than_a_block_of_the_hash),
		cmocka_unit_test(two_minters_of_other_prefixes_share_no_id),
		cmocka_unit_test(text_parses_back_in_either_case),
		cmocka_unit_test(only_the_text_of_a_version_7_uuid_parses),
		cmocka_unit_test(text_of_another_length_is_refused),
		cmocka_unit_test(sixteen_bytes_make_an_id_and_no_other_number),
		cmocka_unit_test(zero_is_no_id),
		cmocka_unit_test(threads_verify_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
