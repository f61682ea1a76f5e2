#include "notifier/due.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "notifier/channel_email.h"
#include "notifier/channel_sms.h"
#include "notifier/channel_webhook.h"
#include "notifier/metrics.h"
#include "notifier/pace.h"
#include "runtime/clock.h"

/* Rows are looked for this often when nobody wakes the loop: gateways of other processes insert them too. */
enum { LOOK_EVERY_MS = 100, RETRY_MS = 500 };

static const struct channel *const channels[] = {
	&channel_task, &channel_email, &channel_sms, &channel_webhook};
#define CHANNELS (sizeof channels / sizeof *channels)

/* A channel with what is claimed for it: each claims for itself, so that the rows of one never wait for another's. */
struct lane {
	struct due *due;
	const struct channel *channel;
	void *self;
	size_t in_flight;
	int64_t next_due_ms;
	bool is_claiming, is_wanted;
};

struct ticket {
	struct lane *lane;
	struct ticket *next;
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
	struct lane lanes[CHANNELS];
	uint64_t owner;
	int64_t disable_after_ms; /* registered endpoints that only fail */
	struct event *timer;
	struct event *flush_timer;
	uint64_t version;
	bool store_is_up, is_asking, is_stopping;
	bool is_behind; /* the store did not take what became of rows, whose leases may end meanwhile */
	struct ticket *ended, **ended_tail; /* to be written down */
	struct ticket *writing;		    /* being written down */
	size_t ended_len, last_len;	    /* to be written down; of the last write */
	void (*drained)(void *arg);
	void *drained_arg;
};

static void claim(struct lane *l);
static void claim_wanted(struct due *d);

static void schedule_flush(struct due *d)
{
	bool is_full = d->ended_len >= STORE_DUE_MAX && !d->is_behind;

	if (d->writing || (event_pending(d->flush_timer, EV_TIMEOUT, NULL) && !is_full))
		return;
	timer_arm(d->flush_timer, is_full ? 0 : pace_ms(d->last_len));
}

/* ---- what became of rows ---- */

static void ticket_free(struct ticket *t)
{
	free(t->response);
	free(t);
}

void ticket_begin(struct ticket *t)
{
	ticket_began(t, clock_mono_ms());
}

void ticket_began(struct ticket *t, int64_t mono_ms)
{
	t->started_ms = mono_ms;
}

static void count(const struct ticket *t)
{
	static const char *const outcomes[] = {[STORE_DUE_DONE] = "done",
		[STORE_DUE_AGAIN] = "again",
		[STORE_DUE_LATER] = "later",
		[STORE_DUE_DEAD] = "dead"};
	static const char *const deliveries[] = {[STORE_DUE_DONE] = "delivered",
		[STORE_DUE_AGAIN] = "failed",
		[STORE_DUE_LATER] = "put_off",
		[STORE_DUE_DEAD] = "dead"};
	struct metrics *m = t->lane->due->service->metrics;
	const char *name = t->lane->channel->name;

	metrics_add(m, NOTIFIER_DUE, 1, name, outcomes[t->how]);
	if (!t->lane->channel->delivers)
		return;
	metrics_add(m, NOTIFIER_DELIVERIES, 1, name, deliveries[t->how]);
	if (t->how != STORE_DUE_LATER)
		metrics_observe(m, NOTIFIER_ATTEMPT_SECONDS, (double)t->took_ms / 1000, name);
}

void ticket_end(struct ticket *t, enum store_due_end how, int64_t again_ms, int32_t status, const char *error,
	struct slice response)
{
	struct due *d = t->lane->due;

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
	count(t);
	*d->ended_tail = t;
	d->ended_tail = &t->next;
	d->ended_len++;
	schedule_flush(d);
}

static void check_drained(struct due *d)
{
	void (*drained)(void *arg) = d->drained;

	if (!d->is_stopping || !drained)
		return;
	for (size_t i = 0; i < CHANNELS; i++)
		if (d->lanes[i].in_flight > 0 || d->lanes[i].is_claiming)
			return;
	d->drained = NULL;
	drained(d->drained_arg);
}

