#include "notifier/due.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "notifier/channel.h"
#include "notifier/metrics.h"
#include "runtime/clock.h"

/* Rows are looked for this often when nobody wakes the loop: gateways of other processes insert them too. */
enum { LOOK_EVERY_MS = 100, IN_FLIGHT_MAX = 2048, RETRY_MS = 500 };

static const struct channel *const channels[] = {&channel_task};
#define CHANNELS (sizeof channels / sizeof *channels)

struct ticket {
	struct due *due;
	struct ticket *next;
	const struct channel *channel;
	struct id row;
	int64_t started_ms; /* monotonic */
	enum store_due_end how;
	int64_t at_ms, again_at_ms, took_ms;
	int32_t status;
	char error[200];
	uint8_t *response;
	size_t response_len;
};

struct due {
	struct service *service;
	struct store *store;
	void *selves[CHANNELS];
	uint64_t owner;
	struct event *timer;
	struct event *flush_timer;
	uint64_t version;
	int64_t next_due_ms;
	size_t in_flight;
	bool store_is_up, is_claiming, is_asking, is_wanted, is_stopping;
	struct ticket *ended, **ended_tail; /* to be written down */
	struct ticket *writing;		    /* being written down */
	void (*drained)(void *arg);
	void *drained_arg;
};

static void claim(struct due *d);

static void schedule_flush(struct due *d)
{
	if (!event_pending(d->flush_timer, EV_TIMEOUT, NULL))
		timer_arm(d->flush_timer, 0);
}

/* ---- what became of rows ---- */

static void ticket_free(struct ticket *t)
{
	free(t->response);
	free(t);
}

void ticket_end(struct ticket *t, enum store_due_end how, int64_t again_ms, int32_t status, const char *error,
	struct slice response)
{
	static const char *const names[] = {
		[STORE_DUE_DONE] = "done", [STORE_DUE_AGAIN] = "again", [STORE_DUE_DEAD] = "dead"};
	struct due *d = t->due;

	t->how = how;
	t->at_ms = clock_wall_ms();
	t->again_at_ms = t->at_ms + again_ms;
	t->took_ms = clock_mono_ms() - t->started_ms;
	t->status = status;
	snprintf(t->error, sizeof t->error, "%s", error ? error : "");
	if (response.len && (t->response = malloc(response.len))) {
		memcpy(t->response, response.data, response.len);
		t->response_len = response.len;
	}
	metrics_add(d->service->metrics, NOTIFIER_DUE, 1, t->channel->name, names[how]);
	*d->ended_tail = t;
	d->ended_tail = &t->next;
	schedule_flush(d);
}

static void check_drained(struct due *d)
{
	void (*drained)(void *arg) = d->drained;

	if (!d->is_stopping || d->in_flight > 0 || d->is_claiming || !drained)
		return;
	d->drained = NULL;
	drained(d->drained_arg);
}

static void on_written(int rc, void *arg)
{
	struct due *d = arg;
	struct ticket *next;
	bool is_more = d->ended != NULL;

	if (rc < 0) {
		struct ticket **tail = &d->writing;

		while (*tail)
			tail = &(*tail)->next;
		*tail = d->ended;
		if (!d->ended)
			d->ended_tail = tail;
		d->ended = d->writing;
		d->writing = NULL;
		timer_arm(d->flush_timer, RETRY_MS);
		return;
	}
	for (struct ticket *t = d->writing; t; t = next) {
		next = t->next;
		ticket_free(t);
		d->in_flight--;
	}
	d->writing = NULL;
	if (is_more)
		schedule_flush(d);
	if (d->is_wanted)
		claim(d);
	check_drained(d);
}

static void to_result(const struct ticket *t, struct store_due_result *out)
{
	*out = (struct store_due_result){
		.row = t->row,
		.how = t->how,
		.at_ms = t->at_ms,
		.again_at_ms = t->again_at_ms,
		.took_ms = t->took_ms,
		.status = t->status,
		.error = t->error[0] ? slice_text(t->error) : (struct slice){0},
		.response = slice_of(t->response, t->response_len),
	};
}

/* Writes down what has ended, STORE_DUE_MAX at a time, one write on its way at a time. */
static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct due *d = arg;
	struct store_due_result results[STORE_DUE_MAX];
	struct ticket **end = &d->ended;
	size_t len = 0;
	int rc;

	if (d->writing || !d->ended)
		return;
	while (*end && len < STORE_DUE_MAX) {
		to_result(*end, &results[len++]);
		end = &(*end)->next;
	}
	rc = store_due_end(d->store, d->owner, results, len, on_written, d);
	if (rc < 0) {
		timer_arm(d->flush_timer, RETRY_MS);
		return;
	}
	d->writing = d->ended;
	d->ended = *end;
	if (!d->ended)
		d->ended_tail = &d->ended;
	*end = NULL;
}

/* ---- claiming ---- */

static size_t channel_of(struct slice name)
{
	size_t i = 0;

	while (i < CHANNELS && !slice_is_text(name, channels[i]->name))
		i++;
	return i;
}

