/*
 * The broker module under a test's command: words on stdin, events on stdout, a line each, fields divided by tabs.
 *
 *   queue NAME TYPE [exclusive]         declares (classic, quorum, stream); a name ending in '%' is a fresh one
 *   consume NAME PREFETCH ack|hold|no_ack|stream
 *   start
 *   publish COUNT EXCHANGE KEY once|until TIMEOUT_MS SIZE     EXCHANGE "-": the default one; KEY "-": the fresh queue
 *   ack                                 what is held
 *   stall MS                            the loop does nothing for so long
 *   lag                                 the loop's worst lateness since the last question
 *   stats
 *   free
 *
 * Message n (they are numbered through) begins with "n ". Ends with its stdin.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/broker.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum { TICK_MS = 5, WORDS_MAX = 8, HELD_MAX = 65536, SENT_MAX = 65536, LINE_MAX_LEN = 4096, PAUSE_MS = 5 };

struct sent {
	int number;
	int64_t at_ms;
};

struct probe {
	struct loop *loop;
	struct broker *broker;
	struct event *input, *tick, *pump;
	struct broker_consumer *consumer; /* the last */
	struct broker_delivery *held[HELD_MAX];
	size_t held_len;
	int64_t tick_due_ms, lag_ms;
	struct sent sent[SENT_MAX];
	int number; /* of the next message */
	char line[LINE_MAX_LEN];
	size_t line_len;
	/* what is still to be published */
	struct {
		int left;
		char exchange[128], key[256];
		bool is_until;
		int64_t timeout_ms;
		size_t size;
	} batch;
};

static int number_of(struct slice body)
{
	char text[16];
	size_t len = body.len < sizeof text - 1 ? body.len : sizeof text - 1;

	memcpy(text, body.data, len);
	text[len] = '\0';
	return atoi(text);
}

/* ---- callbacks ---- */

static void on_state(enum broker_state state, const char *why, void *arg)
{
	static const char *const names[] = {
		[BROKER_DOWN] = "down", [BROKER_UP] = "up", [BROKER_BLOCKED] = "blocked"};

	printf("state\t%s\t%s\n", names[state], why);
}

static void on_change(bool is_consuming, const char *why, void *arg)
{
	struct probe *p = arg;
	const char *queue = p->consumer ? broker_consumer_queue(p->consumer) : NULL;

	printf("consuming\t%d\t%s\t%s\n", is_consuming, why, queue ? queue : "");
}

static void on_outcome(enum broker_outcome outcome, void *arg)
{
	struct sent *s = arg;

	printf("outcome\t%d\t%s\t%lld\n", s->number, broker_outcome_name(outcome),
		(long long)(clock_mono_ms() - s->at_ms));
}

static void print_delivery(const struct broker_delivery *d)
{
	printf("delivery\t%d\t%s\t%lld\n", number_of(d->body), d->redelivered ? "again" : "first",
		(long long)d->stream_offset);
}

static void on_delivery_ack(struct broker_delivery *d, void *arg)
{
	print_delivery(d);
	broker_ack(d);
}

static void on_delivery_hold(struct broker_delivery *d, void *arg)
{
	struct probe *p = arg;

	print_delivery(d);
	if (p->held_len == HELD_MAX)
		broker_drop(d);
	else
		p->held[p->held_len++] = d;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;
	int64_t late = clock_mono_ms() - p->tick_due_ms;

	if (late > p->lag_ms)
		p->lag_ms = late;
	p->tick_due_ms = clock_mono_ms() + TICK_MS;
	timer_arm(p->tick, TICK_MS);
}

/* ---- publishing ---- */

static int publish_one(struct probe *p, uint8_t *body, size_t len)
{
	const char *queue = p->consumer ? broker_consumer_queue(p->consumer) : NULL;
	struct broker_message m = {
		.exchange = p->batch.exchange,
		.routing_key = slice_text(strcmp(p->batch.key, "-") == 0 && queue ? queue : p->batch.key),
		.body = slice_of(body, len),
		.body_owned = body,
		.persistent = true,
		.mandatory = true,
		.until_confirmed = p->batch.is_until,
		.timeout_ms = p->batch.timeout_ms,
	};
	struct sent *s = &p->sent[p->number % SENT_MAX];

	*s = (struct sent){.number = p->number, .at_ms = clock_mono_ms()};
	return broker_publish(p->broker, &m, on_outcome, s);
}

/* A full queue is waited for; every other refusal is told. */
static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	while (p->batch.left > 0 && p->broker) {
		uint8_t *body = malloc(p->batch.size + 16);
		int len;
		int rc;

		if (!body)
			return;
		memset(body, 'x', p->batch.size + 16);
		len = snprintf((char *)body, 16, "%d ", p->number);
		rc = publish_one(p, body, p->batch.size > (size_t)len ? p->batch.size : (size_t)len);
		if (rc < 0)
			free(body);
		if (rc == -EAGAIN) {
			timer_arm(p->pump, PAUSE_MS);
			return;
		}
		if (rc < 0)
			printf("outcome\t%d\trefused %d\t0\n", p->number, -rc);
		p->number++;
		p->batch.left--;
	}
}

/* ---- commands ---- */

static void do_queue(struct probe *p, char **words)
{
	struct broker_arg args[] = {{.name = "x-queue-type", .text = words[2]}};
	struct broker_declaration d = {
		.kind = BROKER_QUEUE,
		.name = words[1],
		.durable = true,
		.exclusive = words[3] != NULL,
		.args = args,
		.args_len = 1,
	};

	broker_declare(p->broker, &d, 1);
}

