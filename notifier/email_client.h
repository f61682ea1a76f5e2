/*
 * Hands messages to one SMTP server, without blocking the loop.
 *
 * A thread for each connection: libcurl waits for the answers to a message and to QUIT inside its calls, with the multi
 * interface too, so that a server which takes its time there would hold up all that share a thread. A connection is kept
 * for some seconds, for the next message.
 */
#ifndef NOTIFIER_EMAIL_CLIENT_H
#define NOTIFIER_EMAIL_CLIENT_H

#include "base/buf.h"
#include "notifier/email_session.h"
#include "notifier/options_email.h"
#include "runtime/email_address.h"
#include "runtime/loop.h"

struct email_client;

/* One message to one receiver; in the caller's memory, filled before it is handed over. */
struct email_job {
	struct mail mail; /* first */
	char from[EMAIL_ADDRESS_MAX + 1], to[EMAIL_ADDRESS_MAX + 1];
	struct slice message; /* borrowed until it is given back */
	int64_t begin_by_ms;  /* monotonic; no thread is free by then: it is given back untried */

	bool was_tried;
	int64_t began_ms; /* monotonic */
	struct email_session session;
	struct email_outcome outcome;
};

/* On the loop, once for each job that was handed over and not taken back. */
typedef void email_done_cb(struct email_job *job, void *arg);

/* Borrows the options, which have a url. 0, -ENOMEM, -EIO (libcurl), or a negative errno (threads). */
int email_client_new(struct loop *loop, const struct email_options *o, email_done_cb *cb, void *arg,
	struct email_client **out);
/* Breaks off what is under way: no callback comes for it or for what waits. Takes up to about a second. */
void email_client_free(struct email_client *c);

/* The job is the client's until its callback. */
void email_client_send(struct email_client *c, struct email_job *job);
/* The oldest of those that no thread has begun, back without its callback; NULL: there is none. */
struct email_job *email_client_take_back(struct email_client *c);

#endif
