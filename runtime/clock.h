/*
 * Time and randomness behind one seam. The wall clock is what users and messages see; the monotonic one measures.
 */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds since the epoch. Any thread. */
int64_t clock_wall_ms(void);
/* Milliseconds and microseconds since some fixed moment. Any thread. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* For tests: the wall clock reads `ms` later (or earlier) than the kernel's, until shifted again. Any thread. */
void clock_shift(int64_t ms);

/* From the kernel; cannot fail on any Linux we run on. Any thread. */
void random_fill(void *out, size_t len);
uint32_t random_u32(void);

/*
 * RFC 3339 in UTC with milliseconds, "2026-01-02T03:04:05.678Z", terminated. A moment outside the years 0000 to 9999
 * is written as the nearest one inside.
 */
#define CLOCK_TEXT_LEN 24
void clock_format(int64_t wall_ms, char text[CLOCK_TEXT_LEN + 1]);
/*
 * Any RFC 3339 date-time with offset; digits after the milliseconds are dropped, a leap second is the second after it.
 * 0 or -EINVAL.
 */
int clock_parse(const char *text, size_t len, int64_t *wall_ms);

#endif
