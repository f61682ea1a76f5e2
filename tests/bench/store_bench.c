/*
 * What the store does in a second: events applied (256 a call, small results), single writes grouped by themselves, point
 * reads; events again when a registered endpoint wants them. Prints one line each; takes the folder to work in, or the
 * URL of an empty database, as its argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/clock.h"
#include "store/store.h"

enum { IN_FLIGHT_MAX = 64, ENDPOINTS = 20 };

struct bench {
	struct loop *loop;
	struct store *store;
	struct id_minter minter;
	size_t wanted, sent, done;
	unsigned in_flight;
	unsigned in_flight_max;
	struct id *ids;
	size_t batch;
	bool is_up;
	void (*send)(struct bench *b);
};

static void pump(struct bench *b)
{
	while (b->in_flight < b->in_flight_max && b->sent < b->wanted) {
		b->in_flight++;
		b->send(b);
		b->sent += b->batch;
	}
}

static void finish(struct bench *b, int rc)
{
	if (rc < 0) {
		fprintf(stderr, "store_bench: a call failed: %s\n", strerror(-rc));
		exit(1);
	}
	b->in_flight--;
	b->done += b->batch;
	if (b->done >= b->wanted)
		event_base_loopbreak(loop_base(b->loop));
	else
		pump(b);
}

static void on_applied(int rc, const struct store_applied *applied, size_t len, void *arg)
{
	finish(arg, rc);
}

static void send_events(struct bench *b)
{
	struct store_event events[STORE_EVENTS_MAX];
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < b->batch; i++) {
		b->ids[b->sent + i] = id_mint(&b->minter, ID_TASK, slice_text("default"), (uint64_t)now_ms);
		events[i] = (struct store_event){
			.kind = STORE_EVENT_SUCCEEDED,
			.id = b->ids[b->sent + i],
			.attempt = 1,
			.tenant = slice_text("default"),
			.task = slice_text("echo"),
			.at_ms = now_ms,
			.started_at_ms = now_ms,
			.finished_at_ms = now_ms,
			.result = slice_text("{\"message\":\"hello, world\",\"n\":12345}"),
			.content_type = slice_text("application/json"),
			.result_is_json = true,
			.worker = slice_text("host/1234"),
		};
	}
	if (store_apply(b->store, events, b->batch, on_applied, b) < 0)
		finish(b, -1);
}

static void on_endpoint(int rc, enum store_endpoint_outcome what, const struct store_endpoint *endpoints,
	size_t len, void *arg)
{
	finish(arg, rc);
}

/* The first wants every outcome, the others none of those here. */
static void send_endpoint(struct bench *b)
{
	const struct store_endpoint e = {
		.id = id_mint(&b->minter, ID_ENDPOINT, slice_text("default"), (uint64_t)clock_wall_ms()),
		.tenant = slice_text("default"),
		.url = slice_text("https://receiver.example/hook"),
		.tasks = slice_text(b->sent == 0 ? "" : "image.*,report,video.*"),
		.secret = slice_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
		.created_at_ms = clock_wall_ms(),
	};

	if (store_endpoint_add(b->store, &e, on_endpoint, b) < 0)
		finish(b, -1);
}

static void on_tasks(int rc, const struct store_task *tasks, size_t len, void *arg)
{
	finish(arg, rc);
}

static void send_reads(struct bench *b)
{
	struct id ids[STORE_READ_MAX];

	for (size_t i = 0; i < b->batch; i++)
		ids[i] = b->ids[random_u32() % b->wanted];
	if (store_tasks_get(b->store, ids, b->batch, STORE_WITH_JSON, on_tasks, b) < 0)
		finish(b, -1);
}

static void measure(struct bench *b, const char *what, void (*send)(struct bench *b), size_t wanted,
	size_t batch, unsigned in_flight_max)
{
	struct store_stats before, after;
	int64_t began_us = clock_mono_us();
	double seconds;

	store_stats(b->store, &before);
	b->send = send;
	b->wanted = wanted / batch * batch;
	b->batch = batch;
	b->in_flight_max = in_flight_max;
	b->sent = b->done = b->in_flight = 0;
	pump(b);
	loop_run(b->loop);
	store_stats(b->store, &after);
	seconds = (double)(clock_mono_us() - began_us) / 1e6;
	printf("%-40s %10.0f /s  (%llu commits)\n", what, (double)b->wanted / seconds,
		(unsigned long long)(after.commits - before.commits));
}

static void on_state(bool is_up, const char *why, void *arg)
{
	struct bench *b = arg;

	if (!is_up) {
		fprintf(stderr, "store_bench: %s\n", why);
		exit(1);
	}
	event_base_loopbreak(loop_base(b->loop));
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct id_key key = {{1}};
	char url[512], why[256];
	struct store_options opt = {
		.url = url,
		.task_ttl_ms = 7 * 86400000ll,
		.result_ttl_ms = 86400000ll,
		.on_state = on_state,
		.arg = &b,
	};
	size_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 200000;

	if (argc < 2) {
		fprintf(stderr, "usage: store_bench FOLDER|URL [EVENTS]\n");
		return 2;
	}
	if (strchr(argv[1], ':'))
		snprintf(url, sizeof url, "%s", argv[1]);
	else
		snprintf(url, sizeof url, "sqlite:%s/store_bench.db", argv[1]);
	id_minter_init(&b.minter, &key, random_u32());
	b.ids = calloc(n, sizeof *b.ids);
	if (!b.ids || loop_new(&b.loop) < 0 || store_new(b.loop, &opt, why, sizeof why, &b.store) < 0) {
		fprintf(stderr, "store_bench: cannot start\n");
		return 1;
	}
	loop_run(b.loop);
	measure(&b, "events, one call of 256 at a time", send_events, n, 256, 1);
	measure(&b, "events, eight calls of 256 at once", send_events, n, 256, 8);
	measure(&b, "point reads, one of 256 at a time", send_reads, n, 256, 1);
	measure(&b, "point reads, 64 calls of one at once", send_reads, n, 1, IN_FLIGHT_MAX);
	measure(&b, "events, 64 calls of one at once", send_events, n / 20, 1, IN_FLIGHT_MAX);
	measure(&b, "events, one call of one at a time", send_events, n / 200, 1, 1);
	measure(&b, "endpoints registered, one at a time", send_endpoint, ENDPOINTS, 1, 1);
	measure(&b, "events with a delivery, calls of 256", send_events, n, 256, 1);
	store_free(b.store);
	loop_free(b.loop);
	free(b.ids);
	return 0;
}
