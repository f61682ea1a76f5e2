/*
 * A listening socket: accepts while it may, and pauses when the process runs out of descriptors instead of spinning. Never
 * looks at what it accepts. Everything on the loop thread.
 */
#ifndef RUNTIME_LISTENER_H
#define RUNTIME_LISTENER_H

#include <event2/http.h>
#include <stdbool.h>
#include <sys/socket.h>

struct listener;

/*
 * Splits "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or ":8080" into host, empty for every address, and port, which
 * may be 0 for any that is free. 0 or -EINVAL. Pure.
 */
#define LISTEN_HOST_MAX 256
int listen_parse(const char *address, char host[LISTEN_HOST_MAX], unsigned *port);
/* True for localhost, 127.0.0.0/8 and ::1, as text. */
bool listen_is_loopback(const char *host);

/*
 * Binds and listens, and accepts nothing yet. `on_starved` is called when a connection could not be accepted for want of
 * descriptors or memory: whoever can close one should; NULL: nobody can. 0, -EINVAL for an address that is none, -EADDRNOTAVAIL for a host
 * that has none, -ENOMEM, or the error of bind.
 */
int listener_new(struct event_base *base, const char *address, void (*on_starved)(void *arg), void *arg,
	struct listener **out);
/* Hands every connection to `cb` from here on, which owns `fd`: nonblocking, closed by exec. */
typedef void listener_cb(int fd, const struct sockaddr *peer, void *arg);
void listener_accept(struct listener *l, listener_cb *cb, void *arg);
/* Hands every connection to evhttp from here on. 0 or -ENOMEM. */
int listener_serve(struct listener *l, struct evhttp *http);
/* No more connections while it is full. */
void listener_set_full(struct listener *l, bool is_full);
/* Closes the socket; before evhttp_free. Safe twice. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);
/* "127.0.0.1:43211", with the port that port 0 became. Borrows. */
const char *listener_address(const struct listener *l);

#endif
