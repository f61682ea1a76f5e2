/* Against a real RabbitMQ: that of POSTBACK_TEST_AMQP_URL, or a private one that script/rabbitmq starts. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <cmocka.h>

#include "runtime/broker.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum { PATIENCE_MS = 60000, MESSAGE_MAX = 1 << 20, QUEUE_MAX = 4096, EVENTS_MAX = 32, NAME_MAX_LEN = 128 };

static char url[256];
static char folder[] = "/tmp/postback-test-broker-XXXXXX";
static bool has_own_rabbitmq;

/* ---- the broker under test ---- */

static int run_script(const char *verb, char *line, int len)
{
	char command[512];
	FILE *f;
	int rc;

	snprintf(command, sizeof command, "'%s/../script/rabbitmq' %s '%s' %s", TESTS_DIR, verb, folder,
		strcmp(verb, "start") == 0 ? "--with $PPID" : "");
	f = popen(command, "r");
	if (!f)
		return -1;
	if (!line || !fgets(line, len, f))
		rc = line ? -1 : 0;
	else
		rc = 0;
	return pclose(f) == 0 ? rc : -1;
}

static int start_rabbitmq(void **state)
{
	const char *given = getenv("POSTBACK_TEST_AMQP_URL");

	log_init("test", LOG_ERROR);
	if (given) {
		snprintf(url, sizeof url, "%s", given);
		return 0;
	}
	if (!mkdtemp(folder) || run_script("start", url, sizeof url) < 0)
		return -1;
	url[strcspn(url, "\n")] = '\0';
	has_own_rabbitmq = true;
	return 0;
}

static int stop_rabbitmq(void **state)
{
	char command[128];

	if (!has_own_rabbitmq)
		return 0;
	run_script("stop", NULL, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

/* ---- somebody else on the same broker ---- */

struct operator
{
	amqp_connection_state_t conn;
};

static void operator_new(struct operator* o)
{
	struct amqp_connection_info info;
	char copy[sizeof url];
	amqp_socket_t *s;

	memcpy(copy, url, sizeof copy);
	assert_int_equal(amqp_parse_url(copy, &info), 0);
	o->conn = amqp_new_connection();
	s = amqp_tcp_socket_new(o->conn);
	assert_int_equal(amqp_socket_open(s, info.host, info.port), 0);
	assert_int_equal(amqp_login(o->conn, info.vhost[0] ? info.vhost : "/", 0, 131072, 0,
				 AMQP_SASL_METHOD_PLAIN, info.user, info.password)
				 .reply_type,
		AMQP_RESPONSE_NORMAL);
	assert_non_null(amqp_channel_open(o->conn, 1));
}

static void operator_free(struct operator* o)
{
	amqp_connection_close(o->conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(o->conn);
}

static void delete_queue(const char *name)
{
	struct operator o;

	operator_new(&o);
	amqp_queue_delete(o.conn, 1, amqp_cstring_bytes(name), 0, 0);
	operator_free(&o);
}

static void declare_with_max_length(const char *name)
{
	amqp_table_entry_t entries[] = {
		{.key = amqp_cstring_bytes("x-max-length"),
			.value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = 1000}},
		{.key = amqp_cstring_bytes("x-expires"),
			.value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = 60000}},
	};
	struct operator o;

	operator_new(&o);
	assert_non_null(amqp_queue_declare(o.conn, 1, amqp_cstring_bytes(name), 0, 1, 0, 0,
		(amqp_table_t){.num_entries = 2, .entries = entries}));
	operator_free(&o);
}

static void publish_raw(const char *queue, const void *body, size_t len)
{
	struct operator o;

	operator_new(&o);
	assert_non_null(amqp_confirm_select(o.conn, 1));
	assert_int_equal(amqp_basic_publish(o.conn, 1, amqp_empty_bytes, amqp_cstring_bytes(queue), 0, 0,
				 NULL, (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)body}),
		0);
	operator_free(&o);
}

/* ---- the rig ---- */

struct taken {
	struct broker_delivery *d[QUEUE_MAX];
	size_t len;
};

struct rig {
	struct loop *loop;
	struct event *tick;
	struct broker *broker;
	enum broker_state states[EVENTS_MAX];
	char why[512];
	int states_len;
	bool is_consuming;
	int began, ended;
	char change[512];
	int outcomes[BROKER_UNKNOWN + 1];
	int outcomes_len;
	enum broker_outcome last_outcome;
	bool must_ack;
	int acked;
	struct taken taken;
	struct broker_queue_info info;
	int info_rc;
	int infos;
	char bound[NAME_MAX_LEN];
	int bounds;
	char queue[NAME_MAX_LEN];
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct rig *r = arg;

	timer_arm(r->tick, 5);
}

static void on_state(enum broker_state state, const char *why, void *arg)
{
	struct rig *r = arg;

	assert_non_null(why);
	if (r->states_len < EVENTS_MAX)
		r->states[r->states_len++] = state;
	snprintf(r->why, sizeof r->why, "%s", why);
}

static void on_outcome(enum broker_outcome outcome, void *arg)
{
	struct rig *r = arg;

	r->outcomes[outcome]++;
	r->outcomes_len++;
	r->last_outcome = outcome;
}

static void on_delivery(struct broker_delivery *d, void *arg)
{
	struct rig *r = arg;

	assert_ptr_equal(d->consumer_arg, arg);
	if (r->must_ack) {
		r->acked++;
		broker_ack(d);
		return;
	}
	assert_true(r->taken.len < QUEUE_MAX);
	r->taken.d[r->taken.len++] = d;
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct rig *r = arg;

	r->is_consuming = is_consuming;
	if (is_consuming)
		r->began++;
	else
		r->ended++;
	snprintf(r->change, sizeof r->change, "%s", why);
}

