#include "processor/child.h"
#include "processor/environment.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct reaper *reaper;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	if (!f || loop_new(&f->loop) < 0 || reaper_new(f->loop, &f->reaper) < 0)
		return -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	reaper_free(f->reaper);
	loop_free(f->loop);
	free(f);
	return 0;
}

struct trial {
	struct loop *loop;
	struct buf output, errors;
	struct child_end end;
	bool has_ended;
};

static void on_output(struct slice bytes, void *arg)
{
	buf_append_slice(&((struct trial *)arg)->output, bytes);
}

static void on_errors(struct slice bytes, void *arg)
{
	buf_append_slice(&((struct trial *)arg)->errors, bytes);
}

static void on_end(const struct child_end *end, void *arg)
{
	struct trial *t = arg;

	t->end = *end;
	t->has_ended = true;
	loop_exit(t->loop, 0);
}

static const struct child_events events = {on_output, on_errors, on_end};

static struct child *start(struct fixture *f, struct trial *t, const char *script)
{
	char sh[] = "sh";
	char flag[] = "-c";
	char *argv[] = {sh, flag, (char *)(uintptr_t)script, NULL};
	struct child_spec spec = {.path = "/bin/sh", .argv = argv, .environ = environ};
	struct child *c;

	*t = (struct trial){.loop = f->loop};
	buf_init(&t->output, 1 << 24);
	buf_init(&t->errors, 1 << 24);
	assert_int_equal(child_start(f->reaper, &spec, &events, t, &c), 0);
	return c;
}

static void finish(struct fixture *f, struct trial *t)
{
	while (!t->has_ended)
		loop_run(f->loop);
}

static void done(struct trial *t)
{
	buf_done(&t->output);
	buf_done(&t->errors);
}

static void exit_codes_and_signals_are_told(void **state)
{
	struct trial t;

	start(*state, &t, "echo out; echo err >&2; exit 7");
	finish(*state, &t);
	assert_int_equal(t.end.code, 7);
	assert_int_equal(t.end.signal, 0);
	assert_string_equal(buf_text(&t.output), "out\n");
	assert_string_equal(buf_text(&t.errors), "err\n");
	done(&t);
	start(*state, &t, "kill -USR1 $$");
	finish(*state, &t);
	assert_int_equal(t.end.signal, SIGUSR1);
	done(&t);
	assert_int_equal(reaper_children(((struct fixture *)*state)->reaper), 0);
}

static void input_of_any_size_goes_through(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 65536, 65537, 3000000};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char *body = malloc(sizes[i] + 1);
		struct trial t;
		struct child *c = start(*state, &t, "cat");

		assert_non_null(body);
		memset(body, 'x', sizes[i]);
		child_send(c, slice_text("head"), slice_of(body, sizes[i]), true);
		finish(*state, &t);
		assert_int_equal(t.end.code, 0);
		assert_int_equal(t.output.len, sizes[i] + 4);
		assert_memory_equal(t.output.data, "head", 4);
		done(&t);
		free(body);
	}
}

static void a_child_that_reads_nothing_is_no_error(void **state)
{
	static char body[1000000];
	struct trial t;
	struct child *c = start(*state, &t, "exec 0<&-; sleep 0.05; echo fine");

	child_send(c, slice_of(NULL, 0), slice_of(body, sizeof body), true);
	finish(*state, &t);
	assert_string_equal(buf_text(&t.output), "fine\n");
	done(&t);
}

static void it_ends_with_its_process_not_with_its_pipes(void **state)
{
	struct trial t;

	start(*state, &t, "setsid sleep 100 & echo gone");
	finish(*state, &t);
	assert_string_equal(buf_text(&t.output), "gone\n");
	done(&t);
	start(*state, &t, "exec 1>&- 2>&-; exit 3");
	finish(*state, &t);
	assert_int_equal(t.end.code, 3);
	done(&t);
}

static void term_comes_first_and_kill_after_the_grace(void **state)
{
	struct trial t;
	struct child *c =
		start(*state, &t, "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.01; done");

	while (t.output.len == 0)
		event_base_loop(loop_base(t.loop), EVLOOP_ONCE);
	child_end(c, 60000);
	finish(*state, &t);
	assert_int_equal(t.end.code, 9);
	done(&t);
	c = start(*state, &t, "trap '' TERM; echo up; while :; do sleep 0.01; done");
	while (t.output.len == 0)
		event_base_loop(loop_base(t.loop), EVLOOP_ONCE);
	child_end(c, 50);
	finish(*state, &t);
	assert_int_equal(t.end.signal, SIGKILL);
	done(&t);
}

static void freeing_kills_and_reaps(void **state)
{
	struct fixture *f = *state;
	struct trial t;
	struct child *c = start(f, &t, "sleep 1000");

	assert_int_equal(reaper_children(f->reaper), 1);
	child_free(c);
	child_free(NULL);
	assert_int_equal(reaper_children(f->reaper), 0);
	assert_false(t.has_ended);
	done(&t);
}

