/*
 * The event loop of a service: a libevent base, its signals and its orderly end.
 *
 * SIGTERM and SIGINT start the end: the service is told once by its on_stop and calls loop_exit when all is drained.
 * A second signal, or the drain limit, ends the loop at once with code 1. Without an on_stop the first signal ends it
 * with code 0. SIGPIPE and SIGHUP are ignored from loop_new on.
 *
 * One thread. Other threads reach it through a mailbox only.
 */
#ifndef RUNTIME_LOOP_H
#define RUNTIME_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/mailbox.h"

struct loop;

/* 0, -ENOMEM or -errno. */
int loop_new(struct loop **out);
/* After everything that lives on it: events, timers, mails. */
void loop_free(struct loop *l);
/* Borrows: lives as long as the loop. */
struct event_base *loop_base(struct loop *l);

typedef void loop_stop_cb(void *arg);
/* `drain_ms`: after that long the loop ends with whatever is left. One callback a loop. */
void loop_on_stop(struct loop *l, loop_stop_cb *cb, void *arg, int64_t drain_ms);
/* What a signal does, for tests and for a service that ends by itself. */
void loop_stop(struct loop *l);
bool loop_is_stopping(const struct loop *l);

/* Runs until loop_exit; returns its code. May be run again afterwards (tests). */
int loop_run(struct loop *l);
void loop_exit(struct loop *l, int code);

/* A timer: an event that is kept for repeated arming. Free with event_free. NULL when out of memory. */
struct event *loop_timer(struct loop *l, event_callback_fn cb, void *arg);
/* One-shot after `ms`; arming again moves it. */
void timer_arm(struct event *timer, int64_t ms);

/*
 * Calls cb on the loop with each batch that arrives in the mailbox; the batch belongs to cb. Borrows the mailbox:
 * free this first. Safe to free inside cb.
 */
typedef void loop_mail_cb(struct mail *batch, void *arg);
struct loop_mail;
int loop_mail_new(struct loop *l, struct mailbox *m, loop_mail_cb *cb, void *arg, struct loop_mail **out);
void loop_mail_free(struct loop_mail *w);

#endif
