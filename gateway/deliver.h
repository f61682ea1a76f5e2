/*
 * `deliver`: to whom a task's outcome is to be pushed, a member for each channel:
 *   {"webhook": "https://…", "webhook": {"url": "https://…", "on": ["failed", "dead"]}, "webhook": [either, …]}
 *   {"email": "a@b", "email": {"to": "a@b" or ["a@b", …], "on": […], "template": "short"}, "email": [either, …]}
 * read into the list that travels with the task and becomes one row for each receiver:
 *   [{"channel": "webhook", "target": {"url": "https://…"}, "on": ["failed", "dead"]}, …]
 * Pure. A new channel is one row of a table in deliver.c.
 */
#ifndef GATEWAY_DELIVER_H
#define GATEWAY_DELIVER_H

#include "base/buf.h"
#include "gateway/fault.h"

#define DELIVER_RECEIVERS_MAX 100		  /* of one task */
#define DELIVER_TEXT_MAX      ((size_t)32 * 1024) /* bytes of the list */

/*
 * Reads a value that has passed json_check and appends the list, nothing when it names nobody. `field` is where it
 * stands. 0, -EINVAL with *fault set (its field names the member that is wrong), -ENOMEM.
 */
int deliver_read(struct slice value, const char *field, struct buf *out, struct fault *fault);

/* True for the name of a channel. */
bool deliver_is_channel(struct slice name);
/* What is said of any other name. */
#define DELIVER_NO_CHANNEL "must be \"webhook\", \"email\" or \"sms\""
/* One receiver by its channel and its address alone, added to the list in `out`. As deliver_read. */
int deliver_add(
	struct slice channel, struct slice address, const char *field, struct buf *out, struct fault *fault);

#endif
