#include "runtime/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

#include "runtime/log.h"
#include "runtime/loop.h"

enum {
	BACKLOG = 1024,
	STARVED_PAUSE_MS = 100,
	STARVED_LOG_MS = 10000,
	IDLE_MS = 24 * 3600 * 1000,
	PORT_MAX = 65535,
	PORT_DIGITS = 5,
};

struct listener {
	struct evconnlistener *listener;
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
	struct event pause; /* always pending: see on_error */
	bool is_full, is_starved;
	void (*on_starved)(void *arg);
	void *arg;
	struct log_gate gate;
	char address[LISTEN_HOST_MAX + 16];
	listener_cb *on_accept;
	void *accept_arg;
};

/* ---- addresses ---- */

static int parse_port(const char *text, unsigned *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || end - text > PORT_DIGITS || value > PORT_MAX)
		return -EINVAL;
	*port = (unsigned)value;
	return 0;
}

int listen_parse(const char *address, char host[LISTEN_HOST_MAX], unsigned *port)
{
	const char *colon = strrchr(address, ':');
	const char *start = address;
	size_t len = colon ? (size_t)(colon - address) : 0;
	bool has_brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';

	if (has_brackets) {
		start++;
		len -= 2;
	}
	if (!colon || len >= LISTEN_HOST_MAX || (!has_brackets && memchr(start, ':', len)))
		return -EINVAL;
	if (strcspn(start, "[] /") < len || parse_port(colon + 1, port) < 0)
		return -EINVAL;
	memcpy(host, start, len);
	host[len] = '\0';
	return 0;
}

bool listen_is_loopback(const char *host)
{
	struct in_addr in;
	struct in6_addr in6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &in6) == 1 && IN6_IS_ADDR_LOOPBACK(&in6);
}

static int look_up(const char *address, struct addrinfo **out)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	char host[LISTEN_HOST_MAX], service[8];
	unsigned port;
	int rc;

	if (listen_parse(address, host, &port) < 0)
		return -EINVAL;
	snprintf(service, sizeof service, "%u", port % (PORT_MAX + 1));
	rc = getaddrinfo(*host ? host : NULL, service, &hints, out);
	if (rc == 0)
		return 0;
	return rc == EAI_SYSTEM ? -errno : rc == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
}

static void name_address(struct listener *l)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getsockname(evconnlistener_get_fd(l->listener), (struct sockaddr *)&sa, &len) < 0 ||
		getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(l->address, sizeof l->address, strchr(host, ':') ? "[%.255s]:%.8s" : "%.255s:%.8s", host,
		port);
}

/* ---- accepting ---- */

static void update(struct listener *l)
{
	if (!l->listener)
		return;
	if (l->is_full || l->is_starved)
		evconnlistener_disable(l->listener);
	else
		evconnlistener_enable(l->listener);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	l->is_starved = false;
	timer_arm(&l->pause, IDLE_MS);
	update(l);
}

static void pause_accepting(struct listener *l)
{
	unsigned suppressed;
	int error = errno;

	if (log_gate_pass(&l->gate, STARVED_LOG_MS, &suppressed))
		log_warn("accept_paused", LOG_TEXT("address", l->address), LOG_ERRNO(-error),
			LOG_INT("suppressed", suppressed));
	l->is_starved = true;
	timer_arm(&l->pause, STARVED_PAUSE_MS);
	update(l);
	if (l->on_starved)
		l->on_starved(l->arg);
}

struct search {
	struct evconnlistener *listener;
	struct listener *found;
};

static int find_listener(const struct event_base *base, const struct event *e, void *arg)
{
	struct search *s = arg;
	struct listener *l = event_get_callback(e) == on_pause ? event_get_callback_arg(e) : NULL;

	if (l && l->listener == s->listener)
		s->found = l;
	return s->found != NULL;
}

/*
 * Level-triggered, a socket that cannot be accepted would wake the loop without end. evhttp makes itself the argument of
 * all of the evconnlistener's callbacks, so ours is found by its timer, which is pending for that.
 */
static void on_error(struct evconnlistener *listener, void *http)
{
	struct search s = {.listener = listener};
	int error = errno;

	event_base_foreach_event(evconnlistener_get_base(listener), find_listener, &s);
	errno = error;
	if (s.found)
		pause_accepting(s.found);
}

int listener_new(struct event_base *base, const char *address, void (*on_starved)(void *arg), void *arg,
	struct listener **out)
{
	struct listener *l = calloc(1, sizeof *l);
	struct addrinfo *found = NULL;
	int rc = -ENOMEM;

	if (!l)
		goto out;
	l->on_starved = on_starved;
	l->arg = arg;
	event_assign(&l->pause, base, -1, 0, on_pause, l);
	timer_arm(&l->pause, IDLE_MS);
	rc = look_up(address, &found);
	if (rc < 0)
		goto out;
	l->listener = evconnlistener_new_bind(base, NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE | LEV_OPT_DISABLED, BACKLOG,
		found->ai_addr, (int)found->ai_addrlen);
	rc = l->listener ? 0 : errno ? -errno : -ENOMEM;
	if (rc < 0)
		goto out;
	name_address(l);
	*out = l;
	l = NULL;
out:
	if (found)
		freeaddrinfo(found);
	listener_free(l);
	return rc;
}

static void on_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg)
{
	struct listener *l = arg;

	l->on_accept(fd, peer, l->accept_arg);
}

static void on_own_error(struct evconnlistener *listener, void *arg)
{
	pause_accepting(arg);
}

void listener_accept(struct listener *l, listener_cb *cb, void *arg)
{
	l->on_accept = cb;
	l->accept_arg = arg;
	evconnlistener_set_cb(l->listener, on_accept, l);
	evconnlistener_set_error_cb(l->listener, on_own_error);
	update(l);
}

int listener_serve(struct listener *l, struct evhttp *http)
{
	l->bound = evhttp_bind_listener(http, l->listener);
	if (!l->bound)
		return -ENOMEM;
	l->http = http;
	evconnlistener_set_error_cb(l->listener, on_error);
	update(l);
	return 0;
}

void listener_set_full(struct listener *l, bool is_full)
{
	if (l->is_full == is_full)
		return;
	l->is_full = is_full;
	update(l);
}

void listener_stop(struct listener *l)
{
	event_del(&l->pause);
	if (l->bound)
		evhttp_del_accept_socket(l->http, l->bound);
	else if (l->listener)
		evconnlistener_free(l->listener);
	l->bound = NULL;
	l->listener = NULL;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	if (event_initialized(&l->pause))
		listener_stop(l);
	free(l);
}

const char *listener_address(const struct listener *l)
{
	return l->address;
}
