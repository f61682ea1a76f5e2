/*
 * Fails the 1st, 2nd, … allocation of what a service is started with: each must come out as -ENOMEM, without a crash or
 * a leak.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/config.h"
#include "runtime/health.h"
#include "runtime/http_client.h"
#include "tests/unit/torture.h"

struct item {
	char *name;
	struct option_strings words;
};

struct options {
	char *text, *secret, *json;
	struct option_list items;
};

static const struct option item_table[] = {
	{.name = "name", .type = OPTION_STRING, .offset = offsetof(struct item, name), .fallback = "unnamed"},
	{.name = "words",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct item, words),
		.fallback = "[a, b]"},
	{0},
};

static const struct option section_table[] = {
	{.name = "text",
		.type = OPTION_STRING,
		.offset = offsetof(struct options, text),
		.fallback = "fallback"},
	{.name = "secret", .type = OPTION_SECRET, .offset = offsetof(struct options, secret)},
	{.name = "json",
		.type = OPTION_JSON,
		.offset = offsetof(struct options, json),
		.fallback = "{a: [1]}"},
	{.name = "items",
		.type = OPTION_LIST,
		.offset = offsetof(struct options, items),
		.fields = item_table,
		.item_size = sizeof(struct item),
		.scalar_field = "name"},
	{0},
};

static const struct option root[] = {
	{.name = "section", .type = OPTION_SECTION, .offset = 0, .fields = section_table},
	{0},
};

static int read_text(const char *text)
{
	struct options o = {0};
	struct buf errors;
	int rc;

	buf_init(&errors, 64 * 1024);
	rc = config_parse("f", slice_text(text), "POSTBACK", root, &o, &errors);
	if (rc == 0)
		assert_non_null(o.text);
	else
		assert_null(o.text);
	config_free(root, &o);
	buf_done(&errors);
	return rc;
}

static int read_good_file(void)
{
	return read_text("section:\n"
			 "  secret: hunter2\n"
			 "  items: [x, {name: y, words: [c, d, e]}, {words: []}]\n");
}

static int read_wrong_file(void)
{
	int rc = read_text("section: {txt: a, secret: [b], items: {c: d}, json: .inf}\nother: 1\nother: 2\n");

	return rc == -EINVAL ? 0 : rc;
}

static int write_reference(void)
{
	struct buf text;
	int rc;

	buf_init(&text, 64 * 1024);
	rc = config_reference(root, &text);
	buf_done(&text);
	return rc;
}

static void configuration_survives_every_failed_allocation(void **state)
{
	assert_true(torture(read_good_file) > 30);
	assert_true(torture(read_wrong_file) > 20);
	assert_true(torture(write_reference) > 1);
}

static const struct metric_definition definitions[] = {
	{"postback_a_total", METRIC_COUNTER, {NULL}, "A."},
	{"postback_b_seconds", METRIC_HISTOGRAM, {"l", NULL}, "B."},
};

static int measure(void)
{
	struct metrics *m;
	struct buf text;
	int rc = metrics_new(definitions, 2, &m);

	if (rc < 0)
		return rc;
	for (int i = 0; i < 200; i++) {
		const char label[] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};

		metrics_observe(m, 1, 0.1, label);
	}
	buf_init(&text, 1 << 20);
	rc = metrics_render(m, &text);
	buf_done(&text);
	metrics_free(m);
	return rc;
}

static void metrics_survive_every_failed_allocation(void **state)
{
	assert_true(torture(measure) > 200);
}

static struct loop *loop;

static void on_done(const struct http_response *response, void *arg)
{
	fail();
}

static int call(void)
{
	const struct http_client_options opt = {
		.user_agent = "test", .connections_max = 2, .ca_file = "/dev/null"};
	const struct http_request request = {.method = "POST",
		.url = "http://127.0.0.1:1/",
		.headers = (const char *const[]){"X: y", "Empty:", NULL},
		.timeout_ms = 1000};
	struct http_client *c;
	struct http_call *started;
	int rc = http_client_new(loop, &opt, &c);

	if (rc < 0)
		return rc;
	rc = http_call_start(c, &request, on_done, NULL, &started);
	http_client_free(c);
	return rc;
}

static int listen_and_close(void)
{
	struct health *h;
	struct admin *a;
	int rc = health_new(NULL, &h);

	if (rc < 0)
		return rc;
	rc = admin_new(loop, "127.0.0.1:0", h, &a);
	if (rc == 0)
		admin_free(a);
	health_free(h);
	return rc;
}

static void client_and_listener_survive_every_failed_allocation(void **state)
{
	assert_int_equal(loop_new(&loop), 0);
	assert_true(torture(call) >= 4);
	assert_true(torture(listen_and_close) >= 2);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration_survives_every_failed_allocation),
		cmocka_unit_test(metrics_survive_every_failed_allocation),
		cmocka_unit_test(client_and_listener_survive_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