static void a_program_that_is_not_there_is_told_at_once(void **state)
{
	struct fixture *f = *state;
	char name[] = "x";
	char *argv[] = {name, NULL};
	struct child_spec spec = {.path = "/no/such/program", .argv = argv, .environ = environ};
	struct child *c;

	assert_int_equal(child_start(f->reaper, &spec, &events, NULL, &c), -ENOENT);
	spec.path = "/etc/passwd";
	assert_int_equal(child_start(f->reaper, &spec, &events, NULL, &c), -EACCES);
	spec.path = "/bin/sh";
	spec.cwd = "/no/such/folder";
	assert_int_equal(child_start(f->reaper, &spec, &events, NULL, &c), -ENOENT);
	assert_int_equal(reaper_children(f->reaper), 0);
}

static void programs_are_found_as_a_shell_finds_them(void **state)
{
	char path[64];

	assert_int_equal(program_find("sh", NULL, path, sizeof path), 0);
	assert_true(path[0] == '/');
	assert_int_equal(program_find("/bin/sh", NULL, path, sizeof path), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(program_find("./sh", "/bin", path, sizeof path), 0);
	assert_int_equal(program_find("./sh", "/etc", path, sizeof path), -ENOENT);
	assert_int_equal(program_find("nobody-has-this", NULL, path, sizeof path), -ENOENT);
	assert_int_equal(program_find("/etc/passwd", NULL, path, sizeof path), -EACCES);
	assert_int_equal(program_find("/bin", NULL, path, sizeof path), -EACCES);
	assert_int_equal(program_find("", NULL, path, sizeof path), -ENOENT);
	assert_int_equal(program_find("/bin/sh", NULL, path, 4), -ENAMETOOLONG);
}

static const char *value_of(const struct environment *e, const char *name)
{
	for (size_t i = 0; i < e->len; i++)
		if (strncmp(e->vars[i], name, strlen(name)) == 0 && e->vars[i][strlen(name)] == '=')
			return e->vars[i] + strlen(name) + 1;
	return NULL;
}

static void the_environment_keeps_our_secrets_back(void **state)
{
	char color[] = "COLOR=blue";
	char home[] = "HOME=/elsewhere";
	char task[] = "t";
	char *assignments[] = {color, home};
	struct handler_options o = {.task = task, .env = {assignments, 2}};
	struct request r = {.attempt = 2, .content_type = slice_text("text/plain")};
	struct job job = {.request = &r, .deadline_ms = 5, .traceparent = slice_text("00-aa")};
	struct environment e;

	setenv("POSTBACK_AMQP_URL", "amqp://secret", 1);
	setenv("NOTIFY_SOCKET", "/run/x", 1);
	assert_int_equal(environment_init(&e, &o), 0);
	assert_int_equal(environment_describe(&e, &job), 0);
	assert_null(value_of(&e, "POSTBACK_AMQP_URL"));
	assert_null(value_of(&e, "NOTIFY_SOCKET"));
	assert_string_equal(value_of(&e, "COLOR"), "blue");
	assert_string_equal(value_of(&e, "HOME"), "/elsewhere");
	assert_string_equal(value_of(&e, "POSTBACK_TASK"), "t");
	assert_string_equal(value_of(&e, "POSTBACK_ATTEMPT"), "2");
	assert_string_equal(value_of(&e, "POSTBACK_DEADLINE"), "5");
	assert_string_equal(value_of(&e, "TRACEPARENT"), "00-aa");
	job.traceparent = (struct slice){0};
	assert_int_equal(environment_describe(&e, &job), 0);
	assert_null(value_of(&e, "TRACEPARENT"));
	assert_null(e.vars[e.len]);
	environment_done(&e);
	unsetenv("POSTBACK_AMQP_URL");
	unsetenv("NOTIFY_SOCKET");
}

static void assignments_are_checked(void **state)
{
	assert_true(environment_is_valid("A=b"));
	assert_true(environment_is_valid("_a1="));
	assert_false(environment_is_valid("A"));
	assert_false(environment_is_valid("=b"));
	assert_false(environment_is_valid("1A=b"));
	assert_false(environment_is_valid("A-B=c"));
	assert_false(environment_is_valid("POSTBACK_TASK=x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_and_signals_are_told),
		cmocka_unit_test(input_of_any_size_goes_through),
		cmocka_unit_test(a_child_that_reads_nothing_is_no_error),
		cmocka_unit_test(it_ends_with_its_process_not_with_its_pipes),
		cmocka_unit_test(term_comes_first_and_kill_after_the_grace),
		cmocka_unit_test(freeing_kills_and_reaps),
		cmocka_unit_test(a_program_that_is_not_there_is_told_at_once),
		cmocka_unit_test(programs_are_found_as_a_shell_finds_them),
		cmocka_unit_test(the_environment_keeps_our_secrets_back),
		cmocka_unit_test(assignments_are_checked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
