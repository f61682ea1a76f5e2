/*
 * One attempt at a delivery, and how it ends: arrived, to be tried again by the schedule, put off, or dead. What channels
 * of one receiver and no host to share (email, sms) have in common.
 */
#ifndef NOTIFIER_ATTEMPT_H
#define NOTIFIER_ATTEMPT_H

#include "notifier/channel.h"
#include "notifier/schedule.h"

struct attempt {
	const char *channel;
	const struct schedule *schedule;
	struct ticket *ticket;
	struct id row, task_id;
	uint32_t made; /* attempts before this one */
	int64_t due_at_ms;
};

/* Borrows: the name, the schedule and the ticket, until it has ended. */
struct attempt attempt_of(const char *channel, const struct schedule *schedule, const struct store_due *due,
	struct ticket *ticket);

/* How long the schedule's first wait has still to go; 0: it may be sent now. */
int64_t attempt_early_ms(const struct attempt *a, int64_t now_ms);

/*
 * Each ends the ticket; exactly one of them is called. `status`: of the protocol, 0: none; `error` for people, without
 * secrets. `asked_ms`: the least that the receiver wants to wait. A dead one is logged.
 */
void attempt_delivered(const struct attempt *a, int32_t status, struct slice response);
void attempt_failed(
	const struct attempt *a, int32_t status, const char *error, struct slice response, int64_t asked_ms);
void attempt_dead(const struct attempt *a, int32_t status, const char *error, struct slice response);
/* Nothing was tried: no attempt is counted. */
void attempt_later(const struct attempt *a, int64_t wait_ms);

/*
 * Appends the text under `key` of a target, a JSON object. 0, -ENOENT (no such text), -EMSGSIZE (the buffer's bound),
 * -ENOMEM.
 */
int attempt_target_text(struct slice target, const char *key, struct buf *out);

#endif