static void on_info(int rc, const struct broker_queue_info *info, void *arg)
{
	struct rig *r = arg;

	r->info_rc = rc;
	r->info = *info;
	r->infos++;
}

/* The condition may ask the broker: it is looked at once a turn, and what it said last counts. */
#define AWAIT(r, condition)                                                                      \
	do {                                                                                     \
		int64_t until_ = clock_mono_ms() + PATIENCE_MS;                                  \
		while (!(condition)) {                                                           \
			if (clock_mono_ms() >= until_)                                           \
				fail_msg("not in time: %s (last: %s, %d)", #condition, (r)->why, \
					(int)(r)->info.messages);                                \
			event_base_loop(loop_base((r)->loop), EVLOOP_ONCE);                      \
		}                                                                                \
	} while (0)

static struct broker *new_broker(struct rig *r, const char *to)
{
	struct broker_options opt = {
		.url = to,
		.name = "postback-test",
		.heartbeat_s = 10,
		.connect_timeout_ms = 20000,
		.message_max = MESSAGE_MAX,
		.queue_max = QUEUE_MAX,
		.on_state = on_state,
		.arg = r,
	};
	struct broker *b;

	assert_int_equal(broker_new(r->loop, &opt, &b), 0);
	return b;
}

static int setup(void **state)
{
	static int number;
	struct rig *r = calloc(1, sizeof *r);

	assert_int_equal(loop_new(&r->loop), 0);
	r->tick = loop_timer(r->loop, on_tick, r);
	timer_arm(r->tick, 5);
	snprintf(r->queue, sizeof r->queue, "test.%d.%d.%08x", (int)getpid(), number++, random_u32());
	r->broker = new_broker(r, url);
	*state = r;
	return 0;
}

static void drop_taken(struct rig *r)
{
	for (size_t i = 0; i < r->taken.len; i++)
		broker_drop(r->taken.d[i]);
	r->taken.len = 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	drop_taken(r);
	broker_free(r->broker);
	event_free(r->tick);
	loop_free(r->loop);
	delete_queue(r->queue);
	free(r);
	return 0;
}

static void declare_queue(struct rig *r, const char *type)
{
	struct broker_arg args[] = {
		{.name = "x-queue-type", .text = type}, {.name = "x-expires", .number = 60000}};
	struct broker_declaration d = {
		.kind = BROKER_QUEUE,
		.name = r->queue,
		.durable = true,
		.args = args,
		.args_len = strcmp(type, "stream") == 0 ? 1 : 2,
	};

	assert_int_equal(broker_declare(r->broker, &d, 1), 0);
}

static void start(struct rig *r)
{
	assert_int_equal(broker_start(r->broker), 0);
	AWAIT(r, broker_state(r->broker) == BROKER_UP);
}

static struct broker_message message(const struct rig *r, const char *body)
{
	return (struct broker_message){
		.exchange = "",
		.routing_key = slice_text(r->queue),
		.body = slice_text(body),
		.content_type = "application/msgpack",
		.persistent = true,
		.mandatory = true,
		.timeout_ms = 60000,
	};
}

static void publish(struct rig *r, const struct broker_message *m)
{
	assert_int_equal(broker_publish(r->broker, m, on_outcome, r), 0);
}

static void publish_text(struct rig *r, const char *body)
{
	struct broker_message m = message(r, body);

	publish(r, &m);
}

static struct broker_consumer *consume(struct rig *r, uint16_t prefetch)
{
	struct broker_consumer_options opt = {
		.queue = r->queue,
		.tag = "test",
		.prefetch = prefetch,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = r,
	};
	struct broker_consumer *c;

	assert_int_equal(broker_consume(r->broker, &opt, &c), 0);
	return c;
}

static struct broker_queue_info ask(struct rig *r)
{
	int before = r->infos;

	assert_int_equal(broker_queue_info(r->broker, r->queue, on_info, r), 0);
	AWAIT(r, r->infos > before);
	assert_int_equal(r->info_rc, 0);
	return r->info;
}

static enum broker_outcome outcome_of(struct rig *r, const struct broker_message *m)
{
	int before = r->outcomes_len;

	publish(r, m);
	AWAIT(r, r->outcomes_len > before);
	return r->last_outcome;
}

/* ---- publishing ---- */

static void a_message_is_confirmed_and_arrives_whole(void **state)
{
	struct rig *r = *state;
	struct broker_header headers[] = {
		{"traceparent", slice_text("00-0af7-b7ad-01")}, {"tracestate", slice_text("")}};
	struct broker_message m = message(r, "body");
	struct broker_delivery *d;

	declare_queue(r, "quorum");
	consume(r, 10);
	start(r);
	m.correlation_id = slice_text("id");
	m.reply_to = slice_text("replies");
	m.type = slice_text("task");
	m.app_id = "test";
	m.expiration_ms = 50000;
	m.headers = headers;
	m.headers_len = 2;
	publish(r, &m);
	assert_int_equal(r->outcomes_len, 0);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1 && r->taken.len == 1);
	d = r->taken.d[0];
	assert_true(slice_is_text(d->body, "body"));
	assert_true(slice_is_text(d->routing_key, r->queue));
	assert_true(slice_is_text(d->exchange, ""));
	assert_true(slice_is_text(d->content_type, "application/msgpack"));
	assert_true(slice_is_text(d->correlation_id, "id"));
	assert_true(slice_is_text(d->reply_to, "replies"));
	assert_true(slice_is_text(d->type, "task"));
	assert_true(slice_is_text(d->app_id, "test"));
	assert_true(slice_is_text(d->expiration, "50000"));
	assert_true(slice_is_text(d->traceparent, "00-0af7-b7ad-01"));
	assert_true(slice_is_set(d->tracestate) && d->tracestate.len == 0);
	assert_true(d->message_id.len > 0);
	assert_false(d->redelivered);
	assert_int_equal(d->delivery_count, 0);
	assert_int_equal(d->stream_offset, -1);
	assert_false(slice_is_set(d->death_reason));
	assert_true(broker_delivery_is_live(d));
}