static void do_consume(struct probe *p, char **words)
{
	struct broker_consumer_options opt = {
		.queue = words[1],
		.tag = "probe",
		.prefetch = (uint16_t)atoi(words[2]),
		.no_ack = strcmp(words[3], "no_ack") == 0,
		.stream_from_first = strcmp(words[3], "stream") == 0,
		.on_delivery = strcmp(words[3], "hold") == 0 ? on_delivery_hold : on_delivery_ack,
		.on_change = on_change,
		.arg = p,
	};

	broker_consume(p->broker, &opt, &p->consumer);
}

static void do_start(struct probe *p, char **words)
{
	broker_start(p->broker);
}

static void do_publish(struct probe *p, char **words)
{
	p->batch.left = atoi(words[1]);
	snprintf(p->batch.exchange, sizeof p->batch.exchange, "%s",
		strcmp(words[2], "-") == 0 ? "" : words[2]);
	snprintf(p->batch.key, sizeof p->batch.key, "%s", words[3]);
	p->batch.is_until = strcmp(words[4], "until") == 0;
	p->batch.timeout_ms = atoll(words[5]);
	p->batch.size = strtoul(words[6], NULL, 10);
	timer_arm(p->pump, 0);
}

static void do_ack(struct probe *p, char **words)
{
	int live = 0;

	for (size_t i = 0; i < p->held_len; i++) {
		live += broker_delivery_is_live(p->held[i]);
		broker_ack(p->held[i]);
	}
	printf("acked\t%zu\t%d\n", p->held_len, live);
	p->held_len = 0;
}

static void do_stall(struct probe *p, char **words)
{
	long ms = atol(words[1]);
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
	p->tick_due_ms = clock_mono_ms() + TICK_MS;
	printf("stalled\n");
}

static void do_lag(struct probe *p, char **words)
{
	printf("lag\t%lld\n", (long long)p->lag_ms);
	p->lag_ms = 0;
}

static long resident_kib(void)
{
	long pages = 0, shared;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%ld %ld", &shared, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void do_stats(struct probe *p, char **words)
{
	struct broker_stats s;

	broker_stats(p->broker, &s);
	printf("stats\t%llu\t%zu\t%ld\n", (unsigned long long)s.connects, s.publishes_waiting,
		resident_kib());
}

static void do_free(struct probe *p, char **words)
{
	int64_t start = clock_mono_ms();

	broker_free(p->broker);
	p->broker = NULL;
	printf("freed\t%lld\n", (long long)(clock_mono_ms() - start));
}

static const struct command {
	const char *name;
	int words; /* at least, with the name */
	void (*run)(struct probe *p, char **words);
} commands[] = {
	{"queue", 3, do_queue},
	{"consume", 4, do_consume},
	{"start", 1, do_start},
	{"publish", 7, do_publish},
	{"ack", 1, do_ack},
	{"stall", 2, do_stall},
	{"lag", 1, do_lag},
	{"stats", 1, do_stats},
	{"free", 1, do_free},
};

static void obey(struct probe *p, char *line)
{
	char *words[WORDS_MAX + 1] = {0};
	char *save;
	int len = 0;

	for (char *word = strtok_r(line, " ", &save); word && len < WORDS_MAX;
		word = strtok_r(NULL, " ", &save))
		words[len++] = word;
	if (len == 0)
		return;
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (len >= commands[i].words && strcmp(words[0], commands[i].name) == 0) {
			commands[i].run(p, words);
			return;
		}
	}
	printf("error\tno such command\n");
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;
	ssize_t len = read(fd, p->line + p->line_len, sizeof p->line - p->line_len);
	char *end;

	if (len <= 0) {
		loop_exit(p->loop, 0);
		return;
	}
	p->line_len += (size_t)len;
	while ((end = memchr(p->line, '\n', p->line_len))) {
		size_t used = (size_t)(end - p->line) + 1;

		*end = '\0';
		obey(p, p->line);
		p->line_len -= used;
		memmove(p->line, p->line + used, p->line_len);
	}
}

static int run(struct probe *p, const struct broker_options *opt)
{
	int rc = loop_new(&p->loop);

	if (rc == 0)
		rc = broker_new(p->loop, opt, &p->broker);
	if (rc < 0)
		return 1;
	p->input = event_new(loop_base(p->loop), STDIN_FILENO, EV_READ | EV_PERSIST, on_input, p);
	p->tick = loop_timer(p->loop, on_tick, p);
	p->pump = loop_timer(p->loop, on_pump, p);
	event_add(p->input, NULL);
	p->tick_due_ms = clock_mono_ms() + TICK_MS;
	timer_arm(p->tick, TICK_MS);
	rc = loop_run(p->loop);
	broker_free(p->broker);
	for (size_t i = 0; i < p->held_len; i++)
		broker_drop(p->held[i]);
	event_free(p->input);
	event_free(p->tick);
	event_free(p->pump);
	loop_free(p->loop);
	return rc;
}

int main(int argc, char **argv)
{
	struct probe *p = calloc(1, sizeof *p);
	struct broker_options opt = {
		.url = argc > 1 ? argv[1] : NULL,
		.name = "postback-probe",
		.heartbeat_s = argc > 2 ? atoi(argv[2]) : 10,
		.connect_timeout_ms = 5000,
		.message_max = 15 << 20,
		.queue_max = 4096,
		.on_state = on_state,
		.arg = p,
	};
	int rc;

	if (!p)
		return 1;
	log_init("probe", LOG_INFO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	rc = run(p, &opt);
	free(p);
	return rc;
}
