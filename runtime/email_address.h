/*
 * Addresses of email that strangers name for us to write to: the addr-spec of RFC 5321, "local@domain", nothing around it.
 * Pure.
 *
 * Printable ASCII only: a domain with other letters stands in its xn-- form, a local part with others is refused.
 * Refused as well, though the RFCs know them, because relays read routes or hosts of their own into them: quoted local
 * parts, "%" and "!" in local parts, and [literals] for a domain. A domain may be a single label.
 */
#ifndef RUNTIME_EMAIL_ADDRESS_H
#define RUNTIME_EMAIL_ADDRESS_H

#include "base/slice.h"

#define EMAIL_ADDRESS_MAX 254 /* bytes */
#define EMAIL_LOCAL_MAX	  64

/* 0, or -EINVAL with *why, a phrase of ours ("has no @"). */
int email_address_check(struct slice address, const char **why);

/* What stands behind the "@" of an address that has passed the check. */
struct slice email_address_domain(struct slice address);

/*
 * "Name <local@domain>", "\"Name\" <local@domain>" or the address alone, as in a From field; the name is UTF-8 without
 * control characters, quotes inside it or backslashes. 0, or -EINVAL with *why. The slices point into `text`; the name, of
 * at most 200 bytes and without its quotes, is empty when there is none.
 */
int email_mailbox_parse(struct slice text, struct slice *name, struct slice *address, const char **why);

#endif