static void what_is_not_there_is_not_set(void **state)
{
	struct rig *r = *state;

	declare_queue(r, "classic");
	consume(r, 10);
	start(r);
	publish_raw(r->queue, "x", 1);
	AWAIT(r, r->taken.len == 1);
	assert_false(slice_is_set(r->taken.d[0]->correlation_id));
	assert_false(slice_is_set(r->taken.d[0]->message_id));
	assert_false(slice_is_set(r->taken.d[0]->traceparent));
}

static void bodies_of_every_size_arrive_unchanged(void **state)
{
	static const size_t sizes[] = {0, 1, 131063, 131064, 131065, 500000, MESSAGE_MAX};
	enum { SIZES = sizeof sizes / sizeof sizes[0] };
	struct rig *r = *state;
	struct broker_message m = message(r, "");

	declare_queue(r, "classic");
	consume(r, SIZES);
	start(r);
	for (size_t i = 0; i < SIZES; i++) {
		m.body_owned = malloc(sizes[i] + 1);
		memset(m.body_owned, (int)('a' + i), sizes[i] + 1);
		m.body = slice_of(m.body_owned, sizes[i]);
		publish(r, &m);
	}
	AWAIT(r, r->taken.len == SIZES && r->outcomes[BROKER_CONFIRMED] == SIZES);
	for (size_t i = 0; i < SIZES; i++) {
		assert_int_equal(r->taken.d[i]->body.len, sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(r->taken.d[i]->body.data[k], 'a' + i);
	}
}

static void an_unroutable_message_is_returned(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "lost");

	declare_queue(r, "quorum");
	start(r);
	publish_text(r, "before");
	m.routing_key = slice_text("no.such.queue");
	publish(r, &m);
	m.until_confirmed = true;
	m.timeout_ms = 0;
	m.body = slice_of(NULL, 0);
	publish(r, &m);
	publish_text(r, "after");
	AWAIT(r, r->outcomes_len == 4);
	assert_int_equal(r->outcomes[BROKER_RETURNED], 2);
	assert_int_equal(r->outcomes[BROKER_CONFIRMED], 2);
}

/* Its confirm waits for company on its way to the loop, longer than this. */
static void a_confirmed_transient_message_is_not_unknown_when_its_time_is_over(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "transient");

	/* A queue that confirms before anything is written, so that even a slow disk leaves most of the time. */
	declare_queue(r, "classic");
	start(r);
	m.persistent = false;
	m.timeout_ms = 800;
	publish(r, &m);
	AWAIT(r, r->outcomes_len == 1);
	assert_int_equal(r->outcomes[BROKER_CONFIRMED], 1);
}

static void messages_keep_their_order(void **state)
{
	enum { MANY = 2000 };
	struct rig *r = *state;
	char body[16];

	declare_queue(r, "quorum");
	consume(r, MANY);
	start(r);
	for (int i = 0; i < MANY; i++) {
		snprintf(body, sizeof body, "%d", i);
		publish_text(r, body);
	}
	AWAIT(r, r->taken.len == MANY && r->outcomes[BROKER_CONFIRMED] == MANY);
	for (int i = 0; i < MANY; i++) {
		snprintf(body, sizeof body, "%d", i);
		assert_true(slice_is_text(r->taken.d[i]->body, body));
	}
}

static void a_publish_before_the_connection_is_up(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "quorum");
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), -ENOTCONN);
	m.until_confirmed = true;
	publish(r, &m);
	start(r);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1);
}

static void limits_are_told_at_once(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");
	char *big = calloc(1, MESSAGE_MAX + 1);

	memset(big, 'x', MESSAGE_MAX);
	start(r);
	m.body = slice_of(big, MESSAGE_MAX + 1);
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), -EMSGSIZE);
	m = message(r, "x");
	m.correlation_id = slice_of(big, 256);
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), -EMSGSIZE);
	m = message(r, "x");
	m.headers = &(struct broker_header){"h", slice_of(big, 100000)};
	m.headers_len = 1;
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), -EMSGSIZE);
	m = message(r, "x");
	for (int i = 0; i < QUEUE_MAX; i++)
		publish(r, &m);
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), -EAGAIN);
	AWAIT(r, r->outcomes_len == QUEUE_MAX);
	assert_int_equal(broker_publish(r->broker, &m, on_outcome, r), 0);
	AWAIT(r, r->outcomes_len == QUEUE_MAX + 1);
	free(big);
}