static void say_disabled(struct due *d, const struct store_endpoint *e)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&e->id, id);
	log_warn("endpoint_disabled", LOG_TEXT("id", id), LOG_SLICE("tenant", e->tenant),
		LOG_SLICE("reason", e->disabled_reason));
	metrics_add(d->service->metrics, NOTIFIER_ENDPOINTS_DISABLED, 1);
}

/* Nothing is claimed until all has been written down: it could be what was sent already. */
static void fall_behind(struct due *d)
{
	d->is_behind = true;
	timer_arm(d->flush_timer, RETRY_MS);
}

static void on_written(int rc, const struct store_endpoint *disabled, size_t disabled_len, void *arg)
{
	struct due *d = arg;
	struct ticket *next;
	bool is_more = d->ended != NULL;

	for (size_t i = 0; i < disabled_len; i++)
		say_disabled(d, &disabled[i]);
	if (rc < 0) {
		struct ticket **tail = &d->writing;

		while (*tail)
			tail = &(*tail)->next;
		*tail = d->ended;
		if (!d->ended)
			d->ended_tail = tail;
		d->ended = d->writing;
		d->ended_len += d->last_len;
		d->writing = NULL;
		fall_behind(d);
		return;
	}
	for (struct ticket *t = d->writing; t; t = next) {
		next = t->next;
		t->lane->in_flight--;
		ticket_free(t);
	}
	d->writing = NULL;
	d->is_behind &= is_more;
	if (is_more)
		schedule_flush(d);
	else
		claim_wanted(d);
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
		.disable_after_ms = t->lane->due->disable_after_ms,
	};
}

/* Writes down what has ended, STORE_DUE_MAX at a time, one write on its way at a time; what is claimed shares its commit. */
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
		fall_behind(d);
		return;
	}
	d->writing = d->ended;
	d->ended = *end;
	if (!d->ended)
		d->ended_tail = &d->ended;
	*end = NULL;
	d->last_len = len;
	d->ended_len -= len;
	claim_wanted(d);
}

/* ---- claiming ---- */

static void dispatch(struct lane *l, const struct store_due *row)
{
	struct ticket *t = calloc(1, sizeof *t);

	if (!t)
		return; /* its lease ends and it is claimed again */
	t->lane = l;
	t->row = row->row;
	t->started_ms = clock_mono_ms();
	l->in_flight++;
	l->channel->send(l->self, row, t);
}

static void on_claimed(int rc, const struct store_due *due, size_t len, int64_t next_due_ms, void *arg)
{
	struct lane *l = arg;

	l->is_claiming = false;
	if (rc < 0) {
		timer_arm(l->due->timer, RETRY_MS);
		check_drained(l->due);
		return;
	}
	for (size_t i = 0; i < len; i++)
		dispatch(l, &due[i]);
	l->next_due_ms = next_due_ms;
	if (len > 0 && next_due_ms <= clock_wall_ms())
		l->is_wanted = true;
	else if (next_due_ms <= clock_wall_ms())
		l->next_due_ms =
			clock_wall_ms() + LOOK_EVERY_MS; /* due, but not to be had: leased or not ready */
	if (l->is_wanted)
		claim(l);
	check_drained(l->due);
}

static size_t room_of(const struct lane *l)
{
	size_t capacity = l->channel->capacity(l->self);
	size_t room = capacity > l->in_flight ? capacity - l->in_flight : 0;

	return room < STORE_DUE_MAX ? room : STORE_DUE_MAX;
}

static void claim_now(struct lane *l)
{
	struct due *d = l->due;
	size_t room;

	if (d->is_stopping || !d->store_is_up || d->is_behind || l->is_claiming)
		return;
	room = room_of(l);
	if (room == 0 || store_due_claim(d->store, d->owner, l->channel->name, clock_wall_ms(),
				 CHANNEL_LEASE_MS, room, on_claimed, l) < 0)
		return;
	l->is_claiming = true;
	l->is_wanted = false;
}

/* Stays wanted while it cannot be had: whoever ends what is in the way claims, as does the next write. */
static void claim(struct lane *l)
{
	l->is_wanted = true;
	if (!l->due->ended && !l->due->writing)
		claim_now(l);
}

