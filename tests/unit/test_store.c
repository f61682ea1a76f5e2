/*
 * test_store [KIND]: the promises of store.h, kept by the store of that kind (sqlite, when none is named).
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/store_conformance.h"
#include "tests/unit/store_fixture.h"

int main(int argc, char **argv)
{
	if (argc > 1 && fixture_use(argv[1]) < 0) {
		fprintf(stderr, "test_store: no such kind of store: %s\n", argv[1]);
		return 2;
	}
	fixture_expect_no_scans();
	return conformance_run();
}