static void a_channel_closing_message_ends_and_the_others_arrive(void **state)
{
	enum { GOOD = 100 };
	struct rig *r = *state;
	struct broker_message bad = message(r, "bad");

	declare_queue(r, "quorum");
	start(r);
	bad.exchange = "no.such.exchange";
	bad.until_confirmed = true;
	bad.timeout_ms = 0;
	for (int i = 0; i < GOOD; i++) {
		struct broker_message m = message(r, "good");

		m.until_confirmed = true;
		m.timeout_ms = 0;
		if (i == GOOD / 2)
			publish(r, &bad);
		publish(r, &m);
	}
	AWAIT(r, r->outcomes_len == GOOD + 1);
	assert_int_equal(r->outcomes[BROKER_NACKED], 1);
	assert_int_equal(r->outcomes[BROKER_CONFIRMED], GOOD);
	assert_int_equal(r->states_len, 1);
	assert_true(ask(r).messages >= GOOD);
}

static void a_channel_closing_message_sent_once_leaves_the_next_unharmed(void **state)
{
	struct rig *r = *state;
	struct broker_message bad = message(r, "bad");

	declare_queue(r, "quorum");
	start(r);
	bad.exchange = "no.such.exchange";
	publish(r, &bad);
	AWAIT(r, r->outcomes_len == 1);
	assert_int_equal(r->outcomes[BROKER_NACKED], 1);
	publish_text(r, "good");
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1);
}

static void a_full_queue_nacks_and_what_must_arrive_is_tried_again(void **state)
{
	struct rig *r = *state;
	struct broker_arg args[] = {
		{"x-max-length", NULL, 1}, {"x-overflow", "reject-publish", 0}, {"x-expires", NULL, 60000}};
	struct broker_declaration d = {
		.kind = BROKER_QUEUE, .name = r->queue, .durable = true, .args = args, .args_len = 3};
	struct broker_message m = message(r, "once");

	assert_int_equal(broker_declare(r->broker, &d, 1), 0);
	start(r);
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1);
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_NACKED] == 1);
	m.until_confirmed = true;
	m.timeout_ms = 0;
	publish(r, &m);
	m.timeout_ms = 300;
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_UNKNOWN] == 1);
	assert_int_equal(r->outcomes_len, 3);
	r->must_ack = true;
	consume(r, 10);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 2 && r->acked >= 2);
}

/* ---- consuming ---- */

static uint32_t lcg(uint32_t *seed)
{
	return *seed = *seed * 1664525u + 1013904223u;
}

/* Acks what is in hand in a random order, so that neither `multiple` nor single ones come in the order of the tags. */
static void ten_thousand_messages_acked_out_of_order_are_gone(void **state)
{
	enum { MANY = 10000, WINDOW = 500 };
	/* A quorum queue may forget acks that came just before the connection was closed. */
	struct rig *r = *state;
	uint32_t seed = 1;
	int sent = 0, acked = 0;

	declare_queue(r, "classic");
	consume(r, WINDOW);
	start(r);
	while (acked < MANY) {
		for (; sent < MANY && sent - r->outcomes_len < WINDOW; sent++)
			publish_text(r, "x");
		event_base_loop(loop_base(r->loop), EVLOOP_ONCE);
		while (r->taken.len > (sent < MANY ? WINDOW / 2 : 0)) {
			size_t i = lcg(&seed) % r->taken.len;

			broker_ack(r->taken.d[i]);
			r->taken.d[i] = r->taken.d[--r->taken.len];
			acked++;
		}
	}
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == MANY);
	broker_free(r->broker);
	r->broker = new_broker(r, url);
	declare_queue(r, "classic");
	start(r);
	assert_int_equal(ask(r).messages, 0);
	assert_int_equal(acked, MANY);
}

static void only_what_was_acked_is_gone(void **state)
{
	enum { MANY = 300 };
	/* Of a classic queue, as above. */
	struct rig *r = *state;
	int acked = 0;

	declare_queue(r, "classic");
	consume(r, MANY);
	start(r);
	for (int i = 0; i < MANY; i++)
		publish_text(r, "x");
	AWAIT(r, r->taken.len == MANY);
	for (int i = MANY - 1; i >= 0; i--) {
		if (i % 3 == 0)
			continue;
		broker_ack(r->taken.d[i]);
		acked++;
	}
	for (int i = 0; i < MANY; i += 3)
		broker_drop(r->taken.d[i]);
	r->taken.len = 0;
	broker_free(r->broker);
	r->broker = new_broker(r, url);
	declare_queue(r, "classic");
	start(r);
	AWAIT(r, ask(r).messages == MANY - acked);
}

static void settled_just_before_the_end_is_settled(void **state)
{
	struct rig *r = *state;

	declare_queue(r, "quorum");
	consume(r, 10);
	start(r);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	broker_ack(r->taken.d[0]);
	r->taken.len = 0;
	broker_free(r->broker);
	r->broker = new_broker(r, url);
	start(r);
	assert_int_equal(ask(r).messages, 0);
}

static void a_requeued_message_comes_again_and_is_counted(void **state)
{
	struct rig *r = *state;

	declare_queue(r, "quorum");
	consume(r, 10);
	start(r);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	broker_reject(r->taken.d[0], true);
	r->taken.len = 0;
	AWAIT(r, r->taken.len == 1);
	assert_true(r->taken.d[0]->redelivered);
	assert_int_equal(r->taken.d[0]->delivery_count, 1);
}

