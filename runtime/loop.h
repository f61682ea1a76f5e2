/*
 * The event loop of a service: a libevent base, its signals and its orderly end.
 *
 * SIGTERM and SIGINT start the end: on_stop of every registered part is called once, in order of registration; the
 * service stops the loop when all is drained. A second signal, or the drain limit, stops it at once.
 * SIGPIPE is ignored, SIGHUP ignored.
 */
#ifndef RUNTIME_LOOP_H
#define RUNTIME_LOOP_H

#include <event2/event.h>
#include <stdint.h>

#include "runtime/mailbox.h"

struct loop;

int loop_new(struct loop **out);
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);

typedef void loop_stop_cb(void *arg);
/* `drain_ms`: after that long the loop ends with whatever is left. One callback a loop. */
void loop_on_stop(struct loop *l, loop_stop_cb *cb, void *arg, int64_t drain_ms);
bool loop_is_stopping(const struct loop *l);

/* Runs until loop_exit; returns its code. */
int loop_run(struct loop *l);
void loop_exit(struct loop *l, int code);

/* A timer: an event that is kept for repeated arming. Free with event_free. NULL when out of memory. */
struct event *loop_timer(struct loop *l, event_callback_fn cb, void *arg);
/* One-shot after `ms`; arming again moves it. */
void timer_arm(struct event *timer, int64_t ms);

/* Calls cb on the loop with each batch that arrives in the mailbox. Free with event_free before the mailbox. */
typedef void loop_mail_cb(struct mail *batch, void *arg);
struct loop_mail;
int loop_mail_new(struct loop *l, struct mailbox *m, loop_mail_cb *cb, void *arg, struct loop_mail **out);
void loop_mail_free(struct loop_mail *w);

#endif
