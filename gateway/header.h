/*
 * The fields of an answer's head, as the lines that go out. A name is there once: setting it again replaces its value.
 * Pure.
 */
#ifndef GATEWAY_HEADER_H
#define GATEWAY_HEADER_H

#include "base/buf.h"

/* A value with control characters (but tabs) is left out: nothing can be smuggled into the head. */
void header_set(struct buf *lines, const char *name, const char *value);
void header_remove(struct buf *lines, const char *name);
bool header_is_set(const struct buf *lines, const char *name);

#endif