static void a_rejected_message_is_dead_lettered_with_its_reason(void **state)
{
	struct rig *r = *state;
	char dead[NAME_MAX_LEN + 8];
	struct broker_arg args[] = {{"x-dead-letter-exchange", "", 0}, {"x-dead-letter-routing-key", dead, 0},
		{"x-expires", NULL, 60000}};
	struct broker_declaration d[] = {
		{.kind = BROKER_QUEUE, .name = r->queue, .durable = true, .args = args, .args_len = 3},
		{.kind = BROKER_QUEUE, .name = dead, .durable = true, .args = &args[2], .args_len = 1},
	};
	struct broker_consumer *c;

	snprintf(dead, sizeof dead, "%s.dead", r->queue);
	assert_int_equal(broker_declare(r->broker, d, 2), 0);
	consume(r, 10);
	assert_int_equal(broker_consume(r->broker,
				 &(struct broker_consumer_options){.queue = dead,
					 .tag = "dead",
					 .prefetch = 10,
					 .on_delivery = on_delivery,
					 .arg = r},
				 &c),
		0);
	start(r);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	broker_reject(r->taken.d[0], false);
	r->taken.len = 0;
	AWAIT(r, r->taken.len == 1);
	assert_ptr_equal(r->taken.d[0]->consumer, c);
	assert_true(slice_is_text(r->taken.d[0]->death_reason, "rejected"));
	assert_true(slice_is_text(r->taken.d[0]->death_queue, r->queue));
	delete_queue(dead);
}

static void no_more_than_the_prefetch_is_in_hand(void **state)
{
	struct rig *r = *state;
	struct broker_consumer *c;

	declare_queue(r, "quorum");
	c = consume(r, 3);
	start(r);
	for (int i = 0; i < 20; i++)
		publish_text(r, "x");
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 20 && r->taken.len == 3);
	AWAIT(r, ask(r).messages == 17);
	assert_int_equal(r->taken.len, 3);
	broker_consumer_set_prefetch(c, 10);
	/* RabbitMQ counts the new consumer's beside the three of the old one. */
	AWAIT(r, r->taken.len == 13);
	AWAIT(r, ask(r).messages == 7);
	for (size_t i = 0; i < r->taken.len; i++)
		broker_ack(r->taken.d[i]);
	r->taken.len = 0;
	AWAIT(r, r->taken.len == 7);
	assert_int_equal(r->began, 1);
	assert_int_equal(r->ended, 0);
}

/* Each change is a cancel and a consume: RabbitMQ 3.10 breaks down when a cancel comes before its own consume-ok. */
static void a_prefetch_changed_again_and_again_keeps_the_connection(void **state)
{
	struct rig *r = *state;
	struct broker_consumer *c;

	declare_queue(r, "quorum");
	c = consume(r, 1);
	start(r);
	AWAIT(r, r->is_consuming);
	for (uint16_t i = 2; i < 200; i++) {
		broker_consumer_set_prefetch(c, i);
		usleep(200);
	}
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	assert_int_equal(r->began, 1);
	assert_int_equal(r->ended, 0);
}

static void nothing_comes_during_a_pause(void **state)
{
	struct rig *r = *state;
	struct broker_consumer *c;
	size_t before;

	declare_queue(r, "quorum");
	c = consume(r, 10);
	start(r);
	AWAIT(r, r->is_consuming);
	for (int i = 0; i < 5; i++)
		publish_text(r, "x");
	broker_consumer_pause(c);
	before = r->taken.len;
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 5);
	AWAIT(r, ask(r).consumers == 0);
	assert_int_equal(r->taken.len, before);
	broker_consumer_resume(c);
	AWAIT(r, r->taken.len == 5);
	for (size_t i = 0; i < 5; i++)
		assert_false(r->taken.d[i]->redelivered);
	AWAIT(r, ask(r).consumers == 1);
}

static void a_stopped_consumer_gives_back_and_can_still_ack(void **state)
{
	struct rig *r = *state;
	struct broker_consumer *c;

	declare_queue(r, "quorum");
	c = consume(r, 2);
	start(r);
	for (int i = 0; i < 4; i++)
		publish_text(r, "x");
	AWAIT(r, r->taken.len == 2 && r->outcomes[BROKER_CONFIRMED] == 4);
	broker_consumer_stop(c);
	broker_consumer_stop(c);
	broker_consumer_resume(c);
	broker_ack(r->taken.d[0]);
	broker_ack(r->taken.d[1]);
	r->taken.len = 0;
	AWAIT(r, ask(r).consumers == 0);
	AWAIT(r, ask(r).messages == 2);
	assert_int_equal(r->taken.len, 0);
	consume(r, 10);
	AWAIT(r, r->taken.len == 2);
}

static void a_consumer_without_acks_takes_everything(void **state)
{
	enum { MANY = 3000 };
	struct rig *r = *state;
	struct broker_consumer *c;

	declare_queue(r, "classic");
	assert_int_equal(broker_consume(r->broker,
				 &(struct broker_consumer_options){.queue = r->queue,
					 .tag = "t",
					 .no_ack = true,
					 .on_delivery = on_delivery,
					 .arg = r},
				 &c),
		0);
	start(r);
	for (int i = 0; i < MANY; i++)
		publish_text(r, "x");
	AWAIT(r, r->taken.len == MANY);
	for (int i = 0; i < MANY; i++) {
		if (i % 2)
			broker_ack(r->taken.d[i]);
		else
			broker_drop(r->taken.d[i]);
	}
	r->taken.len = 0;
}

static void a_deleted_queue_is_declared_and_consumed_again(void **state)
{
	struct rig *r = *state;

	declare_queue(r, "quorum");
	consume(r, 10);
	start(r);
	AWAIT(r, r->is_consuming);
	delete_queue(r->queue);
	AWAIT(r, r->ended == 1);
	assert_true(strlen(r->change) > 0);
	AWAIT(r, r->began == 2);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	assert_int_equal(r->states_len, 1);
}

