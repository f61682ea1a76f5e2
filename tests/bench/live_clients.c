/*
 * Thousands of WebSocket clients in one process, over libevent: each follows what its path names, answers pings, and sees
 * to it that no document comes twice or backwards.
 *
 *   live_clients PORT FILE
 *
 * FILE holds a path a line, "/v1/tasks/01a2…/ws", one for each client; all connect to 127.0.0.1:PORT. Every line on stdin
 * is answered with a line of numbers on stdout; the end of stdin ends it.
 *
 *   open    upgraded and not closed              texts    documents in all
 *   failed  no connection, or no 101             wrong    with a rev that is not above the one before
 *   closed  by the server, with 1000             cut      ended otherwise
 *   silent  open ones that were told nothing yet
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

enum { PATH_LEN = 256, STARTING_MAX = 256, NORMAL = 1000 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

enum state { WAITING, STARTING, OPEN, CLOSED };

struct crowd;

struct client {
	struct crowd *crowd;
	struct bufferevent *bev;
	enum state state;
	unsigned long texts;
	long rev;
	char path[PATH_LEN];
};

struct crowd {
	struct event_base *base;
	struct sockaddr_in address;
	struct client *clients;
	size_t len, next, starting;
	unsigned long open, failed, texts, wrong, closed, cut;
};

static void start_more(struct crowd *c);

static void end(struct client *cl, unsigned long *count)
{
	struct crowd *c = cl->crowd;

	if (cl->state == STARTING)
		c->starting--;
	if (cl->state == OPEN)
		c->open--;
	cl->state = CLOSED;
	++*count;
	bufferevent_free(cl->bev);
	cl->bev = NULL;
	start_more(c);
}

/* ---- frames ---- */

static void say(struct client *cl, unsigned opcode, const void *payload, size_t len)
{
	/* A mask of zeros is one. */
	const unsigned char head[] = {
		(unsigned char)(0x80 | opcode), (unsigned char)(0x80 | len), 0, 0, 0, 0};

	bufferevent_write(cl->bev, head, sizeof head);
	bufferevent_write(cl->bev, payload, len);
}

static long rev_of(const unsigned char *text, size_t len)
{
	static const char name[] = "\"rev\":";
	const char *at = memmem(text, len, name, sizeof name - 1);

	return at ? atol(at + sizeof name - 1) : -1;
}

static void take_text(struct client *cl, const unsigned char *text, size_t len)
{
	long rev = rev_of(text, len);

	cl->crowd->texts++;
	if (cl->texts++ > 0 && rev <= cl->rev)
		cl->crowd->wrong++;
	cl->rev = rev;
}

/* False: the connection has ended. */
static bool take_frame(struct client *cl, unsigned opcode, const unsigned char *payload, size_t len)
{
	if (opcode == TEXT) {
		take_text(cl, payload, len);
	} else if (opcode == PING) {
		say(cl, PONG, payload, len);
	} else if (opcode == CLOSE) {
		end(cl, len >= 2 && (payload[0] << 8 | payload[1]) == NORMAL ? &cl->crowd->closed
									     : &cl->crowd->cut);
		return false;
	}
	return true;
}

/* The bytes of the first frame, 0 as long as it is not whole. */
static size_t whole_frame(const unsigned char *data, size_t len, size_t *head)
{
	size_t payload = len >= 2 ? data[1] & 0x7f : 0;

	*head = payload == 126 ? 4 : payload == 127 ? 10 : 2;
	if (len < *head)
		return 0;
	if (*head > 2)
		payload = 0;
	for (size_t i = 2; i < *head; i++)
		payload = payload << 8 | data[i];
	return len >= *head + payload ? *head + payload : 0;
}

static void take_frames(struct client *cl)
{
	struct evbuffer *input = bufferevent_get_input(cl->bev);
	size_t len, head, used;

	while ((len = evbuffer_get_length(input)) > 0) {
		unsigned char *data = evbuffer_pullup(input, -1);

		used = whole_frame(data, len, &head);
		if (used == 0 || !take_frame(cl, data[0] & 0xf, data + head, used - head))
			return;
		evbuffer_drain(input, used);
	}
}

