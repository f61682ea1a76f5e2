/*
 * The circuit of one host: closed while it answers; open, so that nobody calls it, after some failures in a row; then
 * half open: one call is let through, and what becomes of it closes the circuit or opens it again, for longer. Pure: the
 * time comes from the caller, in milliseconds of a clock that never goes back.
 *
 * A failure is no answer at all. Whatever a host answers, it is there.
 */
#ifndef NOTIFIER_BREAKER_H
#define NOTIFIER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker_policy {
	int64_t failures; /* in a row, that open it */
	int64_t open_ms;  /* at first; doubles with each probe that failed */
	int64_t open_max_ms;
};

/* Zeroed: closed. */
struct breaker {
	uint32_t failures; /* since the last answer */
	uint32_t openings; /* since the last answer */
	int64_t open_until_ms;
	bool is_probing;
};

enum breaker_pass {
	BREAKER_CALL, /* closed */
	BREAKER_PROBE, /* this one call is the probe; it ends by breaker_answered, breaker_failed or breaker_dropped */
	BREAKER_WAIT, /* nobody, for *wait_ms */
};
/* `wait_ms` while a probe is on its way: `open_ms`. */
enum breaker_pass breaker_ask(
	struct breaker *b, const struct breaker_policy *policy, int64_t now_ms, int64_t *wait_ms);

void breaker_answered(struct breaker *b);
void breaker_failed(struct breaker *b, const struct breaker_policy *policy, int64_t now_ms);
/* The probe ended without a word about the host: the next one to ask is the probe. */
void breaker_dropped(struct breaker *b);

/* Open or half open. */
bool breaker_is_open(const struct breaker *b);
/* It knows nothing that a new one would not. */
bool breaker_is_fresh(const struct breaker *b);

#endif
