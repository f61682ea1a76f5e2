/*
 * Who started the service and looks after it, by systemd's protocol: told when it is ready, when it stops, and, where a
 * watchdog is set, that the loop still turns. Without NOTIFY_SOCKET in the environment nothing is told to anybody.
 */
#ifndef SERVICE_SUPERVISOR_H
#define SERVICE_SUPERVISOR_H

#include "runtime/loop.h"

struct supervisor;

/* Feeds the watchdog (WATCHDOG_USEC) from now on. 0 or -ENOMEM. */
int supervisor_new(struct loop *loop, struct supervisor **out);
void supervisor_free(struct supervisor *s);
void supervisor_tell_ready(void);
void supervisor_tell_stopping(void);

#endif
