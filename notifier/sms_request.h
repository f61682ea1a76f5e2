/*
 * An HTTP request in the making. Errors stay in its buffers until it is asked for. Pure.
 */
#ifndef NOTIFIER_SMS_REQUEST_H
#define NOTIFIER_SMS_REQUEST_H

#include "base/buf.h"

#define SMS_HEADERS_MAX	     16
#define SMS_REQUEST_URL_MAX  16384
#define SMS_REQUEST_BODY_MAX (256 << 10)

struct sms_request {
	const char *method;
	struct buf url, body;
	struct buf head;			/* lines, each ended by a NUL */
	const char *lines[SMS_HEADERS_MAX + 1]; /* NULL terminated; set by sms_request_end */
};

void sms_request_init(struct sms_request *r, const char *method);
void sms_request_done(struct sms_request *r);

/* Adds a header with a value as it is; whoever sends it refuses line breaks in it. */
void sms_request_add_header(struct sms_request *r, const char *name, struct slice value);
/* Ends a header that was appended to `head` as it is. */
void sms_request_end_header(struct sms_request *r);
/* Adds "Authorization: Basic …". */
void sms_request_add_basic(struct sms_request *r, const char *username, const char *password);
/* Appends the base64 of "username:password". 0 or the buffer's error. */
int sms_request_append_credentials(struct buf *out, const char *username, const char *password);

/* Makes `lines` and terminates the URL. 0, -EMSGSIZE (a bound was passed), -ENOMEM. */
int sms_request_end(struct sms_request *r);

#endif
