/*
 * Text made safe for a place in a document: JSON strings. Pure.
 */
#ifndef RUNTIME_QUOTE_H
#define RUNTIME_QUOTE_H

#include "base/buf.h"

/* Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. 0 or the buffer's error. */
int quote_json(struct buf *out, struct slice text);
/* For people, in one line: control characters and bytes that are not UTF-8 become "?", cut at `max` bytes with "...". */
int quote_plain(struct buf *out, struct slice text, size_t max);

#endif
