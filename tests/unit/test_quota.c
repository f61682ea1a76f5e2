#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/quota.h"

enum { MINUTE = 60000 };

static const struct slice acme = {(const uint8_t *)"acme", 4};
static const struct slice other = {(const uint8_t *)"other", 5};

static struct quota *make(double per_minute)
{
	struct quota *q;

	assert_int_equal(quota_new(per_minute, &q), 0);
	return q;
}

static void without_a_limit_all_pass(void **state)
{
	struct quota *q = make(0);
	int64_t wait_ms;

	for (int i = 0; i < 10000; i++)
		assert_true(quota_take(q, acme, 1, &wait_ms));
	quota_free(q);
}

static void each_tenant_has_its_own(void **state)
{
	struct quota *q = make(6);
	int64_t wait_ms;

	assert_true(quota_take(q, acme, 1, &wait_ms));
	assert_false(quota_take(q, acme, 1, &wait_ms));
	assert_true(quota_take(q, other, 1, &wait_ms));
	assert_true(quota_take(q, slice_of(NULL, 0), 1, &wait_ms));
	quota_free(q);
}

static void what_is_put_off_comes_one_by_one_and_each_finds_its_turn(void **state)
{
	struct quota *q = make(60);
	int64_t at_ms[20], wait_ms;

	assert_true(quota_take(q, acme, 1000, &wait_ms));
	for (size_t i = 0; i < 20; i++) {
		assert_false(quota_take(q, acme, 1000, &wait_ms));
		at_ms[i] = 1000 + wait_ms;
		assert_int_equal(wait_ms, 1000 * (i + 1));
	}
	for (size_t i = 0; i < 20; i++)
		assert_true(quota_take(q, acme, at_ms[i], &wait_ms));
	quota_free(q);
}

static void the_rate_is_kept_however_often_it_is_asked(void **state)
{
	struct quota *q = make(120);
	int64_t wait_ms = 0;
	int sent = 0;

	for (int64_t now_ms = 1; now_ms <= 10 * MINUTE; now_ms += 7)
		sent += quota_take(q, acme, now_ms, &wait_ms);
	assert_in_range(sent, 10 * 120 - 1, 10 * 120 + 2);
	quota_free(q);
}

static void nothing_waits_longer_than_its_bound(void **state)
{
	struct quota *q = make(0.5);
	int64_t wait_ms;

	for (int i = 0; i < 1000; i++)
		if (!quota_take(q, acme, 1, &wait_ms))
			assert_in_range(wait_ms, 1, QUOTA_WAIT_MAX_MS);
	quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_limit_all_pass),
		cmocka_unit_test(each_tenant_has_its_own),
		cmocka_unit_test(what_is_put_off_comes_one_by_one_and_each_finds_its_turn),
		cmocka_unit_test(the_rate_is_kept_however_often_it_is_asked),
		cmocka_unit_test(nothing_waits_longer_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
