/*
 * The deliveries that a task asked for, from the JSON that travels with it:
 *   [{"channel": "webhook", "target": {…}, "on": ["failed", "dead"]}, …]
 * `on` is optional: every terminal state. Unknown members are skipped.
 */
#ifndef STORE_DELIVER_H
#define STORE_DELIVER_H

#include "proto/id.h"
#include "proto/state.h"
#include "store/arena.h"

#define DELIVER_MAX 1000

struct delivery {
	struct slice channel;
	struct slice target; /* JSON object text */
	struct id endpoint;  /* the registered one it is for; zero: none */
};

/*
 * Those to be made when the task ended in `state`. An unset `text` gives none. 0, -EBADMSG (not such an array, or more
 * than DELIVER_MAX), -ENOMEM. Borrows: *out lives in the arena.
 */
int deliver_select(
	struct slice text, enum task_state state, struct arena *a, struct delivery **out, size_t *len);

#endif
