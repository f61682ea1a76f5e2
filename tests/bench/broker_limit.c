/*
 * What the broker itself can do, for the benchmark table to be held against: plain rabbitmq-c, blocking, without any of
 * our code, a process for each part.
 *
 *   quorum     request queue -> echo -> reply queue, quorum queues, persistent, publisher confirms and manual acks on both
 *              hops, a fixed number in flight. The client counts a round trip when the reply is here; its request was
 *              confirmed long before or is waited for.
 *   transient  bare transient RPC, one at a time, classic queues, no confirms and no acks.
 *
 * Prints "name=number" words.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CHANNEL = 1,
	IN_FLIGHT = 1000,
	PREFETCH = 1000,
	ACK_EVERY =
		64, /* acks with `multiple`, as a tuned client sends them; 1: each by itself, as a plain one does */
	LATENCIES_MAX = 1 << 20,
	EXPIRES_MS = 60000,
};

struct options {
	const char *url;
	double seconds;
	size_t payload;
	size_t in_flight;
	size_t ack_every;
	bool is_transient;
};

struct names {
	char request[64], reply[64];
};

static void die(const char *what)
{
	fprintf(stderr, "broker_limit: %s\n", what);
	exit(1);
}

static void check(amqp_rpc_reply_t reply, const char *what)
{
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		die(what);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- connections ---- */

static amqp_connection_state_t connect_to(const char *url)
{
	struct amqp_connection_info info;
	char *copy = strdup(url);
	amqp_connection_state_t conn = amqp_new_connection();
	amqp_socket_t *s = amqp_tcp_socket_new(conn);

	amqp_default_connection_info(&info);
	if (!copy || !s || amqp_parse_url(copy, &info) != AMQP_STATUS_OK)
		die("cannot read the URL");
	if (amqp_socket_open(s, info.host, info.port) != AMQP_STATUS_OK)
		die("cannot connect");
	check(amqp_login(conn, info.vhost[0] ? info.vhost : "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0,
		      AMQP_SASL_METHOD_PLAIN, info.user, info.password),
		"login refused");
	amqp_channel_open(conn, CHANNEL);
	check(amqp_get_rpc_reply(conn), "no channel");
	free(copy);
	return conn;
}

static void declare(amqp_connection_state_t conn, const char *queue, const char *type)
{
	amqp_table_entry_t entries[] = {
		{.key = amqp_cstring_bytes("x-queue-type"),
			.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(type)}},
		{.key = amqp_cstring_bytes("x-expires"),
			.value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = EXPIRES_MS}},
	};

	amqp_queue_declare(conn, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0,
		(amqp_table_t){.num_entries = 2, .entries = entries});
	check(amqp_get_rpc_reply(conn), "cannot declare");
}

static void consume(amqp_connection_state_t conn, const char *queue, bool no_ack)
{
	amqp_basic_qos(conn, CHANNEL, 0, PREFETCH, 0);
	check(amqp_get_rpc_reply(conn), "no qos");
	amqp_basic_consume(
		conn, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, no_ack, 0, amqp_empty_table);
	check(amqp_get_rpc_reply(conn), "cannot consume");
}

static void select_confirms(amqp_connection_state_t conn)
{
	amqp_confirm_select(conn, CHANNEL);
	check(amqp_get_rpc_reply(conn), "no confirms");
}

/* ---- frames of two connections ---- */

struct message {
	uint64_t tag;
	size_t left;
	size_t len;
	uint8_t *body;
	size_t body_max;
};

struct side {
	amqp_connection_state_t conn;
	struct message in;
	uint64_t confirmed; /* publishes */
	uint64_t published;
	uint64_t acked; /* deliveries, all up to this tag */
	/* A whole message is here. */
	void (*on_message)(struct side *s, void *arg);
	void *arg;
};

static void on_method(struct side *s, const amqp_method_t *m)
{
	switch (m->id) {
	case AMQP_BASIC_DELIVER_METHOD: s->in.tag = ((amqp_basic_deliver_t *)m->decoded)->delivery_tag; break;
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *ack = m->decoded;

		/* Only how many are open is of interest, so `multiple` up to a tag and single ones may be taken alike. */
		if (ack->delivery_tag > s->confirmed)
			s->confirmed = ack->delivery_tag;
		break;
	}
	default: die("the broker closed the channel or refused a message");
	}
}

static void on_header(struct side *s, size_t len)
{
	if (len > s->in.body_max) {
		s->in.body = realloc(s->in.body, len);
		if (!s->in.body)
			die("out of memory");
		s->in.body_max = len;
	}
	s->in.left = s->in.len = len;
}

