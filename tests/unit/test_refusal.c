#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <amqp.h>

#include "runtime/broker_refusal.h"

enum { ACTS = REFUSAL_CONSUME + 1 };

#define ON_EXCHANGE "403 ACCESS_REFUSED - access to exchange 'e' in vhost 'v' refused for user 'u'"
#define ON_QUEUE    "403 ACCESS_REFUSED - access to queue 'q' in vhost 'v' refused for user 'u'"
/* As newer brokers say it. */
#define ON_TOPIC \
	"403 ACCESS_REFUSED - write access to topic 't' in exchange 'e' in vhost 'v' refused for user 'u'"

static void the_missing_permission_is_named(void **state)
{
	static const struct {
		enum refusal_act act;
		const char *text;
		const char *names;
	} cases[] = {
		{REFUSAL_EXCHANGE, ON_EXCHANGE, "configure permission on this exchange"},
		{REFUSAL_QUEUE, ON_QUEUE, "configure and the read permission on this queue"},
		{REFUSAL_QUEUE, ON_EXCHANGE, "write permission on this exchange"},
		{REFUSAL_BINDING, ON_QUEUE, "write permission on this queue"},
		{REFUSAL_BINDING, ON_EXCHANGE, "read permission on this exchange"},
		{REFUSAL_PUBLISH, ON_EXCHANGE, "write permission on this exchange"},
		{REFUSAL_CONSUME, ON_QUEUE, "read permission on this queue"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_non_null(strstr(
			refusal_mend(cases[i].act, AMQP_ACCESS_REFUSED, cases[i].text), cases[i].names));
}

static void what_is_refused_in_other_words_is_looked_up(void **state)
{
	for (int act = 0; act < ACTS; act++) {
		assert_non_null(strstr(refusal_mend(act, AMQP_ACCESS_REFUSED, ""), "list_user_permissions"));
		assert_non_null(
			strstr(refusal_mend(act, AMQP_ACCESS_REFUSED, ON_TOPIC), "list_user_permissions"));
	}
	assert_non_null(strstr(
		refusal_mend(REFUSAL_CONSUME, AMQP_ACCESS_REFUSED, ON_EXCHANGE), "list_user_permissions"));
}

static void a_node_that_starts_is_no_missing_queue(void **state)
{
	assert_non_null(strstr(
		refusal_mend(REFUSAL_QUEUE, AMQP_NOT_FOUND,
			"404 NOT_FOUND - home node 'n' of durable queue 'q' in vhost 'v' is down or inaccessible"),
		"tried again by itself"));
}

static void every_code_has_words(void **state)
{
	for (int act = 0; act < ACTS; act++) {
		for (unsigned code = 0; code < 1000; code++)
			assert_true(strlen(refusal_mend(act, (uint16_t)code, ON_QUEUE)) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_missing_permission_is_named),
		cmocka_unit_test(what_is_refused_in_other_words_is_looked_up),
		cmocka_unit_test(a_node_that_starts_is_no_missing_queue),
		cmocka_unit_test(every_code_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