static void what_is_in_hand_when_the_queue_goes_can_be_ended(void **state)
{
	struct rig *r = *state;

	declare_queue(r, "quorum");
	consume(r, 10);
	start(r);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1);
	delete_queue(r->queue);
	AWAIT(r, r->began == 2);
	broker_ack(r->taken.d[0]);
	r->taken.len = 0;
	publish_text(r, "y");
	AWAIT(r, r->taken.len == 1);
}

static void a_missing_queue_is_told_and_waited_for(void **state)
{
	struct rig *r = *state;

	consume(r, 10);
	start(r);
	AWAIT(r, r->ended == 1);
	assert_non_null(strstr(r->change, "404"));
	declare_queue(r, "quorum");
	AWAIT(r, r->is_consuming);
	assert_int_equal(r->states_len, 1);
}

static void an_oversize_message_is_rejected_unseen(void **state)
{
	struct rig *r = *state;
	char *big = calloc(1, 4 * MESSAGE_MAX);

	declare_queue(r, "classic");
	consume(r, 1);
	start(r);
	publish_raw(r->queue, big, 4 * MESSAGE_MAX);
	publish_raw(r->queue, big, MESSAGE_MAX + 1);
	publish_raw(r->queue, "small", 5);
	AWAIT(r, r->taken.len == 1);
	assert_true(slice_is_text(r->taken.d[0]->body, "small"));
	assert_int_equal(ask(r).messages, 0);
	free(big);
}

static void a_stream_is_read_from_its_first_message(void **state)
{
	struct rig *r = *state;
	struct broker_consumer_options opt = {
		.queue = r->queue,
		.tag = "stream",
		.prefetch = 10,
		.stream_from_first = true,
		.on_delivery = on_delivery,
		.on_change = on_change,
		.arg = r,
	};
	struct broker_consumer *c;
	int64_t last = -1;

	declare_queue(r, "stream");
	start(r);
	for (int i = 0; i < 50; i++)
		publish_text(r, "x");
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 50);
	assert_int_equal(broker_consume(r->broker, &opt, &c), 0);
	for (int seen = 0; seen < 50;) {
		AWAIT(r, r->taken.len > 0);
		for (size_t i = 0; i < r->taken.len; i++, seen++) {
			assert_int_equal(r->taken.d[i]->stream_offset, ++last);
			broker_ack(r->taken.d[i]);
		}
		r->taken.len = 0;
	}
	/* Started again, it goes on behind the last one seen. */
	broker_consumer_pause(c);
	publish_text(r, "x");
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 51);
	broker_consumer_resume(c);
	AWAIT(r, r->taken.len == 1);
	assert_int_equal(r->taken.d[0]->stream_offset, 50);
}

/* ---- declaring ---- */

static void a_queue_with_other_arguments_is_used_as_it_is(void **state)
{
	struct rig *r = *state;

	declare_with_max_length(r->queue);
	declare_queue(r, "classic");
	consume(r, 10);
	start(r);
	publish_text(r, "x");
	AWAIT(r, r->taken.len == 1 && r->outcomes[BROKER_CONFIRMED] == 1);
	assert_int_equal(r->states_len, 1);
}

static void bindings_come_and_go(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "classic");
	m.exchange = "amq.direct";
	assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", r->queue), 0);
	start(r);
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1);
	assert_int_equal(broker_unbind(r->broker, r->queue, "amq.direct", r->queue), 0);
	assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", "other"), 0);
	m.routing_key = slice_text("other");
	AWAIT(r, outcome_of(r, &m) == BROKER_CONFIRMED);
	m.routing_key = slice_text(r->queue);
	assert_int_equal(outcome_of(r, &m), BROKER_RETURNED);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", "again"), 0);
		assert_int_equal(broker_unbind(r->broker, r->queue, "amq.direct", "again"), 0);
	}
	ask(r);
	assert_int_equal(r->states_len, 1);
}

static void on_bound(const char *queue, const char *key, void *arg)
{
	struct rig *r = arg;

	assert_string_equal(queue, r->queue);
	snprintf(r->bound, sizeof r->bound, "%s", key);
	r->bounds++;
}

static void a_binding_is_told_when_it_is_in_place_and_again_after_a_loss(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "classic");
	m.exchange = "amq.direct";
	m.routing_key = slice_text("k1");
	broker_on_bound(r->broker, on_bound, r);
	start(r);
	assert_int_equal(r->bounds, 0);
	assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", "k1"), 0);
	AWAIT(r, r->bounds == 1);
	assert_string_equal(r->bound, "k1");
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1);
	delete_queue(r->queue);
	consume(r, 10);
	AWAIT(r, r->bounds == 2);
	assert_int_equal(broker_unbind(r->broker, r->queue, "amq.direct", "k1"), 0);
	ask(r);
	assert_int_equal(r->bounds, 2);
}

static void further_keys_bring_a_message_once_to_each_queue(void **state)
{
	struct rig *r = *state;
	struct slice keys[BROKER_KEYS_MAX];
	char texts[BROKER_KEYS_MAX][8];
	struct broker_message m = message(r, "x");

	declare_queue(r, "classic");
	for (int i = 0; i < BROKER_KEYS_MAX; i++) {
		snprintf(texts[i], sizeof texts[i], "k%d", i);
		keys[i] = slice_text(texts[i]);
	}
	assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", "k3"), 0);
	assert_int_equal(broker_bind(r->broker, r->queue, "amq.direct", "k1023"), 0);
	consume(r, 10);
	start(r);
	m.exchange = "amq.direct";
	m.routing_key = slice_text("nobody");
	m.more_keys = keys;
	m.more_keys_len = BROKER_KEYS_MAX;
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 1 && r->taken.len == 1);
	m.more_keys_len = 3;
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_RETURNED] == 1);
	m.more_keys_len = 4;
	m.routing_key = keys[3];
	publish(r, &m);
	AWAIT(r, r->outcomes[BROKER_CONFIRMED] == 2 && r->taken.len == 2);
	ask(r);
	assert_int_equal(r->taken.len, 2);
}

