#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/clock.h"
#include "runtime/log.h"

/* What was written to stderr between capture() and captured(). */
static int memory = -1;
static int real_stderr = -1;
static char output[256 * 1024];

static void capture(void)
{
	real_stderr = dup(STDERR_FILENO);
	memory = memfd_create("stderr", 0);
	assert_true(real_stderr >= 0 && memory >= 0);
	/* Threads write side by side. */
	assert_int_equal(fcntl(memory, F_SETFL, O_APPEND), 0);
	dup2(memory, STDERR_FILENO);
}

static const char *captured(void)
{
	ssize_t len;

	dup2(real_stderr, STDERR_FILENO);
	len = pread(memory, output, sizeof output - 1, 0);
	assert_true(len >= 0);
	output[len] = '\0';
	close(memory);
	close(real_stderr);
	return output;
}

/* The line behind its timestamp. */
static const char *rest(const char *line)
{
	int64_t ms;

	assert_int_equal(strncmp(line, "ts=", 3), 0);
	assert_int_equal(clock_parse(line + 3, CLOCK_TEXT_LEN, &ms), 0);
	assert_int_equal(line[3 + CLOCK_TEXT_LEN], ' ');
	return line + 4 + CLOCK_TEXT_LEN;
}

static void an_event_is_one_line_of_fields(void **state)
{
	log_init("gateway", LOG_INFO);
	capture();
	log_warn("broker_lost", LOG_TEXT("host", "127.0.0.1:5672"), LOG_INT("tries", -3), LOG_ERRNO(-EPIPE));
	assert_string_equal(rest(captured()),
		"level=warn service=gateway event=broker_lost host=127.0.0.1:5672 tries=-3 error=\"Broken pipe\"\n");
}

static void an_event_needs_no_fields(void **state)
{
	log_init("gateway", LOG_INFO);
	capture();
	log_info("started");
	assert_string_equal(rest(captured()), "level=info service=gateway event=started\n");
}

static void levels_below_the_chosen_one_are_silent(void **state)
{
	log_init("t", LOG_WARN);
	assert_false(log_is_on(LOG_INFO));
	assert_true(log_is_on(LOG_ERROR));
	capture();
	log_debug("a");
	log_info("b");
	log_warn("c");
	log_error("d");
	assert_non_null(strstr(captured(), "event=c\n"));
	assert_null(strstr(output, "event=a"));
	assert_null(strstr(output, "event=b"));
	assert_non_null(strstr(output, "level=error service=t event=d\n"));
	log_init("t", LOG_DEBUG);
	assert_true(log_is_on(LOG_DEBUG));
}