static void dispatch(struct due *d, const struct store_due *row)
{
	size_t i = channel_of(row->channel);
	struct ticket *t = calloc(1, sizeof *t);

	if (!t || i == CHANNELS) {
		free(t); /* its lease ends and it is claimed again */
		return;
	}
	t->due = d;
	t->channel = channels[i];
	t->row = row->row;
	t->started_ms = clock_mono_ms();
	d->in_flight++;
	channels[i]->send(d->selves[i], row, t);
}

static void on_claimed(int rc, const struct store_due *due, size_t len, int64_t next_due_ms, void *arg)
{
	struct due *d = arg;

	d->is_claiming = false;
	if (rc < 0) {
		timer_arm(d->timer, RETRY_MS);
		check_drained(d);
		return;
	}
	for (size_t i = 0; i < len; i++)
		dispatch(d, &due[i]);
	d->next_due_ms = next_due_ms;
	if (len > 0 && next_due_ms <= clock_wall_ms())
		d->is_wanted = true;
	else if (next_due_ms <= clock_wall_ms())
		d->next_due_ms =
			clock_wall_ms() + LOOK_EVERY_MS; /* due, but not to be had: leased or not ready */
	if (d->is_wanted)
		claim(d);
	check_drained(d);
}

/* The names of the channels that can send now, comma separated. */
static size_t ready_channels(const struct due *d, char *names, size_t size)
{
	size_t len = 0;

	names[0] = '\0';
	for (size_t i = 0; i < CHANNELS; i++) {
		if (channels[i]->is_ready(d->selves[i]))
			len += (size_t)snprintf(
				names + len, size - len, "%s%s", len ? "," : "", channels[i]->name);
	}
	return len;
}

/* Keeps `is_wanted` while it cannot claim: whoever ends what is in the way calls again. */
static void claim(struct due *d)
{
	char names[64];
	int rc;

	d->is_wanted = true;
	if (d->is_stopping || !d->store_is_up || d->is_claiming || d->in_flight >= IN_FLIGHT_MAX ||
		ready_channels(d, names, sizeof names) == 0)
		return;
	rc = store_due_claim(
		d->store, d->owner, names, clock_wall_ms(), CHANNEL_LEASE_MS, STORE_DUE_MAX, on_claimed, d);
	if (rc < 0)
		return;
	d->is_claiming = true;
	d->is_wanted = false;
}

static void on_version(int rc, uint64_t version, void *arg)
{
	struct due *d = arg;

	d->is_asking = false;
	if (rc < 0)
		return;
	if (version != d->version || d->is_wanted || d->next_due_ms <= clock_wall_ms()) {
		d->version = version;
		claim(d);
	}
}

static int64_t until_next_look(const struct due *d)
{
	int64_t left_ms = d->next_due_ms - clock_wall_ms();

	return left_ms < 1 ? 1 : left_ms < LOOK_EVERY_MS ? left_ms : LOOK_EVERY_MS;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct due *d = arg;

	if (d->is_stopping)
		return;
	if (d->store_is_up && !d->is_asking && !d->is_claiming)
		d->is_asking = store_version(d->store, on_version, d) == 0;
	timer_arm(d->timer, d->is_wanted ? LOOK_EVERY_MS : until_next_look(d));
}

void due_wake(struct due *d)
{
	claim(d);
}

void due_set_store(struct due *d, bool is_up)
{
	d->store_is_up = is_up;
	if (is_up)
		claim(d);
}

void due_stop(struct due *d, void (*drained)(void *arg), void *arg)
{
	d->is_stopping = true;
	d->drained = drained;
	d->drained_arg = arg;
	check_drained(d);
}

size_t due_in_flight(const struct due *d)
{
	return d->in_flight;
}

/* ---- life ---- */

static int start_channels(struct due *d)
{
	for (size_t i = 0; i < CHANNELS; i++) {
		int rc = channels[i]->start(d->service, &d->selves[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int due_new(struct service *s, struct store *store, struct due **out)
{
	struct due *d = calloc(1, sizeof *d);
	int rc = -ENOMEM;

	if (!d)
		goto out;
	d->service = s;
	d->store = store;
	d->ended_tail = &d->ended;
	random_fill(&d->owner, sizeof d->owner);
	d->timer = loop_timer(s->loop, on_timer, d);
	d->flush_timer = loop_timer(s->loop, on_flush, d);
	if (!d->timer || !d->flush_timer)
		goto out;
	rc = start_channels(d);
	if (rc < 0)
		goto out;
	timer_arm(d->timer, 0);
	*out = d;
	d = NULL;
out:
	due_free(d);
	return rc;
}

static void tickets_free(struct ticket *t)
{
	while (t) {
		struct ticket *next = t->next;

		ticket_free(t);
		t = next;
	}
}

void due_free(struct due *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < CHANNELS; i++) {
		if (d->selves[i])
			channels[i]->free(d->selves[i]);
	}
	tickets_free(d->ended);
	tickets_free(d->writing);
	if (d->timer)
		event_free(d->timer);
	if (d->flush_timer)
		event_free(d->flush_timer);
	free(d);
}
