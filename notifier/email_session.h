/*
 * What an SMTP client and a server said to each other, line by line, and what it means for the mail. Pure.
 *
 * Lines that are sent may hold the password in some encoding: of them only the verb is looked at, and nothing is kept.
 */
#ifndef NOTIFIER_EMAIL_SESSION_H
#define NOTIFIER_EMAIL_SESSION_H

#include <curl/curl.h>

#include "base/slice.h"

enum email_step {
	EMAIL_STEP_CONNECT,
	EMAIL_STEP_EHLO,
	EMAIL_STEP_STARTTLS,
	EMAIL_STEP_AUTH,
	EMAIL_STEP_MAIL,
	EMAIL_STEP_RCPT,
	EMAIL_STEP_DATA,
	EMAIL_STEP_CONTENT,
};

#define EMAIL_REPLY_MAX 1024 /* bytes kept of a reply */

struct email_session {
	bool wants_auth;	/* set by the caller: there is a username */
	bool has_authenticated; /* on this connection; goes on with the connection to the next message */
	bool is_reply_whole;
	bool is_quitting; /* all that matters has been said */
	enum email_step step;
	int code;		     /* of the last whole reply, QUIT's left out; 0: none */
	char reply[EMAIL_REPLY_MAX]; /* its lines, without their ends */
	size_t reply_len;
};

/* A line to the server, one from it; with or without its end. */
void email_session_sent(struct email_session *s, struct slice line);
void email_session_received(struct email_session *s, struct slice line);

enum email_verdict {
	EMAIL_DELIVERED,
	EMAIL_AGAIN, /* 4xx; and all that is about the server, its certificate or our password, not about this mail */
	EMAIL_DEAD, /* 5xx to this mail */
};
enum email_trouble { EMAIL_TROUBLE_NONE, EMAIL_TROUBLE_LOGIN, EMAIL_TROUBLE_TLS };

struct email_outcome {
	enum email_verdict verdict;
	enum email_trouble trouble; /* with the server, for the operator to see to */
	int status;		    /* the server's last reply code where it tells of the outcome; else 0 */
	char error[160];	    /* for people, without secrets; empty when delivered */
};

/*
 * `rc`: how libcurl ended, which says in `detail` what it has to say (no secrets stand in there); the whole attempt may take
 * `timeout_ms`.
 */
struct email_outcome email_session_outcome(
	const struct email_session *s, CURLcode rc, const char *detail, int64_t timeout_ms);

#endif
