/*
 * URLs that strangers name for us to call, and that of a proxy. Pure.
 */
#ifndef RUNTIME_URL_H
#define RUNTIME_URL_H

#include "base/buf.h"

#define URL_MAX 2048 /* bytes */

/*
 * An absolute http or https URL without credentials, of printable ASCII, with a host and a port such as there are, at
 * most URL_MAX bytes. 0, or -EINVAL with *why, a phrase of ours ("must be an http or https URL"); -ENOMEM. Says nothing
 * of where it leads: that shows when it is connected to.
 */
int url_check(struct slice url, const char **why);

/*
 * The same, and appends scheme, host and port, the host in small letters: "https://example.com:443". `origin` may be NULL.
 * 0, -EINVAL with *why, -ENOMEM, -EMSGSIZE (the buffer's bound).
 */
int url_check_origin(struct slice url, struct buf *origin, const char **why);

/*
 * The URL of a proxy: http, https, socks4, socks4a, socks5 or socks5h, perhaps user and password, a host, and a port, since
 * what libcurl takes without one (1080) is seldom meant. 0 or -EINVAL.
 */
int url_check_proxy(struct slice url);

#endif