/* ---- connections ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
	static const char accepted[] = "HTTP/1.1 101 ";
	struct client *cl = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_ptr end_of_head;

	if (cl->state == STARTING) {
		end_of_head = evbuffer_search(input, "\r\n\r\n", 4, NULL);
		if (end_of_head.pos < 0)
			return;
		if (memcmp(evbuffer_pullup(input, sizeof accepted - 1), accepted, sizeof accepted - 1) != 0) {
			end(cl, &cl->crowd->failed);
			return;
		}
		evbuffer_drain(input, (size_t)end_of_head.pos + 4);
		cl->state = OPEN;
		cl->crowd->open++;
		cl->crowd->starting--;
		start_more(cl->crowd);
	}
	take_frames(cl);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *cl = arg;

	if (what & BEV_EVENT_CONNECTED)
		return;
	end(cl, cl->state == STARTING ? &cl->crowd->failed : &cl->crowd->cut);
}

static void start(struct client *cl)
{
	struct crowd *c = cl->crowd;

	cl->bev = bufferevent_socket_new(c->base, -1, BEV_OPT_CLOSE_ON_FREE);
	cl->state = STARTING;
	c->starting++;
	bufferevent_setcb(cl->bev, on_read, NULL, on_event, cl);
	bufferevent_enable(cl->bev, EV_READ | EV_WRITE);
	evbuffer_add_printf(bufferevent_get_output(cl->bev),
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		cl->path);
	bufferevent_socket_connect(cl->bev, (struct sockaddr *)&c->address, sizeof c->address);
}

static void start_more(struct crowd *c)
{
	while (c->next < c->len && c->starting < STARTING_MAX)
		start(&c->clients[c->next++]);
}

/* ---- the command line ---- */

static void on_line(evutil_socket_t fd, short what, void *arg)
{
	struct crowd *c = arg;
	unsigned long silent = 0;
	char bytes[256];

	if (read(fd, bytes, sizeof bytes) <= 0) {
		event_base_loopbreak(c->base);
		return;
	}
	for (size_t i = 0; i < c->len; i++)
		silent += c->clients[i].state == OPEN && c->clients[i].texts == 0;
	printf("open=%lu failed=%lu closed=%lu cut=%lu texts=%lu wrong=%lu silent=%lu\n", c->open, c->failed,
		c->closed, c->cut, c->texts, c->wrong, silent);
	fflush(stdout);
}

static int read_paths(struct crowd *c, const char *name)
{
	FILE *file = fopen(name, "r");
	char line[PATH_LEN];

	while (file && fgets(line, sizeof line, file)) {
		struct client *grown = realloc(c->clients, (c->len + 1) * sizeof *grown);

		if (!grown)
			break;
		c->clients = grown;
		grown[c->len] = (struct client){.crowd = c};
		line[strcspn(line, "\n")] = '\0';
		snprintf(grown[c->len++].path, PATH_LEN, "%s", line);
	}
	if (file)
		fclose(file);
	return c->len > 0 ? 0 : -1;
}

static void allow_many_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int main(int argc, char **argv)
{
	struct crowd c = {.address = {.sin_family = AF_INET}};
	struct event *lines;

	if (argc != 3 || read_paths(&c, argv[2]) < 0) {
		fprintf(stderr, "usage: live_clients PORT FILE\n");
		return 2;
	}
	allow_many_files();
	c.address.sin_port = htons((uint16_t)atoi(argv[1]));
	c.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c.base = event_base_new();
	lines = event_new(c.base, 0, EV_READ | EV_PERSIST, on_line, &c);
	event_add(lines, NULL);
	start_more(&c);
	event_base_dispatch(c.base);
	for (size_t i = 0; i < c.len; i++)
		if (c.clients[i].bev)
			bufferevent_free(c.clients[i].bev);
	event_free(lines);
	event_base_free(c.base);
	free(c.clients);
	return 0;
}
