#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/gateway.h"

static void the_end_waits_for_the_longest_sync_call(void **state)
{
	struct route_options routes[] = {{.timeout_ms = 0}, {.timeout_ms = 90000}, {.timeout_ms = 20000}};
	struct gateway_root root = {
		.gateway.limits.sync_timeout_ms = 30000,
		.gateway.routes = {.items = routes, .len = 1},
	};

	assert_int_equal(gateway_definition.drain_ms(&root), 35000);
	root.gateway.routes.len = 3;
	assert_int_equal(gateway_definition.drain_ms(&root), 95000);
	root.gateway.limits.sync_timeout_ms = 100000;
	assert_int_equal(gateway_definition.drain_ms(&root), 105000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_waits_for_the_longest_sync_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