static void a_fresh_queue_has_its_own_name(void **state)
{
	struct rig *r = *state;
	char name[NAME_MAX_LEN + 2];
	char first[NAME_MAX_LEN + 16];
	struct broker_declaration d[] = {
		{.kind = BROKER_QUEUE, .name = name, .exclusive = true},
		{.kind = BROKER_BINDING, .name = name, .source = "amq.direct", .key = name},
	};
	struct broker_message m = message(r, "x");
	struct broker_consumer *c;

	snprintf(name, sizeof name, "%s.%%", r->queue);
	assert_int_equal(broker_declare(r->broker, d, 2), 0);
	assert_int_equal(broker_consume(r->broker,
				 &(struct broker_consumer_options){.queue = name,
					 .tag = "f",
					 .no_ack = true,
					 .on_delivery = on_delivery,
					 .arg = r},
				 &c),
		0);
	assert_null(broker_consumer_queue(c));
	start(r);
	AWAIT(r, broker_consumer_queue(c));
	snprintf(first, sizeof first, "%s", broker_consumer_queue(c));
	assert_int_equal(strlen(first), strlen(r->queue) + 1 + 8);
	assert_null(strchr(first, '%'));
	m.exchange = "amq.direct";
	m.routing_key = slice_text(first);
	publish(r, &m);
	AWAIT(r, r->taken.len == 1 && r->outcomes[BROKER_CONFIRMED] == 1);
}

static void a_queue_that_is_not_there_has_no_numbers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(broker_queue_info(r->broker, r->queue, on_info, r), -ENOTCONN);
	start(r);
	assert_false(ask(r).exists);
	declare_queue(r, "quorum");
	AWAIT(r, ask(r).exists);
	assert_int_equal(r->info.messages, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(broker_queue_info(r->broker, i % 2 ? r->queue : "no.such", on_info, r), 0);
	r->infos = 0;
	AWAIT(r, r->infos >= 100);
	assert_true(r->info.exists);
}

static void a_declaration_that_cannot_be_made_is_named(void **state)
{
	struct rig *r = *state;

	assert_int_equal(broker_bind(r->broker, r->queue, "no.such.exchange", "x"), 0);
	assert_int_equal(broker_start(r->broker), 0);
	AWAIT(r, r->states_len > 0);
	assert_int_equal(r->states[0], BROKER_DOWN);
	assert_non_null(strstr(r->why, r->queue));
	assert_non_null(strstr(r->why, "404"));
}

/* ---- who cannot get in ---- */

static void replace_broker(struct rig *r, const char *to)
{
	broker_free(r->broker);
	r->broker = new_broker(r, to);
	assert_int_equal(broker_start(r->broker), 0);
	AWAIT(r, r->states_len > 0);
	assert_int_equal(r->states[0], BROKER_DOWN);
	assert_null(strstr(r->why, "sesame"));
}

static const char *address(void)
{
	return strchr(url, '@') + 1;
}

static void a_wrong_password_is_told(void **state)
{
	struct rig *r = *state;
	char wrong[sizeof url + 32];

	snprintf(wrong, sizeof wrong, "amqp://guest:sesame@%s", address());
	replace_broker(r, wrong);
	assert_non_null(strstr(r->why, "ACCESS_REFUSED"));
	assert_non_null(strstr(r->why, "password"));
}

static void a_missing_vhost_is_told(void **state)
{
	struct rig *r = *state;
	char wrong[sizeof url + 32];

	snprintf(wrong, sizeof wrong, "amqp://guest:guest@%.*s/nowhere", (int)strcspn(address(), "/"),
		address());
	replace_broker(r, wrong);
	assert_non_null(strstr(r->why, "nowhere"));
	assert_non_null(strstr(r->why, "vhost"));
}

static void a_refused_connection_is_told(void **state)
{
	replace_broker(*state, "amqp://guest:sesame@127.0.0.1:1/");
	assert_non_null(strstr(((struct rig *)*state)->why, "is RabbitMQ running"));
}

static void an_unknown_host_is_told(void **state)
{
	replace_broker(*state, "amqp://guest:sesame@no-such-host.invalid/");
	assert_non_null(strstr(((struct rig *)*state)->why, "host"));
}

static void plain_text_where_tls_is_wanted_is_told(void **state)
{
	struct rig *r = *state;
	char wrong[sizeof url + 32];

	snprintf(wrong, sizeof wrong, "amqps://guest:sesame@%s", address());
	replace_broker(r, wrong);
	assert_non_null(strstr(r->why, "TLS"));
}

static void a_broken_url_is_refused(void **state)
{
	struct rig *r = *state;
	struct broker_options opt = {.url = "http://127.0.0.1/", .name = "x", .queue_max = 1};
	struct broker *b;

	assert_int_equal(broker_new(r->loop, &opt, &b), -EINVAL);
	opt.url = NULL;
	assert_int_equal(broker_new(r->loop, &opt, &b), -EINVAL);
}

/* ---- the end ---- */

static void free_on_outcome(enum broker_outcome outcome, void *arg)
{
	struct rig *r = arg;

	broker_free(r->broker);
	r->broker = NULL;
}

static void free_on_delivery(struct broker_delivery *d, void *arg)
{
	struct rig *r = arg;

	broker_free(r->broker);
	r->broker = NULL;
	broker_ack(d);
}

