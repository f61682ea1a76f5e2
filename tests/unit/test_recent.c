#include "processor/live.h"
#include "processor/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct id id_of(uint32_t n)
{
	struct id id = {{0}};

	memcpy(id.bytes + 12, &n, sizeof n);
	id.bytes[0] = 1;
	return id;
}

static void forgets_the_oldest_when_full(void **state)
{
	struct recent *r;

	assert_int_equal(recent_new(100, 1000000, &r), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct id id = id_of(i);

		assert_false(recent_has(r, &id, 7, i));
		recent_add(r, &id, 7, i);
		recent_add(r, &id, 7, i);
		assert_true(recent_has(r, &id, 7, i));
		assert_false(recent_has(r, &id, 8, i));
		if (i >= 99) {
			struct id kept = id_of(i - 99);

			assert_true(recent_has(r, &kept, 7, i));
		}
		if (i >= 100) {
			struct id gone = id_of(i - 100);

			assert_false(recent_has(r, &gone, 7, i));
		}
	}
	recent_free(r);
}

static void forgets_after_its_time(void **state)
{
	struct id id = id_of(1);
	struct id other = id_of(2);
	struct recent *r;

	assert_int_equal(recent_new(4, 100, &r), 0);
	recent_add(r, &id, 0, 1000);
	assert_true(recent_has(r, &id, 0, 1099));
	assert_false(recent_has(r, &id, 0, 1100));
	recent_add(r, &other, 0, 1100);
	recent_add(r, &id, 0, 1100);
	assert_true(recent_has(r, &id, 0, 1199));
	recent_free(r);
}

static void numbers_of_one_id_are_told_apart(void **state)
{
	struct id id = id_of(1);
	struct recent *r;

	assert_int_equal(recent_new(8, 100, &r), 0);
	for (uint32_t attempt = 1; attempt <= 20; attempt++)
		recent_add(r, &id, attempt, 0);
	for (uint32_t attempt = 1; attempt <= 20; attempt++)
		assert_int_equal(recent_has(r, &id, attempt, 0), attempt > 12);
	recent_free(r);
}

static void one_place_is_enough(void **state)
{
	struct id a = id_of(1);
	struct id b = id_of(2);
	struct recent *r;

	assert_int_equal(recent_new(1, 100, &r), 0);
	recent_add(r, &a, 0, 0);
	recent_add(r, &b, 0, 0);
	assert_false(recent_has(r, &a, 0, 0));
	assert_true(recent_has(r, &b, 0, 0));
	recent_free(r);
}

static void live_runs_are_found_by_id_and_attempt(void **state)
{
	struct live *l = calloc(1, sizeof *l);
	struct live_entry e[64];
	struct id id = id_of(5);
	struct live_entry *found = NULL;
	size_t n = 0;

	assert_non_null(l);
	live_init(l);
	for (uint32_t i = 0; i < 64; i++) {
		/* Every fourth is another attempt of the same task; the others share its bucket. */
		e[i] = (struct live_entry){
			.id = id_of(i % 4 ? 5 + i * LIVE_BUCKETS * 0x10000u : 5), .attempt = i};
		live_add(l, &e[i]);
	}
	for (uint32_t i = 0; i < 64; i++)
		assert_ptr_equal(live_find(l, &e[i].id, i), &e[i]);
	while ((found = live_next(l, &id, found)))
		n++;
	assert_true(n >= 16);
	assert_null(live_find(l, &id, 1000));
	for (uint32_t i = 0; i < 64; i++)
		live_remove(&e[i]);
	assert_null(live_next(l, &id, NULL));
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgets_the_oldest_when_full),
		cmocka_unit_test(forgets_after_its_time),
		cmocka_unit_test(numbers_of_one_id_are_told_apart),
		cmocka_unit_test(one_place_is_enough),
		cmocka_unit_test(live_runs_are_found_by_id_and_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
