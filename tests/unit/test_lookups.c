#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/lookups.h"

static struct lookup of(const char *host, uint32_t party)
{
	return lookup_of(slice_text(host), party);
}

/* Adds as many as there is room for. */
static size_t fill(struct lookups *l, const char *host, uint32_t party)
{
	struct lookup one = of(host, party);
	size_t added = 0;

	while (lookups_has_room(l, &one)) {
		lookups_add(l, &one);
		added++;
	}
	return added;
}

static size_t fill_domains(struct lookups *l, uint32_t party)
{
	size_t added = 0;

	for (int i = 0; i < LOOKUPS_MAX; i++) {
		char host[32];

		snprintf(host, sizeof host, "x.hung%d.test", i);
		added += fill(l, host, party);
	}
	return added;
}

static void a_domain_has_its_share_whatever_its_names(void **state)
{
	static const char *const same[] = {
		"evil.test", "a.evil.test", "b.a.evil.test", "A.EVIL.Test", "a.evil.test."};
	static const char *const others[] = {"evil.example", "test", "other.test", "eevil.test", ""};
	struct lookups l = {0};

	assert_int_equal(fill(&l, "x.evil.test", 0), LOOKUPS_DOMAIN_MAX);
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		struct lookup one = of(same[i], (uint32_t)i);

		assert_false(lookups_has_room(&l, &one));
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct lookup one = of(others[i], (uint32_t)i);

		assert_true(lookups_has_room(&l, &one));
	}
}

static void a_party_with_many_domains_leaves_room_for_others(void **state)
{
	struct lookups l = {0};

	assert_int_equal(fill_domains(&l, 7), LOOKUPS_PARTY_MAX);
	assert_int_equal(fill(&l, "good.test", 7), 0);
	assert_int_equal(fill(&l, "good.test", 8), LOOKUPS_MAX - LOOKUPS_PARTY_MAX);
	assert_int_equal(fill(&l, "better.test", 9), 0);
}

static void nobody_in_particular_may_have_them_all(void **state)
{
	struct lookups l = {0};

	assert_int_equal(fill_domains(&l, 0), LOOKUPS_MAX);
}

static void what_has_ended_makes_room_for_its_like(void **state)
{
	struct lookups l = {0};
	struct lookup evil = of("evil.test", 1), good = of("good.test", 2);

	lookups_add(&l, &good);
	assert_int_equal(fill(&l, "evil.test", 1), LOOKUPS_DOMAIN_MAX);
	lookups_remove(&l, &good);
	assert_false(lookups_has_room(&l, &evil));
	lookups_remove(&l, &evil);
	assert_true(lookups_has_room(&l, &evil));
	assert_int_equal(l.len, LOOKUPS_DOMAIN_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_has_its_share_whatever_its_names),
		cmocka_unit_test(a_party_with_many_domains_leaves_room_for_others),
		cmocka_unit_test(nobody_in_particular_may_have_them_all),
		cmocka_unit_test(what_has_ended_makes_room_for_its_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
