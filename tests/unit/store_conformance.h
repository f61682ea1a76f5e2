/*
 * What every store promises, by store.h alone; on the kind of store that fixture_use named.
 */
#ifndef TESTS_STORE_CONFORMANCE_H
#define TESTS_STORE_CONFORMANCE_H

/* Runs all of its tests; the number of those that failed. */
int conformance_run(void);
/* Those of deliveries and endpoints, in a file of their own; part of the above. */
int conformance_run_deliveries(void);

#endif
