/*
 * Signatures of the Standard Webhooks specification: over "id.timestamp.body", one for each key, so that a receiver may
 * hold the old or the new one while they are rotated. Pure.
 */
#ifndef NOTIFIER_SIGNATURE_H
#define NOTIFIER_SIGNATURE_H

#include "base/buf.h"

/* The keys of one sender: symmetric secrets (v1, HMAC-SHA256) and perhaps an ed25519 key (v1a). For one thread. */
struct signature_keys;

/* 0 or -ENOMEM. */
int signature_keys_new(struct signature_keys **out);
void signature_keys_free(struct signature_keys *k);
bool signature_keys_is_empty(const struct signature_keys *k);

/* "whsec_" and the base64 of 24 to 64 bytes. 0, -EINVAL (none such), -ENOMEM, -ENOSPC (more than SIGNATURE_SECRETS_MAX). */
#define SIGNATURE_SECRETS_MAX 8
int signature_add_secret(struct signature_keys *k, const char *text);
/*
 * "whsk_" and the base64 of an ed25519 private key: 32 bytes, or these and the 32 of the public key that belongs to them.
 * 0, -EINVAL, -ENOMEM.
 */
int signature_set_ed25519(struct signature_keys *k, const char *text);

/* The same ed25519 key as another has, if that has one; it costs nothing. */
void signature_share_ed25519(struct signature_keys *k, const struct signature_keys *from);

/*
 * Appends the value of webhook-signature: "v1,<base64> v1,<base64> v1a,<base64>", secrets in the order they were added.
 * 0 or -ENOMEM.
 */
int signature_append(const struct signature_keys *k, struct slice id, int64_t timestamp_s, struct slice body,
	struct buf *out);

#endif
