#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/metrics.h"

enum { REQUESTS, OPEN, WAIT, TASKS };

static const struct metric_definition definitions[] = {
	[REQUESTS] = {"postback_requests_total", METRIC_COUNTER, {NULL}, "Requests | all."},
	[OPEN] = {"postback_open", METRIC_GAUGE, {"kind", NULL}, "Open \\ now,\nof a kind."},
	[WAIT] = {"postback_wait_seconds", METRIC_HISTOGRAM, {"task", "lane", NULL}, "Waits."},
	[TASKS] = {"postback_tasks_total", METRIC_COUNTER, {"task", NULL}, "Tasks."},
};
enum { DEFINITIONS = sizeof definitions / sizeof definitions[0] };

struct fixture {
	struct metrics *metrics;
	struct buf text;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	if (!f || metrics_new(definitions, DEFINITIONS, &f->metrics) < 0)
		return -1;
	buf_init(&f->text, 4 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	metrics_free(f->metrics);
	buf_done(&f->text);
	free(f);
	return 0;
}

static const char *rendered(struct fixture *f)
{
	buf_reset(&f->text);
	assert_int_equal(metrics_render(f->metrics, &f->text), 0);
	return buf_text(&f->text);
}

static void assert_line(struct fixture *f, const char *line)
{
	char whole[512];
	const char *text = rendered(f);

	snprintf(whole, sizeof whole, "\n%s\n", line);
	if (strstr(text, whole + 1) != text && !strstr(text, whole))
		fail_msg("no line '%s' in:\n%s", line, text);
}

static void metrics_without_labels_are_there_from_the_start(void **state)
{
	assert_line(*state, "# HELP postback_requests_total Requests | all.");
	assert_line(*state, "# TYPE postback_requests_total counter");
	assert_line(*state, "postback_requests_total 0");
	assert_null(strstr(rendered(*state), "postback_open"));
}

static void numbers_are_counted_and_set(void **state)
{
	struct fixture *f = *state;

	metrics_add(f->metrics, REQUESTS, 1);
	metrics_add(f->metrics, REQUESTS, 2.5);
	metrics_set(f->metrics, OPEN, 7, "a");
	metrics_set(f->metrics, OPEN, -3, "b");
	metrics_add(f->metrics, OPEN, 1, "a");
	assert_line(f, "postback_requests_total 3.5");
	assert_line(f, "# HELP postback_open Open \\\\ now,\\nof a kind.");
	assert_line(f, "# TYPE postback_open gauge");
	assert_line(f, "postback_open{kind=\"a\"} 8");
	assert_line(f, "postback_open{kind=\"b\"} -3");
}

static void large_and_odd_numbers_keep_their_value(void **state)
{
	static const struct {
		double value;
		const char *line;
	} cases[] = {
		{9007199254740991.0, "postback_open{kind=\"x\"} 9.00719925474099e+15"},
		{123456789012345.0, "postback_open{kind=\"x\"} 123456789012345"},
		{0.1, "postback_open{kind=\"x\"} 0.1"},
		{1e-9, "postback_open{kind=\"x\"} 1e-09"},
		{INFINITY, "postback_open{kind=\"x\"} +Inf"},
		{-INFINITY, "postback_open{kind=\"x\"} -Inf"},
		{NAN, "postback_open{kind=\"x\"} NaN"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		metrics_set(f->metrics, OPEN, cases[i].value, "x");
		assert_line(f, cases[i].line);
	}
}

static void foreign_labels_are_escaped_and_cut(void **state)
{
	struct fixture *f = *state;
	char name[METRIC_VALUE_MAX + 20];

	metrics_set(f->metrics, OPEN, 1, "a\"b\\c\nd");
	metrics_set(f->metrics, OPEN, 2, "caf\xc3\xa9 \xff");
	metrics_set(f->metrics, OPEN, 3, (const char *)NULL);
	assert_line(f, "postback_open{kind=\"a\\\"b\\\\c\\nd\"} 1");
	assert_line(f, "postback_open{kind=\"caf\xc3\xa9 \xef\xbf\xbd\"} 2");
	assert_line(f, "postback_open{kind=\"\"} 3");
	memset(name, '"', sizeof name);
	name[sizeof name - 1] = '\0';
	metrics_set(f->metrics, OPEN, 4, name);
	name[METRIC_VALUE_MAX] = '\0';
	metrics_add(f->metrics, OPEN, 4, name);
	assert_non_null(strstr(rendered(f), "\\\"\"} 8\n"));
	/* Not half a character. */
	memset(name, 'x', sizeof name);
	memcpy(name + METRIC_VALUE_MAX - 1, "\xc3\xa9", 3);
	metrics_set(f->metrics, OPEN, 5, name);
	assert_non_null(strstr(rendered(f), "xx\"} 5\n"));
}

static void the_worst_labels_fit(void **state)
{
	struct fixture *f = *state;
	char name[METRIC_VALUE_MAX + 1];

	memset(name, 0xff, sizeof name - 1);
	name[sizeof name - 1] = '\0';
	metrics_observe(f->metrics, WAIT, 1, name, name);
	assert_non_null(strstr(rendered(f), "\xef\xbf\xbd\"} 1\n"));
}

static void a_histogram_counts_below_each_bound(void **state)
{
	struct fixture *f = *state;

	metrics_observe(f->metrics, WAIT, 0, "t", "l");
	metrics_observe(f->metrics, WAIT, 0.0005, "t", "l");
	metrics_observe(f->metrics, WAIT, 0.0006, "t", "l");
	metrics_observe(f->metrics, WAIT, 0.2, "t", "l");
	metrics_observe(f->metrics, WAIT, 60, "t", "l");
	metrics_observe(f->metrics, WAIT, 61, "t", "l");
	assert_line(f, "# TYPE postback_wait_seconds histogram");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"0.0005\"} 2");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"0.001\"} 3");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"0.1\"} 3");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"0.25\"} 4");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"60\"} 5");
	assert_line(f, "postback_wait_seconds_bucket{task=\"t\",lane=\"l\",le=\"+Inf\"} 6");
	assert_line(f, "postback_wait_seconds_count{task=\"t\",lane=\"l\"} 6");
	assert_line(f, "postback_wait_seconds_sum{task=\"t\",lane=\"l\"} 121.2011");
}

