#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "notifier/response.h"

static struct http_response answered(int status)
{
	return (struct http_response){.result = HTTP_ANSWERED, .status = status};
}

static void every_status_has_its_meaning(void **state)
{
	for (int status = 100; status < 600; status++) {
		struct http_response r = answered(status);
		enum response_verdict wanted = status / 100 == 2 ? RESPONSE_DELIVERED
					       : status == 410	 ? RESPONSE_GONE
								 : RESPONSE_FAILED;

		assert_int_equal(response_verdict(&r), wanted);
		assert_int_equal(response_host(&r), RESPONSE_HOST_ANSWERED);
		r.result = HTTP_TOO_LARGE;
		assert_int_equal(response_verdict(&r), wanted);
		assert_int_equal(response_host(&r), RESPONSE_HOST_ANSWERED);
	}
}

static void no_answer_is_a_failure_of_the_host_but_a_refused_address_is_not(void **state)
{
	static const struct {
		enum http_result result;
		enum response_host host;
	} table[] = {
		{HTTP_TIMED_OUT, RESPONSE_HOST_FAILED},
		{HTTP_FAILED, RESPONSE_HOST_FAILED},
		{HTTP_REFUSED, RESPONSE_HOST_UNASKED},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct http_response r = {.result = table[i].result};

		assert_int_equal(response_verdict(&r), RESPONSE_FAILED);
		assert_int_equal(response_host(&r), table[i].host);
		assert_int_equal(response_asked_ms(&r, slice_text("7"), 0), 0);
	}
}

static void retry_after_is_heeded_up_to_a_day(void **state)
{
	static const struct {
		const char *value;
		int64_t asked_ms;
	} table[] = {
		{"0", 0},
		{"7", 7000},
		{"86400", 86400000},
		{"86401", 86400000},
		{"999999999999999999999", 86400000},
		{"-5", 0},
		{"-999999999999999999999", 0},
		{"", 0},
		{"soon", 0},
		{"7 s", 0},
		{"Thu, 01 Jan 1970 00:01:00 GMT", 60000},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Fri, 01 Jan 2100 00:00:00 GMT", 86400000},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct http_response r = answered(i % 2 ? 429 : 503);

		assert_int_equal(response_asked_ms(&r, slice_text(table[i].value), 0), table[i].asked_ms);
	}
	assert_int_equal(response_asked_ms(&(struct http_response){.status = 503}, (struct slice){0}, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_status_has_its_meaning),
		cmocka_unit_test(no_answer_is_a_failure_of_the_host_but_a_refused_address_is_not),
		cmocka_unit_test(retry_after_is_heeded_up_to_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
