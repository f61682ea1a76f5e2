#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/ticket.h"

enum { NOW = 1000 };

static const struct id_key keys[] = {{.bytes = {1}}, {.bytes = {2}}};
static const uint8_t one[TICKET_RANDOM_LEN] = {1}, other[TICKET_RANDOM_LEN] = {2};

static struct ticket a_ticket(const char *tenant)
{
	struct ticket t = {.expires_at_ms = NOW + 1};

	strcpy(t.tenant, tenant);
	for (size_t i = 0; i < ID_LEN; i++)
		t.task.bytes[i] = (uint8_t)i;
	return t;
}

static void a_ticket_is_read_as_it_was_written(void **state)
{
	char tenant[TICKET_TENANT_MAX + 1] = "";
	char text[TICKET_TEXT_MAX + 1];

	for (size_t len = 1; len <= TICKET_TENANT_MAX; len++) {
		struct ticket t, read;

		tenant[len - 1] = 'a';
		t = a_ticket(tenant);
		assert_int_equal(ticket_write(&t, one, &keys[1], text), 0);
		assert_true(strlen(text) <= TICKET_TEXT_MAX);
		assert_int_equal(
			strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
			strlen(text));
		assert_int_equal(ticket_read(slice_text(text), keys, 2, NOW, &read), 0);
		assert_string_equal(read.tenant, tenant);
		assert_int_equal(read.expires_at_ms, NOW + 1);
		assert_true(id_is_equal(&read.task, &t.task));
	}
}

static void a_tenant_that_fits_no_ticket_gets_none(void **state)
{
	char text[TICKET_TEXT_MAX + 1];
	struct ticket t = a_ticket("");

	assert_int_equal(ticket_write(&t, one, keys, text), -EINVAL);
	t = a_ticket("a");
	t.expires_at_ms = -1;
	assert_int_equal(ticket_write(&t, one, keys, text), -EINVAL);
	t.expires_at_ms = (int64_t)1 << 48;
	assert_int_equal(ticket_write(&t, one, keys, text), -EINVAL);
}

static void a_ticket_ends_at_its_time(void **state)
{
	char text[TICKET_TEXT_MAX + 1];
	struct ticket t = a_ticket("acme"), read;

	assert_int_equal(ticket_write(&t, one, keys, text), 0);
	assert_int_equal(ticket_read(slice_text(text), keys, 1, NOW, &read), 0);
	assert_int_equal(ticket_read(slice_text(text), keys, 1, NOW + 1, &read), -ETIMEDOUT);
}

static void a_key_that_did_not_sign_it_refuses_it(void **state)
{
	char text[TICKET_TEXT_MAX + 1];
	struct ticket t = a_ticket("acme"), read;

	assert_int_equal(ticket_write(&t, one, &keys[1], text), 0);
	assert_int_equal(ticket_read(slice_text(text), keys, 1, NOW, &read), -EINVAL);
	assert_int_equal(ticket_read(slice_text(text), keys, 0, NOW, &read), -EINVAL);
	assert_int_equal(ticket_read(slice_text(text), keys, 2, NOW + 5, &read), -ETIMEDOUT);
}

static void every_other_character_and_every_cut_is_refused(void **state)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ";
	char text[TICKET_TEXT_MAX + 1];

	for (size_t tenant = 1; tenant <= 3; tenant++) {
		struct ticket t = a_ticket(&"abc"[3 - tenant]), read;
		size_t len;

		assert_int_equal(ticket_write(&t, one, keys, text), 0);
		len = strlen(text);
		for (size_t i = 0; i < len; i++) {
			char was = text[i];

			for (const char *c = alphabet; *c; c++) {
				text[i] = *c;
				assert_int_equal(ticket_read(slice_text(text), keys, 1, NOW, &read),
					*c == was ? 0 : -EINVAL);
			}
			text[i] = was;
			assert_int_equal(ticket_read(slice_of(text, i), keys, 1, NOW, &read), -EINVAL);
		}
	}
}

static void longer_texts_are_refused(void **state)
{
	char text[4 * TICKET_TEXT_MAX];
	struct ticket read;

	memset(text, 'A', sizeof text);
	for (size_t len = 0; len <= sizeof text; len++)
		assert_int_equal(ticket_read(slice_of(text, len), keys, 2, NOW, &read), -EINVAL);
}

static void two_tickets_differ(void **state)
{
	char first[TICKET_TEXT_MAX + 1], second[TICKET_TEXT_MAX + 1];
	struct ticket t = a_ticket("acme");

	assert_int_equal(ticket_write(&t, one, keys, first), 0);
	assert_int_equal(ticket_write(&t, other, keys, second), 0);
	assert_string_not_equal(first, second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_read_as_it_was_written),
		cmocka_unit_test(a_tenant_that_fits_no_ticket_gets_none),
		cmocka_unit_test(a_ticket_ends_at_its_time),
		cmocka_unit_test(a_key_that_did_not_sign_it_refuses_it),
		cmocka_unit_test(every_other_character_and_every_cut_is_refused),
		cmocka_unit_test(longer_texts_are_refused),
		cmocka_unit_test(two_tickets_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
