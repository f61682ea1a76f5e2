/*
 * The notifier: keeps what became of tasks and sees to everything that happens later. Parts: the inbox (replies and dead
 * letters into the store), the due loop (rows whose time has come to their channels), the sweep (lifetimes).
 */
#ifndef NOTIFIER_NOTIFIER_H
#define NOTIFIER_NOTIFIER_H

#include "service/service.h"

extern const struct service_definition notifier_definition;

#endif
