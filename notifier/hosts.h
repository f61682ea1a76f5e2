/*
 * Whose turn it is to call which host, so that a host that is slow or dead delays nobody else: a bound on the calls in
 * all and on those to one host, short queues where a host is busy, a circuit breaker for each. Pure: does no I/O, and
 * the time comes from the caller (milliseconds of a clock that never goes back).
 *
 * What cannot be called now nor queued is put off, for about as long as the host will be busy: no host ever takes more
 * than a part of what can be in hand.
 */
#ifndef NOTIFIER_HOSTS_H
#define NOTIFIER_HOSTS_H

#include "base/slice.h"
#include "notifier/breaker.h"
#include "notifier/response.h"

struct hosts_policy {
	struct breaker_policy circuit;
	size_t calls_max; /* at the same time, in all */
	size_t host_calls_max; /* to one host; to begin with no more than circuit.failures, one more with each answer */
	size_t visits_max;     /* calls and queued */
	size_t bytes_max;      /* of all visits; one host may have a quarter */
	int64_t queued_max_ms; /* a visit in a queue is put off after that long */
};

struct host;
struct hosts;

/* One call that is wanted, in the caller's memory; all fields private. */
struct visit {
	struct visit *next;
	struct host *host;
	size_t bytes;
	int64_t since_ms;
	bool is_probe;
};

enum visit_turn {
	VISIT_GO,     /* call now, then hosts_leave */
	VISIT_QUEUED, /* hosts_next will give it back */
	VISIT_BUSY,   /* not now: again after *wait_ms */
	VISIT_CLOSED, /* the host does not answer: again after *wait_ms */
};

/* 0 or -ENOMEM. */
int hosts_new(const struct hosts_policy *policy, struct hosts **out);
/* Visits still in there are forgotten. */
void hosts_free(struct hosts *t);

/* `origin` names the host; `bytes` is the memory that the visit holds. Borrows: *v, with VISIT_GO and VISIT_QUEUED. */
enum visit_turn hosts_enter(struct hosts *t, struct slice origin, struct visit *v, size_t bytes,
	int64_t now_ms, int64_t *wait_ms);
/* The call that was let through has ended. */
void hosts_leave(struct hosts *t, struct visit *v, enum response_host word, int64_t now_ms);
/*
 * The next queued visit that is not to be queued any longer, NULL when there is none: VISIT_GO, VISIT_BUSY or
 * VISIT_CLOSED. To be asked until NULL after each hosts_leave, and now and then while any are queued.
 */
struct visit *hosts_next(struct hosts *t, int64_t now_ms, enum visit_turn *turn, int64_t *wait_ms);
/* Takes back any queued visit; NULL when none is left. */
struct visit *hosts_drain(struct hosts *t);

size_t hosts_queued(const struct hosts *t);
size_t hosts_bytes(const struct hosts *t);
size_t hosts_open_circuits(const struct hosts *t);
/* Hosts that something is known of. */
size_t hosts_len(const struct hosts *t);

#endif