static void freed_inside_a_publish_callback(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "classic");
	start(r);
	for (int i = 0; i < 100; i++)
		assert_int_equal(broker_publish(r->broker, &m, i == 50 ? free_on_outcome : on_outcome, r), 0);
	AWAIT(r, !r->broker);
	assert_int_equal(r->outcomes_len, 50);
}

static void freed_inside_a_delivery_callback(void **state)
{
	struct rig *r = *state;
	struct broker_consumer *c;

	declare_queue(r, "classic");
	assert_int_equal(broker_consume(r->broker,
				 &(struct broker_consumer_options){.queue = r->queue,
					 .tag = "t",
					 .prefetch = 50,
					 .on_delivery = free_on_delivery,
					 .arg = r},
				 &c),
		0);
	start(r);
	for (int i = 0; i < 100; i++)
		publish_text(r, "x");
	AWAIT(r, !r->broker);
}

static void freed_with_everything_under_way(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "quorum");
	consume(r, 100);
	start(r);
	m.until_confirmed = true;
	for (int i = 0; i < 200; i++)
		publish(r, &m);
	AWAIT(r, r->taken.len > 0);
	for (int i = 0; i < 200; i++)
		publish(r, &m);
	for (int i = 0; i < 50; i++)
		broker_queue_info(r->broker, r->queue, on_info, r);
	broker_free(r->broker);
	r->broker = NULL;
	assert_false(broker_delivery_is_live(r->taken.d[0]));
}

/* A listener whose queue is full lets a connect hang, as a firewall would; nothing can wake the thread then. */
static void freed_while_the_connect_hangs(void **state)
{
	enum { FILLERS = 8 };
	struct rig *r = *state;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fillers[FILLERS];
	char to[64];
	int64_t start_ms;

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	for (int i = 0; i < FILLERS; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(connect(fillers[i], (struct sockaddr *)&addr, len) == 0 || errno == EINPROGRESS);
	}
	snprintf(to, sizeof to, "amqp://guest:guest@127.0.0.1:%d/", ntohs(addr.sin_port));
	broker_free(r->broker);
	r->broker = new_broker(r, to);
	assert_int_equal(broker_start(r->broker), 0);
	start_ms = clock_mono_ms();
	broker_free(r->broker);
	r->broker = NULL;
	assert_true(clock_mono_ms() - start_ms < 10000);
	for (int i = 0; i < FILLERS; i++)
		close(fillers[i]);
	close(listener);
}

static void freed_without_a_start(void **state)
{
	struct rig *r = *state;
	struct broker_message m = message(r, "x");

	declare_queue(r, "quorum");
	broker_bind(r->broker, r->queue, "amq.direct", "x");
	consume(r, 10);
	m.until_confirmed = true;
	publish(r, &m);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_is_confirmed_and_arrives_whole),
		TEST(what_is_not_there_is_not_set),
		TEST(bodies_of_every_size_arrive_unchanged),
		TEST(an_unroutable_message_is_returned),
		TEST(a_confirmed_transient_message_is_not_unknown_when_its_time_is_over),
		TEST(messages_keep_their_order),
		TEST(a_publish_before_the_connection_is_up),
		TEST(limits_are_told_at_once),
		TEST(a_channel_closing_message_ends_and_the_others_arrive),
		TEST(a_channel_closing_message_sent_once_leaves_the_next_unharmed),
		TEST(a_full_queue_nacks_and_what_must_arrive_is_tried_again),
		TEST(ten_thousand_messages_acked_out_of_order_are_gone),
		TEST(only_what_was_acked_is_gone),
		TEST(settled_just_before_the_end_is_settled),
		TEST(a_requeued_message_comes_again_and_is_counted),
		TEST(a_rejected_message_is_dead_lettered_with_its_reason),
		TEST(no_more_than_the_prefetch_is_in_hand),
		TEST(a_prefetch_changed_again_and_again_keeps_the_connection),
		TEST(nothing_comes_during_a_pause),
		TEST(a_stopped_consumer_gives_back_and_can_still_ack),
		TEST(a_consumer_without_acks_takes_everything),
		TEST(a_deleted_queue_is_declared_and_consumed_again),
		TEST(what_is_in_hand_when_the_queue_goes_can_be_ended),
		TEST(a_missing_queue_is_told_and_waited_for),
		TEST(an_oversize_message_is_rejected_unseen),
		TEST(a_stream_is_read_from_its_first_message),
		TEST(a_queue_with_other_arguments_is_used_as_it_is),
		TEST(bindings_come_and_go),
		TEST(a_binding_is_told_when_it_is_in_place_and_again_after_a_loss),
		TEST(further_keys_bring_a_message_once_to_each_queue),
		TEST(a_fresh_queue_has_its_own_name),
		TEST(a_queue_that_is_not_there_has_no_numbers),
		TEST(a_declaration_that_cannot_be_made_is_named),
		TEST(a_wrong_password_is_told),
		TEST(a_missing_vhost_is_told),
		TEST(a_refused_connection_is_told),
		TEST(an_unknown_host_is_told),
		TEST(plain_text_where_tls_is_wanted_is_told),
		TEST(a_broken_url_is_refused),
		TEST(freed_inside_a_publish_callback),
		TEST(freed_inside_a_delivery_callback),
		TEST(freed_with_everything_under_way),
		TEST(freed_while_the_connect_hangs),
		TEST(freed_without_a_start),
	};

	return cmocka_run_group_tests(tests, start_rabbitmq, stop_rabbitmq);
}
