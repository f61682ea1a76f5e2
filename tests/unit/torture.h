/*
 * Fails the 1st, 2nd, … allocation of our own code. A program that wants it is a postback_torture_test in CMakeLists.txt:
 * the linker then sends the allocations of our libraries here, those of others' not.
 */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

/*
 * Runs until nothing fails any more: `run` returns 0, or -ENOMEM, or 0 although an allocation failed (it could do without).
 * The number of allocations that it makes; each of them has failed once.
 */
int torture(int (*run)(void));

#endif