static void on_frame(struct side *s, const amqp_frame_t *f)
{
	if (f->frame_type == AMQP_FRAME_METHOD) {
		on_method(s, &f->payload.method);
		return;
	}
	if (f->frame_type == AMQP_FRAME_HEADER) {
		on_header(s, f->payload.properties.body_size);
	} else {
		memcpy(s->in.body + s->in.len - s->in.left, f->payload.body_fragment.bytes,
			f->payload.body_fragment.len);
		s->in.left -= f->payload.body_fragment.len;
	}
	if (s->in.left == 0)
		s->on_message(s, s->arg);
}

static void read_frames(struct side *s)
{
	do {
		amqp_frame_t f;
		int rc = amqp_simple_wait_frame_noblock(s->conn, &f, &(struct timeval){0});

		if (rc == AMQP_STATUS_TIMEOUT)
			return;
		if (rc != AMQP_STATUS_OK)
			die("the connection broke");
		on_frame(s, &f);
		amqp_maybe_release_buffers(s->conn);
	} while (amqp_frames_enqueued(s->conn) || amqp_data_in_buffer(s->conn));
}

static void wait_for_any(struct side *a, struct side *b)
{
	struct pollfd fds[] = {
		{.fd = amqp_get_sockfd(a->conn), .events = POLLIN},
		{.fd = amqp_get_sockfd(b->conn), .events = POLLIN},
	};

	poll(fds, 2, 100);
	if (fds[0].revents)
		read_frames(a);
	if (fds[1].revents)
		read_frames(b);
}

static void publish(struct side *s, const char *queue, amqp_bytes_t body, bool is_persistent)
{
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
		.delivery_mode = is_persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT,
	};

	if (amqp_basic_publish(s->conn, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(queue), is_persistent,
		    0, &properties, body) != AMQP_STATUS_OK)
		die("cannot publish");
	s->published++;
}

