#include "gateway/ws.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "gateway/answer.h"
#include "gateway/live.h"
#include "gateway/lookup.h"
#include "gateway/tickets.h"
#include "gateway/ws_command.h"
#include "gateway/ws_socket.h"

enum { ANSWER_MAX = 4096 };

/* ---- opening ---- */

bool ws_is_wanted(const struct call *call)
{
	return handshake_is_wanted(call_head(call));
}

/* Answers what is no handshake, or not from where it may be. */
static bool read_handshake(const struct gateway *g, struct call *call, struct handshake *out)
{
	struct fault fault;

	if (handshake_read(call_head(call), out, &fault) < 0) {
		if (fault.problem == PROBLEM_UPGRADE_REQUIRED) {
			call_set_header(call, "Upgrade", "websocket");
			call_set_header(call, "Connection", "Upgrade");
			call_set_header(call, "Sec-WebSocket-Version", "13");
		}
		fault_send(&fault, call);
		return false;
	}
	if (handshake_origin_is_allowed(call_head(call), &g->options->cors))
		return true;
	call_problem(call, PROBLEM_FORBIDDEN_ORIGIN, NULL,
		"WebSockets are opened for pages of this host and of those that gateway.cors.origins names");
	return false;
}

static void answer_too_many(struct call *call, int rc)
{
	if (rc == -EDQUOT)
		call_problem_share(call, SHARE_FOLLOWERS);
	else
		call_problem(call, PROBLEM_BUSY, NULL, "as many tasks are followed as may");
}

/* ---- what is sent ---- */

static void send_rendered(struct ws_socket *socket, const struct buf *text)
{
	if (text->error)
		ws_socket_close(socket, WEBSOCKET_INTERNAL, "out of memory");
	else
		ws_socket_send(socket, buf_slice(text));
}

static void send_problem(
	struct ws_socket *socket, const struct ws_command *command, const struct fault *fault)
{
	struct buf out;

	buf_init(&out, ANSWER_MAX);
	ws_render_problem(command, fault, &out);
	send_rendered(socket, &out);
	buf_done(&out);
}

/* `command`: what it is told for. */
static void tell(struct ws_socket *socket, const struct live_change *change, const struct ws_command *command)
{
	struct fault gone;

	if (slice_is_set(change->document)) {
		ws_socket_send(socket, change->document);
		return;
	}
	fault_set(&gone, PROBLEM_GONE, "", "the lifetime of this task has passed");
	send_problem(socket, command, &gone);
}

/* ---- one task ---- */

struct one {
	struct gateway *g;
	struct call *call; /* until the socket is open */
	struct handshake handshake;
	struct ws_socket *socket;
	struct live_follower *follower;
};

static void on_change(const struct live_change *change, void *arg)
{
	static const struct ws_command nothing_asked;
	struct one *one = arg;

	tell(one->socket, change, &nothing_asked);
	if (!change->is_last)
		return;
	live_unfollow(one->follower);
	one->follower = NULL;
	ws_socket_close(one->socket, WEBSOCKET_NORMAL, "the task has ended");
}

static void on_one_gone(void *arg)
{
	struct one *one = arg;

	live_unfollow(one->follower);
	free(one);
}

/* What the client says is of no interest here; some send heartbeats of their own. */
static const struct ws_events one_events = {NULL, on_one_gone};

static void on_found(const struct store_task *task, void *arg)
{
	struct one *one = arg;
	struct gateway *g = one->g;
	int rc = task ? live_follow(
				g->live, call_share(one->call), &task->id, 0, on_change, one, &one->follower)
		      : 0;

	if (!task) {
		free(one);
	} else if (rc < 0) {
		answer_too_many(one->call, rc);
		free(one);
	} else if (ws_socket_open(&g->sockets, one->call, &one->handshake, &one_events, one, &one->socket) <
		   0) {
		live_unfollow(one->follower);
		free(one);
	}
}

void ws_task(struct gateway *g, struct call *call, struct slice id_text)
{
	struct handshake handshake;
	struct one *one;

	if (!read_handshake(g, call, &handshake))
		return;
	one = malloc(sizeof *one);
	if (!one) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	*one = (struct one){.g = g, .call = call, .handshake = handshake};
	lookup_task(g, call, id_text, 0, on_found, one);
}

void ws_get_task(struct call *call, void *arg)
{
	if (tickets_check_query(call, NULL))
		ws_task(arg, call, call_segment(call, "id"));
}

/* ---- many tasks ---- */

struct many {
	struct gateway *g;
	struct ws_socket *socket;
	struct share *share;
	void *tree; /* of struct subscription, by id */
	size_t len;
	char tenant[TICKET_TENANT_MAX + 1];
};