static void level_names_are_read_and_others_refused(void **state)
{
	enum log_level level = LOG_ERROR;

	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_ERROR);
	assert_int_equal(log_level_parse("INFO", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(level, LOG_ERROR);
}

static const char *logged_value(struct slice value)
{
	capture();
	log_error("e", LOG_SLICE("v", value));
	return rest(captured()) + strlen("level=error service=t event=e ");
}

static void foreign_text_is_quoted_and_cannot_forge_a_line(void **state)
{
	static const struct {
		const char *value, *logged;
	} cases[] = {
		{"", "v=\"\"\n"},
		{"Az09_./:@+-", "v=Az09_./:@+-\n"},
		{"two words", "v=\"two words\"\n"},
		{"a=b", "v=\"a=b\"\n"},
		{"x\nts=now level=error", "v=\"x\\nts=now level=error\"\n"},
		{"a\"b\\c", "v=\"a\\\"b\\\\c\"\n"},
		{"\r\t\x1b[31m\x7f", "v=\"\\r\\t\\x1b[31m\\x7f\"\n"},
		{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
			"v=\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"\n"},
		{"\xff\xc3(\xed\xa0\x80\xc0\xaf", "v=\"\\xff\\xc3(\\xed\\xa0\\x80\\xc0\\xaf\"\n"},
		{"\xc2\x9b"
		 "1m",
			"v=\"\\xc2\\x9b1m\"\n"},
		{"\xe2\x82", "v=\"\\xe2\\x82\"\n"},
	};

	log_init("t", LOG_INFO);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(logged_value(slice_text(cases[i].value)), cases[i].logged);
	assert_string_equal(logged_value(slice_of("a\0b", 3)), "v=\"a\\x00b\"\n");
}

static void every_byte_alone_is_one_line(void **state)
{
	log_init("t", LOG_INFO);
	for (int byte = 0; byte < 256; byte++) {
		uint8_t value = (uint8_t)byte;
		const char *line = logged_value(slice_of(&value, 1));

		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		for (const char *c = line; *c != '\n'; c++)
			assert_in_range((uint8_t)*c, 0x20, 0x7e);
	}
}

static void a_long_value_is_cut_between_characters(void **state)
{
	static const uint8_t euro[] = {0xe2, 0x82, 0xac};
	char value[LOG_VALUE_MAX + 10];
	const char *line;

	log_init("t", LOG_INFO);
	memset(value, 'x', sizeof value);
	line = logged_value(slice_of(value, LOG_VALUE_MAX));
	assert_int_equal(strlen(line), 2 + LOG_VALUE_MAX + 1);
	line = logged_value(slice_of(value, LOG_VALUE_MAX + 1));
	assert_int_equal(strlen(line), 2 + LOG_VALUE_MAX + 3 + 1);
	assert_string_equal(line + 2 + LOG_VALUE_MAX, "...\n");
	/* A character of three bytes of which one would be left. */
	memcpy(value + LOG_VALUE_MAX - 1, euro, sizeof euro);
	line = logged_value(slice_of(value, sizeof value));
	assert_string_equal(line + 2 + LOG_VALUE_MAX - 1, "...\n");
}

static void a_full_line_leaves_whole_fields_out_and_says_so(void **state)
{
	char value[LOG_VALUE_MAX + 1];
	const char *line;

	log_init("t", LOG_INFO);
	for (int filler = 1; filler < LOG_VALUE_MAX; filler++) {
		memset(value, 1, sizeof value - 1);
		value[filler] = '\0';
		capture();
		/* 4 bytes for each 1. */
		log_error("e", LOG_TEXT("a", value), LOG_TEXT("b", value), LOG_TEXT("c", value),
			LOG_TEXT("d", "end"));
		line = captured();
		assert_true(strlen(line) <= LOG_LINE_MAX);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		if (strstr(line, " cut=true\n"))
			assert_null(strstr(line, " d=end"));
		else
			assert_non_null(strstr(line, " d=end\n"));
	}
	assert_non_null(strstr(line, " cut=true\n"));
	assert_non_null(strstr(line, " a="));
	assert_null(strstr(line, " c="));
}

static void absent_values_leave_their_fields_out(void **state)
{
	log_init("t", LOG_INFO);
	capture();
	log_error("e", LOG_TEXT("a", NULL), LOG_SLICE("b", slice_text(NULL)), LOG_INT("c", 1));
	assert_string_equal(rest(captured()), "level=error service=t event=e c=1\n");
}

static void errno_stays_as_it_was(void **state)
{
	log_init("t", LOG_INFO);
	real_stderr = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	errno = ENOTTY;
	log_error("nobody_hears");
	assert_int_equal(errno, ENOTTY);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	/* Takes the line that was lost out of the count. */
	capture();
	log_error("somebody_hears");
	assert_non_null(strstr(captured(), "event=log_dropped lines=1\n"));
}

enum { THREADS = 8, LINES = 100 };

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_error("shared", LOG_INT("n", i), LOG_TEXT("text", "some words that take their time"));
	return NULL;
}

static void lines_of_threads_never_mix(void **state)
{
	pthread_t threads[THREADS];
	int lines = 0;

	log_init("t", LOG_INFO);
	capture();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (char *at = (char *)captured(), *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
		static const char tail[] = "text=\"some words that take their time\"";

		*end = '\0';
		assert_int_equal(strncmp(rest(at), "level=error service=t event=shared n=", 37), 0);
		assert_string_equal(end - (sizeof tail - 1), tail);
	}
	assert_int_equal(lines, THREADS * LINES);
}

static void a_pipe_that_nobody_reads_costs_lines_and_not_the_service(void **state)
{
	char text[400];
	int64_t started;
	int pipe_fds[2];
	ssize_t len = 0;
	ssize_t n;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_init("t", LOG_INFO);
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	started = clock_mono_ms();
	for (int i = 0; i < 2000; i++)
		log_error("flood", LOG_INT("n", i), LOG_TEXT("text", text));
	assert_true(clock_mono_ms() - started < 20000);
	while ((n = read(pipe_fds[0], output, sizeof output)) > 0)
		len += n;
	assert_true(len > 0);
	log_error("after");
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	n = read(pipe_fds[0], output, sizeof output - 1);
	assert_true(n > 0);
	output[n] = '\0';
	assert_non_null(strstr(output, "event=log_dropped lines="));
	assert_non_null(strstr(output, "event=after\n"));
	assert_null(strstr(output, "event=flood"));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void a_gate_passes_once_in_its_time_and_counts_the_rest(void **state)
{
	struct log_gate gate = {0};
	unsigned suppressed = 99;

	assert_true(log_gate_pass(&gate, 60000, &suppressed));
	assert_int_equal(suppressed, 0);
	for (int i = 0; i < 5; i++)
		assert_false(log_gate_pass(&gate, 60000, &suppressed));
	gate.next_ms = clock_mono_ms();
	assert_true(log_gate_pass(&gate, 60000, &suppressed));
	assert_int_equal(suppressed, 5);
	gate.next_ms = clock_mono_ms();
	assert_true(log_gate_pass(&gate, 60000, &suppressed));
	assert_int_equal(suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_one_line_of_fields),
		cmocka_unit_test(an_event_needs_no_fields),
		cmocka_unit_test(levels_below_the_chosen_one_are_silent),
		cmocka_unit_test(level_names_are_read_and_others_refused),
		cmocka_unit_test(foreign_text_is_quoted_and_cannot_forge_a_line),
		cmocka_unit_test(every_byte_alone_is_one_line),
		cmocka_unit_test(a_long_value_is_cut_between_characters),
		cmocka_unit_test(a_full_line_leaves_whole_fields_out_and_says_so),
		cmocka_unit_test(absent_values_leave_their_fields_out),
		cmocka_unit_test(errno_stays_as_it_was),
		cmocka_unit_test(lines_of_threads_never_mix),
		cmocka_unit_test(a_pipe_that_nobody_reads_costs_lines_and_not_the_service),
		cmocka_unit_test(a_gate_passes_once_in_its_time_and_counts_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