static void side_done(struct side *s)
{
	amqp_connection_close(s->conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(s->conn);
	free(s->in.body);
}

/* Everything up to `tag`, when it is worth a frame or nothing else is under way. */
static void ack(const struct options *o, struct side *s, uint64_t tag, bool is_idle)
{
	if (tag == s->acked || (tag - s->acked < o->ack_every && !is_idle))
		return;
	for (uint64_t t = o->ack_every == 1 ? s->acked + 1 : tag; t <= tag; t++) {
		if (amqp_basic_ack(s->conn, CHANNEL, t, o->ack_every > 1) != AMQP_STATUS_OK)
			die("cannot ack");
	}
	s->acked = tag;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- the echo ---- */

struct echo {
	const struct names *names;
	struct side in, out;
};

static void on_request(struct side *s, void *arg)
{
	struct echo *e = arg;

	publish(&e->out, e->names->reply, (amqp_bytes_t){.len = s->in.len, .bytes = s->in.body}, true);
}

static void on_no_message(struct side *s, void *arg)
{
	die("a message on a connection that only publishes");
}

/* A request is acked when its reply is confirmed; the tags of both count alike, one of each a trip. */
static void run_echo(const struct options *o, const struct names *names)
{
	struct echo e = {.names = names};

	e.in = (struct side){.conn = connect_to(o->url), .on_message = on_request, .arg = &e};
	e.out = (struct side){.conn = connect_to(o->url), .on_message = on_no_message};
	select_confirms(e.out.conn);
	consume(e.in.conn, names->request, false);
	for (;;) {
		wait_for_any(&e.in, &e.out);
		ack(o, &e.in, lesser(e.out.confirmed, e.in.in.tag), e.out.confirmed == e.out.published);
	}
}

/* ---- the client ---- */

static void count(struct side *s, void *arg)
{
	(*(uint64_t *)arg)++;
}

/* The first tenth warms up and is not counted. */
static double run_trips(const struct options *o, const struct names *names, amqp_bytes_t body)
{
	uint64_t trips = 0, warm = 0;
	struct side in = {.conn = connect_to(o->url), .on_message = count, .arg = &trips};
	struct side out = {.conn = connect_to(o->url), .on_message = on_no_message};
	double start = now_s(), took = 0;

	select_confirms(out.conn);
	consume(in.conn, names->reply, false);
	while (took < o->seconds * 1.1) {
		while (out.published - lesser(trips, out.confirmed) < o->in_flight)
			publish(&out, names->request, body, true);
		wait_for_any(&in, &out);
		ack(o, &in, in.in.tag, trips == out.published);
		took = now_s() - start;
		if (took < o->seconds * 0.1)
			warm = trips;
	}
	side_done(&in);
	side_done(&out);
	return (double)(trips - warm) / o->seconds;
}

/* ---- latency ---- */

static void wait_message(struct side *s, uint64_t *seen)
{
	uint64_t before = *seen;
	struct pollfd fd = {.fd = amqp_get_sockfd(s->conn), .events = POLLIN};

	while (*seen == before) {
		if (!amqp_frames_enqueued(s->conn) && !amqp_data_in_buffer(s->conn))
			poll(&fd, 1, -1);
		read_frames(s);
	}
}

static void run_bare_echo(const struct options *o, const struct names *names)
{
	uint64_t seen = 0;
	struct side s = {.conn = connect_to(o->url), .on_message = count, .arg = &seen};

	consume(s.conn, names->request, true);
	for (;;) {
		wait_message(&s, &seen);
		publish(&s, names->reply, (amqp_bytes_t){.len = s.in.len, .bytes = s.in.body}, false);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_latency(const struct options *o, const struct names *names, amqp_bytes_t body)
{
	uint64_t seen = 0;
	struct side s = {.conn = connect_to(o->url), .on_message = count, .arg = &seen};
	double *took = malloc(LATENCIES_MAX * sizeof *took);
	size_t len = 0;
	double end;

	if (!took)
		die("out of memory");
	consume(s.conn, names->reply, true);
	end = now_s() + o->seconds;
	while (now_s() < end && len < LATENCIES_MAX) {
		double start = now_s();

		publish(&s, names->request, body, false);
		wait_message(&s, &seen);
		took[len++] = (now_s() - start) * 1e6;
	}
	if (len == 0)
		die("no round trip in time");
	qsort(took, len, sizeof *took, by_value);
	printf("round_trips=%zu p50_us=%.0f p99_us=%.0f\n", len, took[len / 2], took[len * 99 / 100]);
	side_done(&s);
	free(took);
}

/* ---- the parts ---- */

static pid_t fork_echo(const struct options *o, const struct names *names)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (o->is_transient)
		run_bare_echo(o, names);
	else
		run_echo(o, names);
	exit(1);
}

static void usage(int code)
{
	fprintf(code ? stderr : stdout,
		"usage: broker_limit --url URL [--seconds N] [--payload BYTES] [--in-flight N] [--ack-every N] "
		"[--mode quorum|transient]\n");
	exit(code);
}

static struct options parse(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"url", required_argument, NULL, 'u'},
		{"seconds", required_argument, NULL, 's'},
		{"payload", required_argument, NULL, 'p'},
		{"in-flight", required_argument, NULL, 'f'},
		{"ack-every", required_argument, NULL, 'a'},
		{"mode", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {.seconds = 10, .payload = 256, .in_flight = IN_FLIGHT, .ack_every = ACK_EVERY};

	for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		switch (c) {
		case 'u': o.url = optarg; break;
		case 's': o.seconds = atof(optarg); break;
		case 'p': o.payload = strtoul(optarg, NULL, 10); break;
		case 'f': o.in_flight = strtoul(optarg, NULL, 10); break;
		case 'a': o.ack_every = strtoul(optarg, NULL, 10); break;
		case 'm':
			o.is_transient = strcmp(optarg, "transient") == 0;
			if (!o.is_transient && strcmp(optarg, "quorum") != 0)
				usage(2);
			break;
		case 'h': usage(0); break;
		default: usage(2);
		}
	}
	if (!o.url || o.seconds <= 0 || o.in_flight < 1 || o.ack_every < 1 || optind < argc)
		usage(2);
	return o;
}

static void delete_queues(const struct options *o, const struct names *names)
{
	amqp_connection_state_t conn = connect_to(o->url);

	amqp_queue_delete(conn, CHANNEL, amqp_cstring_bytes(names->request), 0, 0);
	amqp_queue_delete(conn, CHANNEL, amqp_cstring_bytes(names->reply), 0, 0);
	amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(conn);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	const char *type = o.is_transient ? "classic" : "quorum";
	amqp_bytes_t body = amqp_bytes_malloc(o.payload);
	amqp_connection_state_t conn = connect_to(o.url);
	struct names names;
	pid_t echo;

	snprintf(names.request, sizeof names.request, "broker-limit.request.%d", (int)getpid());
	snprintf(names.reply, sizeof names.reply, "broker-limit.reply.%d", (int)getpid());
	declare(conn, names.request, type);
	declare(conn, names.reply, type);
	amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(conn);
	memset(body.bytes, 'x', body.len);
	echo = fork_echo(&o, &names);
	if (o.is_transient)
		run_latency(&o, &names, body);
	else
		printf("round_trips_per_s=%.0f\n", run_trips(&o, &names, body));
	kill(echo, SIGKILL);
	waitpid(echo, NULL, 0);
	delete_queues(&o, &names);
	amqp_bytes_free(body);
	return 0;
}
