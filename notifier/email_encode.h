/*
 * How text and bytes stand in an email: encoded words (RFC 2047), quoted-printable and base64 (RFC 2045). What comes out
 * is ASCII without control characters but for CRLF, in lines of at most 76 bytes. Pure.
 */
#ifndef NOTIFIER_EMAIL_ENCODE_H
#define NOTIFIER_EMAIL_ENCODE_H

#include "base/buf.h"

/*
 * Text in a header field with a name of at most 22 bytes: as it is where that is safe and short, else in encoded words,
 * folded. Control characters become spaces, what is not UTF-8 U+FFFD. 0 or the buffer's error.
 */
int email_encode_header(struct buf *out, struct slice text);
/* The same, in encoded words whatever it is. */
int email_encode_words(struct buf *out, struct slice text);

/* True when it stays readable so: at most a quarter of the bytes need quoting. */
bool email_encode_prefers_quoted(struct slice text);
/* Text: CR, LF and CRLF each are a line's end and become CRLF; one is put at the end where it lacks. */
int email_encode_quoted(struct buf *out, struct slice text);
/* The same in base64, which is shorter where most of it is not ASCII. */
int email_encode_base64_text(struct buf *out, struct slice text);
/* Bytes as they are. */
int email_encode_base64(struct buf *out, struct slice bytes);

#endif