struct subscription {
	struct id id; /* first: a key of the tree is an id */
	struct many *many;
	struct live_follower *follower;
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id));
}

static void end_subscription(struct subscription *s)
{
	struct many *many = s->many;

	live_unfollow(s->follower);
	tdelete(&s->id, &many->tree, compare);
	free(s);
	if (--many->len == 0)
		ws_socket_rest(many->socket, true);
}

static void on_change_of_many(const struct live_change *change, void *arg)
{
	struct subscription *s = arg;
	struct ws_command asked = {.verb = WS_SUBSCRIBE};

	id_format(&s->id, asked.id.text);
	tell(s->many->socket, change, &asked);
	if (change->is_last)
		end_subscription(s);
}

static int subscribe(struct many *many, const struct id *id, uint64_t rev)
{
	struct subscription *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return -ENOMEM;
	s->id = *id;
	s->many = many;
	rc = live_follow(many->g->live, many->share, id, rev, on_change_of_many, s, &s->follower);
	if (rc == 0 && !tsearch(s, &many->tree, compare)) {
		live_unfollow(s->follower);
		rc = -ENOMEM;
	}
	if (rc < 0) {
		free(s);
		return rc;
	}
	if (many->len++ == 0)
		ws_socket_rest(many->socket, false);
	return 0;
}

static int try_subscribe(struct many *many, const struct id *id, uint64_t rev, struct fault *fault)
{
	int rc;

	/* Said again it is still one: nothing is told twice. */
	if (tfind(id, &many->tree, compare))
		return 0;
	if (many->len >= (size_t)many->g->options->live.subscriptions)
		return fault_set(fault, PROBLEM_BUSY, "",
			"this connection follows as many tasks as it may (gateway.live.subscriptions)");
	rc = subscribe(many, id, rev);
	if (rc == -EDQUOT)
		return fault_set(fault, PROBLEM_TENANT_LIMIT, "", "%s", share_complaint(SHARE_FOLLOWERS));
	if (rc < 0)
		return fault_set(fault, PROBLEM_BUSY, "", "the gateway follows as many tasks as it may");
	return 0;
}

static int obey(struct many *many, const struct ws_command *command, struct fault *fault)
{
	struct gateway *g = many->g;
	struct subscription **found;
	struct id id;

	if (ids_parse(&g->ids, ID_TASK, slice_text(many->tenant), slice_text(command->id.text), &id) < 0)
		return fault_set(fault, PROBLEM_NOT_FOUND, "", "there is no such task");
	if (command->verb == WS_SUBSCRIBE)
		return try_subscribe(many, &id, command->rev, fault);
	found = tfind(&id, &many->tree, compare);
	if (found)
		end_subscription(*found);
	return 0;
}

static void send_done(struct ws_socket *socket, const struct ws_command *command)
{
	struct buf out;

	buf_init(&out, ANSWER_MAX);
	ws_render_done(command, &out);
	send_rendered(socket, &out);
	buf_done(&out);
}

static void on_command(struct slice text, void *arg)
{
	struct many *many = arg;
	struct ws_command command;
	struct fault fault;
	int rc = ws_command_read(text, &command, &fault);

	if (rc == 0)
		rc = obey(many, &command, &fault);
	if (rc == -ENOMEM)
		ws_socket_close(many->socket, WEBSOCKET_INTERNAL, "out of memory");
	else if (rc < 0)
		send_problem(many->socket, &command, &fault);
	else
		send_done(many->socket, &command);
}

static void free_subscription(void *arg)
{
	struct subscription *s = arg;

	live_unfollow(s->follower);
	free(s);
}

static void on_many_gone(void *arg)
{
	struct many *many = arg;

	tdestroy(many->tree, free_subscription);
	free(many);
}

static const struct ws_events many_events = {on_command, on_many_gone};

void ws_get_many(struct call *call, void *arg)
{
	struct gateway *g = arg;
	struct slice tenant = call_tenant(call);
	struct handshake handshake;
	struct many *many;

	if (!tickets_check_query(call, NULL) || !read_handshake(g, call, &handshake) ||
		!lookup_is_ready(g, call))
		return;
	many = calloc(1, sizeof *many);
	if (!many) {
		call_problem(call, PROBLEM_INTERNAL, NULL, "out of memory");
		return;
	}
	many->g = g;
	many->share = call_share(call);
	memcpy(many->tenant, tenant.data, tenant.len);
	if (ws_socket_open(&g->sockets, call, &handshake, &many_events, many, &many->socket) < 0)
		free(many);
	else
		ws_socket_rest(many->socket, true);
}
