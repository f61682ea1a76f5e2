/*
 * One email as it goes over the wire: RFC 5322, MIME, ASCII only. Lines end in CRLF and have at most 78 bytes, but where
 * an address or a file's name needs more. Pure.
 *
 * What it is given may come from strangers: no byte of it, CR, LF and NUL among them, makes a header field, an end of a
 * header, a part or a boundary. Control characters in header texts become spaces; a content type that is not plainly
 * type/subtype becomes application/octet-stream.
 */
#ifndef NOTIFIER_EMAIL_MESSAGE_H
#define NOTIFIER_EMAIL_MESSAGE_H

#include "base/buf.h"
#include "proto/id.h"

#define EMAIL_SUBJECT_MAX    500 /* bytes; the rest is left out, on a character */
#define EMAIL_MEDIA_TYPE_MAX 127
#define EMAIL_FILE_NAME_MAX  120

struct email_attachment {
	struct slice bytes;	   /* unset: no attachment */
	struct slice content_type; /* as a handler gave it; parameters are left out */
	struct slice
		name; /* of letters, digits and "._-"; other bytes become "_"; cut at EMAIL_FILE_NAME_MAX */
};

struct email_message {
	struct id id; /* of the delivery: names the message, in every attempt alike */
	struct id task_id;
	int64_t date_ms;	/* since the epoch */
	struct slice from_name; /* UTF-8; empty: none */
	struct slice from, to;	/* addresses that have passed email_address_check */
	struct slice subject;	/* UTF-8 */
	struct slice text;	/* UTF-8; any line ends */
	struct slice html;	/* unset or empty: the message has only text */
	struct email_attachment attachment;
};

/* Appends the whole message. 0, -EINVAL (`from` or `to` is no address), or the buffer's error. */
int email_message_render(const struct email_message *m, struct buf *out);

/* "type/subtype" in small letters, of a content type, or application/octet-stream. Terminated. */
void email_media_type(struct slice content_type, char out[EMAIL_MEDIA_TYPE_MAX + 1]);
/* Behind a file's last dot for a media type: "pdf"; "bin" for one that is not known. */
const char *email_file_suffix(const char *media_type);

#endif
