#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "runtime/loop.h"

struct fixture {
	struct loop *loop;
	int stops;
	int ticks;
	int mails;
	struct loop_mail *watch;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	*state = &f;
	return loop_new(&f.loop);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	return 0;
}

static void exit_with_7(evutil_socket_t fd, short what, void *arg)
{
	loop_exit(arg, 7);
}

static void raise_term(evutil_socket_t fd, short what, void *arg)
{
	kill(getpid(), SIGTERM);
}

static void the_exit_code_comes_back(void **state)
{
	struct fixture *f = *state;
	struct event *timer = loop_timer(f->loop, exit_with_7, f->loop);

	timer_arm(timer, 0);
	assert_int_equal(loop_run(f->loop), 7);
	event_free(timer);
}

static void a_signal_ends_a_loop_that_nobody_drains(void **state)
{
	struct fixture *f = *state;
	struct event *timer = loop_timer(f->loop, raise_term, NULL);

	timer_arm(timer, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(loop_is_stopping(f->loop));
	event_free(timer);
}

static void on_stop_drains_at_once(void *arg)
{
	struct fixture *f = arg;

	f->stops++;
	loop_exit(f->loop, 0);
}

static void on_stop_never_drains(void *arg)
{
	struct fixture *f = arg;

	f->stops++;
}

static void on_stop_gets_a_second_signal(void *arg)
{
	struct fixture *f = arg;

	f->stops++;
	kill(getpid(), SIGINT);
}

static void run_until_stopped(struct fixture *f, loop_stop_cb *cb, int64_t drain_ms, int code)
{
	struct event *timer = loop_timer(f->loop, raise_term, NULL);

	loop_on_stop(f->loop, cb, f, drain_ms);
	timer_arm(timer, 0);
	assert_int_equal(loop_run(f->loop), code);
	assert_int_equal(f->stops, 1);
	event_free(timer);
}

static void the_service_drains_and_ends_the_loop(void **state)
{
	run_until_stopped(*state, on_stop_drains_at_once, 60000, 0);
}

static void the_drain_limit_ends_a_loop_that_does_not_drain(void **state)
{
	run_until_stopped(*state, on_stop_never_drains, 20, 1);
}

static void a_second_signal_ends_the_loop_at_once(void **state)
{
	run_until_stopped(*state, on_stop_gets_a_second_signal, 60000, 1);
}

static void broken_pipes_and_hangups_do_not_kill(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(write(fds[1], "x", 1), -1);
	close(fds[1]);
	kill(getpid(), SIGHUP);
	assert_false(loop_is_stopping(f->loop));
}

static void arming_again_moves_a_timer(void **state)
{
	struct fixture *f = *state;
	struct event *timer = loop_timer(f->loop, exit_with_7, f->loop);
	int64_t start = clock_mono_ms();

	timer_arm(timer, 1);
	timer_arm(timer, 50);
	assert_int_equal(loop_run(f->loop), 7);
	assert_true(clock_mono_ms() - start >= 40);
	event_free(timer);
}

static void on_mail_frees_itself(struct mail *batch, void *arg)
{
	struct fixture *f = arg;

	for (; batch; batch = batch->next)
		f->mails++;
	loop_mail_free(f->watch);
	loop_exit(f->loop, 0);
}

static void mail_comes_as_a_batch_and_its_watch_may_go_inside(void **state)
{
	struct fixture *f = *state;
	struct mail mails[2];
	struct mailbox *m;

	assert_int_equal(mailbox_new(&m), 0);
	assert_int_equal(loop_mail_new(f->loop, m, on_mail_frees_itself, f, &f->watch), 0);
	mailbox_post(m, &mails[0]);
	mailbox_post(m, &mails[1]);
	loop_run(f->loop);
	assert_int_equal(f->mails, 2);
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_exit_code_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_signal_ends_a_loop_that_nobody_drains, setup, teardown),
		cmocka_unit_test_setup_teardown(the_service_drains_and_ends_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_drain_limit_ends_a_loop_that_does_not_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_signal_ends_the_loop_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_pipes_and_hangups_do_not_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(arming_again_moves_a_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(
			mail_comes_as_a_batch_and_its_watch_may_go_inside, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
