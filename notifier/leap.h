/*
 * Whether the wall clock can be believed when it comes to what cannot be undone. A clock that was set days ahead by
 * mistake would let everything outlive its lifetime at once; the monotonic clock beside it shows that it leapt. Who waits
 * a while gives people, or a time server, the chance to set it back. Pure.
 */
#ifndef NOTIFIER_LEAP_H
#define NOTIFIER_LEAP_H

#include <stdbool.h>
#include <stdint.h>

#define LEAP_MS	     (INT64_C(10) * 60 * 1000) /* more than that further on than the monotonic clock is a leap */
#define LEAP_WAIT_MS (INT64_C(60) * 60 * 1000) /* a clock that has stayed there for so long is believed */

/* All zero: the first clock that it is shown is believed. */
struct leap {
	bool is_known, has_leapt;
	int64_t ahead_ms;    /* of the believed wall clock before the monotonic one */
	int64_t leapt_to_ms; /* the same, after the leap */
	int64_t since_ms;    /* monotonic */
};

/* Shown both clocks now and then. 0: believed; else the milliseconds still to wait, less if it is set back. */
int64_t leap_wait_ms(struct leap *l, int64_t wall_ms, int64_t mono_ms);

#endif