static void claim_wanted(struct due *d)
{
	for (size_t i = 0; i < CHANNELS; i++)
		if (d->lanes[i].is_wanted)
			claim_now(&d->lanes[i]);
}

static void claim_all(struct due *d)
{
	for (size_t i = 0; i < CHANNELS; i++)
		claim(&d->lanes[i]);
}

static void on_version(int rc, uint64_t version, void *arg)
{
	struct due *d = arg;

	d->is_asking = false;
	if (rc < 0)
		return;
	for (size_t i = 0; i < CHANNELS; i++) {
		struct lane *l = &d->lanes[i];

		if (version != d->version || l->is_wanted || l->next_due_ms <= clock_wall_ms())
			claim(l);
	}
	d->version = version;
}

/* Of the channel that is soonest; one that wants to claim and cannot is asked again before long. */
static int64_t until_next_look(const struct due *d)
{
	int64_t left_ms = LOOK_EVERY_MS;

	for (size_t i = 0; i < CHANNELS; i++) {
		const struct lane *l = &d->lanes[i];
		int64_t own_ms = l->is_wanted ? LOOK_EVERY_MS : l->next_due_ms - clock_wall_ms();

		if (own_ms < left_ms)
			left_ms = own_ms;
	}
	return left_ms < 1 ? 1 : left_ms;
}

static bool is_claiming(const struct due *d)
{
	bool is = false;

	for (size_t i = 0; i < CHANNELS; i++)
		is |= d->lanes[i].is_claiming;
	return is;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct due *d = arg;

	if (d->is_stopping)
		return;
	if (d->store_is_up && !d->is_asking && !is_claiming(d))
		d->is_asking = store_version(d->store, on_version, d) == 0;
	timer_arm(d->timer, d->store_is_up ? until_next_look(d) : LOOK_EVERY_MS);
}

void due_wake(struct due *d)
{
	claim_all(d);
}

void due_set_store(struct due *d, bool is_up)
{
	d->store_is_up = is_up;
	if (!is_up)
		return;
	if (d->ended)
		timer_arm(d->flush_timer, 0);
	claim_all(d);
}

void due_stop(struct due *d, void (*drained)(void *arg), void *arg)
{
	d->is_stopping = true;
	d->drained = drained;
	d->drained_arg = arg;
	for (size_t i = 0; i < CHANNELS; i++)
		if (channels[i]->stop)
			channels[i]->stop(d->lanes[i].self);
	check_drained(d);
}

size_t due_in_flight(const struct due *d)
{
	size_t in_flight = 0;

	for (size_t i = 0; i < CHANNELS; i++)
		in_flight += d->lanes[i].in_flight;
	return in_flight;
}

/* ---- life ---- */

static int start_lanes(struct due *d, const struct notifier_options *options)
{
	for (size_t i = 0; i < CHANNELS; i++) {
		struct lane *l = &d->lanes[i];
		int rc;

		l->due = d;
		l->channel = channels[i];
		rc = l->channel->start(d->service, options, d->store, &l->self);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int due_new(struct service *s, const struct notifier_options *options, struct store *store, struct due **out)
{
	struct due *d = calloc(1, sizeof *d);
	int rc = -ENOMEM;

	if (!d)
		goto out;
	d->service = s;
	d->store = store;
	d->disable_after_ms = options->webhook.disable_after_ms;
	d->ended_tail = &d->ended;
	random_fill(&d->owner, sizeof d->owner);
	d->timer = loop_timer(s->loop, on_timer, d);
	d->flush_timer = loop_timer(s->loop, on_flush, d);
	if (!d->timer || !d->flush_timer)
		goto out;
	rc = start_lanes(d, options);
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
		if (d->lanes[i].self)
			channels[i]->free(d->lanes[i].self);
	}
	tickets_free(d->ended);
	tickets_free(d->writing);
	if (d->timer)
		event_free(d->timer);
	if (d->flush_timer)
		event_free(d->flush_timer);
	free(d);
}
