#include "service/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

struct supervisor {
	struct event *timer;
	int64_t every_ms;
};

static void feed(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	sd_notify(0, "WATCHDOG=1");
	timer_arm(s->timer, s->every_ms);
}

int supervisor_new(struct loop *loop, struct supervisor **out)
{
	struct supervisor *s = calloc(1, sizeof *s);
	uint64_t limit_us = 0;

	if (!s)
		return -ENOMEM;
	if (sd_watchdog_enabled(0, &limit_us) > 0) {
		/* Twice within its time, as systemd's manual advises. */
		s->every_ms = limit_us / 2000 > 0 ? (int64_t)(limit_us / 2000) : 1;
		s->timer = loop_timer(loop, feed, s);
		if (!s->timer) {
			supervisor_free(s);
			return -ENOMEM;
		}
		timer_arm(s->timer, 0);
	}
	*out = s;
	return 0;
}

void supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	if (s->timer)
		event_free(s->timer);
	free(s);
}

void supervisor_tell_ready(void)
{
	sd_notify(0, "READY=1");
}

void supervisor_tell_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}
