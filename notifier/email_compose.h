/*
 * From a task that has ended to the email that tells of it. Pure.
 */
#ifndef NOTIFIER_EMAIL_COMPOSE_H
#define NOTIFIER_EMAIL_COMPOSE_H

#include "notifier/options_email.h"
#include "store/store.h"

#define EMAIL_VALUE_MAX 65536 /* bytes of one placeholder's value; the rest is left out */

/* True when the task's result is one that goes along as an attachment: there, not JSON, not empty and not too large. */
bool email_attaches(const struct email_options *o, const struct store_task *task);

struct email_wish {
	struct email_texts texts; /* the template */
	struct id row;		  /* of the delivery */
	struct slice to;
	int64_t now_ms; /* since the epoch */
};

/*
 * Appends the message. What is attached is task->result, which has been read for it. 0, -EINVAL (`from` or `to` is no
 * address), -EMSGSIZE (too large), -ENOMEM.
 */
int email_compose(const struct email_options *o, const struct email_wish *wish, const struct store_task *task,
	struct buf *out);

#endif