static void a_thousand_series_are_apart_and_all_others_one(void **state)
{
	struct fixture *f = *state;
	char name[32], line[64];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < METRIC_SERIES_MAX + 500; i++) {
			snprintf(name, sizeof name, "task-%d", i);
			metrics_add(f->metrics, TASKS, 1, name);
		}
	}
	for (int i = 0; i < METRIC_SERIES_MAX; i += 111) {
		snprintf(line, sizeof line, "postback_tasks_total{task=\"task-%d\"} 3", i);
		assert_line(f, line);
	}
	assert_null(strstr(rendered(f), "task-1000"));
	assert_line(f, "postback_tasks_total{task=\"other\"} 1500");
	/* Other metrics have their own thousand. */
	metrics_set(f->metrics, OPEN, 1, "still");
	assert_line(f, "postback_open{kind=\"still\"} 1");
}

static void series_stay_in_the_order_of_the_table(void **state)
{
	struct fixture *f = *state;
	const char *text;

	metrics_add(f->metrics, TASKS, 1, "z");
	metrics_set(f->metrics, OPEN, 1, "b");
	metrics_add(f->metrics, TASKS, 1, "a");
	text = rendered(f);
	assert_true(strstr(text, "postback_open") < strstr(text, "task=\"z\""));
	assert_true(strstr(text, "task=\"z\"") < strstr(text, "task=\"a\""));
	/* One head for all series of a metric. */
	assert_null(strstr(strstr(text, "# TYPE postback_tasks_total") + 1, "# TYPE postback_tasks_total"));
}

static void collect(void *arg)
{
	struct fixture *f = arg;

	metrics_add(f->metrics, OPEN, 1, "collected");
}

static void gauges_are_collected_before_every_rendering(void **state)
{
	struct fixture *f = *state;

	metrics_on_collect(f->metrics, collect, f);
	assert_line(f, "postback_open{kind=\"collected\"} 1");
	assert_line(f, "postback_open{kind=\"collected\"} 2");
}

static double number_of(struct fixture *f, const char *name)
{
	char start[64];
	const char *at;

	snprintf(start, sizeof start, "\n%s ", name);
	at = strstr(rendered(f), start);
	assert_non_null(at);
	return strtod(at + strlen(start), NULL);
}

static void the_process_tells_of_itself(void **state)
{
	struct fixture *f = *state;
	FILE *files[10];
	double before;

	assert_line(f, "postback_build_info{version=\"" POSTBACK_VERSION "\"} 1");
	assert_true(number_of(f, "process_resident_memory_bytes") > 100000);
	assert_true(number_of(f, "process_start_time_seconds") > 1.7e9);
	assert_true(number_of(f, "process_cpu_seconds_total") > 0);
	assert_true(number_of(f, "process_max_fds") >= 64);
	before = number_of(f, "process_open_fds");
	for (int i = 0; i < 10; i++)
		assert_non_null(files[i] = fopen("/dev/null", "r"));
	assert_true(number_of(f, "process_open_fds") == before + 10);
	for (int i = 0; i < 10; i++)
		fclose(files[i]);
}

static void a_document_too_large_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct buf small;

	buf_init(&small, 100);
	assert_int_equal(metrics_render(f->metrics, &small), -EMSGSIZE);
	buf_done(&small);
}

static void the_reference_names_every_metric(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(metrics_reference(definitions, DEFINITIONS, &f->text), 0);
	assert_non_null(
		strstr(buf_text(&f->text), "| metric | type | labels | meaning |\n|---|---|---|---|\n"));
	assert_non_null(strstr(
		buf_text(&f->text), "| `postback_requests_total` | counter |  | Requests \\| all. |\n"));
	assert_non_null(strstr(
		buf_text(&f->text), "| `postback_wait_seconds` | histogram | `task`, `lane` | Waits. |\n"));
	assert_non_null(strstr(buf_text(&f->text), "| `postback_build_info` | gauge | `version` |"));
	assert_non_null(strstr(buf_text(&f->text), "| `process_open_fds` | gauge |  |"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metrics_without_labels_are_there_from_the_start),
		TEST(numbers_are_counted_and_set),
		TEST(large_and_odd_numbers_keep_their_value),
		TEST(foreign_labels_are_escaped_and_cut),
		TEST(the_worst_labels_fit),
		TEST(a_histogram_counts_below_each_bound),
		TEST(a_thousand_series_are_apart_and_all_others_one),
		TEST(series_stay_in_the_order_of_the_table),
		TEST(gauges_are_collected_before_every_rendering),
		TEST(the_process_tells_of_itself),
		TEST(a_document_too_large_is_an_error),
		TEST(the_reference_names_every_metric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
