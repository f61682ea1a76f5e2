/*
 * The payload of a task that runs after another: its own object with the member "previous" set to what came before. Pure.
 */
#ifndef NOTIFIER_PREVIOUS_H
#define NOTIFIER_PREVIOUS_H

#include "base/buf.h"
#include "store/store.h"

/*
 * Appends `payload` (a JSON object's text, or unset for an empty one) with "previous" replaced or added; every other
 * byte stays. {"id","task","status","result"} after a task, whose result is spliced in verbatim when it is JSON and else
 * described by "result_info"; {"batch","succeeded",…} after a batch. -EBADMSG when the payload is no object.
 */
int previous_join(struct slice payload, const struct store_due *due, struct buf *out);

#endif
