/*
 * How long to wait before the next try: base * 2^(n-1), at most cap, with jitter. Pure.
 */
#ifndef RUNTIME_BACKOFF_H
#define RUNTIME_BACKOFF_H

#include <stdint.h>

/*
 * Wait before try number `attempt` + 1 where `attempt` (from 1) has just failed. `random` is any 32 random bits; the
 * outcome lies within +-20 % of the exact value and never above cap_ms.
 */
uint32_t backoff_ms(uint32_t base_ms, uint32_t cap_ms, uint32_t attempt, uint32_t random);

#endif
