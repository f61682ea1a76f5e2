#include "runtime/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "runtime/log.h"

enum { EXIT_CUT_SHORT = 1 };

struct loop {
	struct event_base *base;
	struct event *sigterm;
	struct event *sigint;
	struct event *drain;
	loop_stop_cb *on_stop;
	void *on_stop_arg;
	int64_t drain_ms;
	bool is_stopping;
	int code;
};

struct loop_mail {
	struct event *event;
	struct mailbox *mailbox;
	loop_mail_cb *cb;
	void *arg;
};

static void cut_short(struct loop *l, const char *why)
{
	log_warn("cut_short", LOG_TEXT("why", why));
	loop_exit(l, EXIT_CUT_SHORT);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	if (l->is_stopping)
		cut_short(l, "a second signal");
	else
		loop_stop(l);
}

static void on_drain_limit(evutil_socket_t fd, short what, void *arg)
{
	cut_short(arg, "its time limit");
}

static struct event *add_signal(struct loop *l, int number)
{
	struct event *e = evsignal_new(l->base, number, on_signal, l);

	if (e && evsignal_add(e, NULL) < 0) {
		event_free(e);
		return NULL;
	}
	return e;
}

/* Everything runs on one thread, so libevent need not lock. */
static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0 &&
		event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

int loop_new(struct loop **out)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		return -ENOMEM;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	l->base = new_base();
	if (!l->base)
		goto no_memory;
	l->sigterm = add_signal(l, SIGTERM);
	l->sigint = add_signal(l, SIGINT);
	l->drain = loop_timer(l, on_drain_limit, l);
	if (!l->sigterm || !l->sigint || !l->drain)
		goto no_memory;
	*out = l;
	return 0;
no_memory:
	loop_free(l);
	return -ENOMEM;
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	free_event(l->sigterm);
	free_event(l->sigint);
	free_event(l->drain);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

void loop_on_stop(struct loop *l, loop_stop_cb *cb, void *arg, int64_t drain_ms)
{
	l->on_stop = cb;
	l->on_stop_arg = arg;
	l->drain_ms = drain_ms;
}

void loop_stop(struct loop *l)
{
	if (l->is_stopping)
		return;
	l->is_stopping = true;
	if (!l->on_stop) {
		loop_exit(l, 0);
		return;
	}
	timer_arm(l->drain, l->drain_ms);
	l->on_stop(l->on_stop_arg);
}

bool loop_is_stopping(const struct loop *l)
{
	return l->is_stopping;
}

int loop_run(struct loop *l)
{
	l->code = 0;
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return l->code;
}

void loop_exit(struct loop *l, int code)
{
	l->code = code;
	event_base_loopbreak(l->base);
}

struct event *loop_timer(struct loop *l, event_callback_fn cb, void *arg)
{
	return evtimer_new(l->base, cb, arg);
}

void timer_arm(struct event *timer, int64_t ms)
{
	struct timeval tv;

	if (ms < 0)
		ms = 0;
	tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	evtimer_add(timer, &tv);
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct loop_mail *w = arg;
	struct mail *batch = mailbox_take(w->mailbox);

	if (batch)
		w->cb(batch, w->arg);
}

int loop_mail_new(struct loop *l, struct mailbox *m, loop_mail_cb *cb, void *arg, struct loop_mail **out)
{
	struct loop_mail *w = calloc(1, sizeof *w);

	if (!w)
		return -ENOMEM;
	*w = (struct loop_mail){.mailbox = m, .cb = cb, .arg = arg};
	w->event = event_new(l->base, mailbox_fd(m), EV_READ | EV_PERSIST, on_mail, w);
	if (!w->event || event_add(w->event, NULL) < 0) {
		loop_mail_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}

void loop_mail_free(struct loop_mail *w)
{
	if (!w)
		return;
	free_event(w->event);
	free(w);
}
