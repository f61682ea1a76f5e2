/*
 * Keys of the Standard Webhooks specification as text: a prefix that tells the kind, and the base64 of the bytes. Pure but
 * for the randomness of a new one.
 */
#ifndef RUNTIME_SIGNING_KEY_H
#define RUNTIME_SIGNING_KEY_H

#include "base/slice.h"

#define SIGNING_KEY_MAX		64 /* bytes */
#define SIGNING_SECRET_PREFIX	"whsec_"
#define SIGNING_SECRET_MIN	24 /* bytes; at most SIGNING_KEY_MAX */
#define SIGNING_SECRET_TEXT_MAX 94 /* of the text, prefix and all */

/* Strict: the prefix, full groups of base64 with their padding, nothing else. 0 or -EINVAL; then `out` is untouched. */
int signing_key_parse(struct slice text, const char *prefix, uint8_t out[SIGNING_KEY_MAX], size_t *len);

/* True for "whsec_" and the base64 of SIGNING_SECRET_MIN to SIGNING_KEY_MAX bytes. */
bool signing_secret_is_valid(struct slice text);
/* A new one of 32 random bytes, terminated. */
void signing_secret_make(char text[SIGNING_SECRET_TEXT_MAX + 1]);

#endif
