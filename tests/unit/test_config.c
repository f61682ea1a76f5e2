#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/config.h"

/* A small service of every kind of option. */
struct step {
	char *task;
	char *when;
	int line;
};

struct handler {
	char *task;
	int64_t concurrency;
	struct option_strings exec;
	char *payload;
	struct {
		char *url;
		int64_t timeout_ms;
	} http;
	struct option_list then; /* struct step */
	int line;
};

struct options {
	struct {
		char *listen;
		char *password;
		int64_t body;
		int64_t timeout_ms;
		int64_t count;
		double rate;
		bool is_open;
		int level;
		struct option_strings tasks;
		struct option_strings words;
		char *reply;
		struct {
			int64_t in_flight;
		} limits;
		struct option_list handlers;
	} web;
	struct {
		char *url;
		char *from;
	} email;
};

static int check_listen(const void *value, char *why, size_t why_len)
{
	if (strchr(*(char *const *)value, ':'))
		return 0;
	snprintf(why, why_len, "must be host:port");
	return -EINVAL;
}

static int check_handler(const void *value, char *why, size_t why_len)
{
	const struct handler *h = value;

	if (h->exec.len == 0 || !h->http.url)
		return 0;
	snprintf(why, why_len, "has more than one kind");
	return -EINVAL;
}

static int check_limits(const void *value, char *why, size_t why_len)
{
	if (*(const int64_t *)value != 13)
		return 0;
	snprintf(why, why_len, "is unlucky");
	return -EINVAL;
}

#define OF(member)    offsetof(struct options, member)
#define OF_WEB(m)     (OF(web.m) - OF(web))
#define OF_EMAIL(m)   (OF(email.m) - OF(email))
#define OF_HTTP(m)    (offsetof(struct handler, http.m) - offsetof(struct handler, http))
#define OF_HANDLER(m) offsetof(struct handler, m)

static const struct option step_table[] = {
	{.name = "task", .type = OPTION_STRING, .offset = offsetof(struct step, task), .required = true},
	{.name = "when", .type = OPTION_STRING, .offset = offsetof(struct step, when)},
	{0},
};

static const struct option http_table[] = {
	{.name = "url", .type = OPTION_STRING, .offset = OF_HTTP(url), .required = true},
	{.name = "timeout", .type = OPTION_DURATION, .offset = OF_HTTP(timeout_ms), .fallback = "30s"},
	{0},
};

static const struct option handler_table[] = {
	{.name = "task", .type = OPTION_STRING, .offset = OF_HANDLER(task), .required = true},
	{.name = "concurrency",
		.type = OPTION_INT,
		.offset = OF_HANDLER(concurrency),
		.fallback = "1",
		.min = 1,
		.max = 64},
	{.name = "exec", .type = OPTION_STRINGS, .offset = OF_HANDLER(exec)},
	{.name = "payload", .type = OPTION_JSON, .offset = OF_HANDLER(payload)},
	{.name = "http", .type = OPTION_SECTION, .offset = OF_HANDLER(http), .fields = http_table},
	{.name = "then",
		.type = OPTION_LIST,
		.offset = OF_HANDLER(then),
		.fields = step_table,
		.item_size = sizeof(struct step),
		.scalar_field = "task",
		.line_offset = offsetof(struct step, line)},
	{0},
};

static const struct option limits_table[] = {
	{.name = "in_flight", .type = OPTION_INT, .offset = 0, .fallback = "4096"},
	{0},
};

static const char *const levels[] = {"debug", "info", "warn", NULL};

static const struct option web_table[] = {
	{.name = "listen",
		.type = OPTION_STRING,
		.offset = OF_WEB(listen),
		.fallback = "127.0.0.1:8080",
		.check = check_listen,
		.help = "Where to listen | or not."},
	{.name = "password", .type = OPTION_SECRET, .offset = OF_WEB(password), .help = "Never shown."},
	{.name = "body",
		.type = OPTION_SIZE,
		.offset = OF_WEB(body),
		.fallback = "8MiB",
		.min = 1024,
		.max = 1 << 30,
		.help = "Largest body."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		.offset = OF_WEB(timeout_ms),
		.fallback = "2s",
		.min = 100,
		.max = 60000},
	{.name = "count", .type = OPTION_INT, .offset = OF_WEB(count), .fallback = "-7"},
	{.name = "rate", .type = OPTION_NUMBER, .offset = OF_WEB(rate), .fallback = "0.5", .max = INT64_MAX},
	{.name = "open", .type = OPTION_BOOL, .offset = OF_WEB(is_open), .fallback = "true"},
	{.name = "level",
		.type = OPTION_CHOICE,
		.offset = OF_WEB(level),
		.fallback = "info",
		.choices = levels},
	{.name = "tasks", .type = OPTION_STRINGS, .offset = OF_WEB(tasks)},
	{.name = "words",
		.type = OPTION_STRINGS,
		.offset = OF_WEB(words),
		.fallback = "[one, \"two, three\"]"},
	{.name = "reply", .type = OPTION_JSON, .offset = OF_WEB(reply), .fallback = "{a: 1}"},
	{.name = "limits",
		.type = OPTION_SECTION,
		.offset = OF_WEB(limits),
		.fields = limits_table,
		.check = check_limits,
		.help = "What it bears."},
	{.name = "handlers",
		.type = OPTION_LIST,
		.offset = OF_WEB(handlers),
		.fields = handler_table,
		.item_size = sizeof(struct handler),
		.check = check_handler,
		.line_offset = OF_HANDLER(line),
		.help = "What it runs."},
	{0},
};

static const struct option email_table[] = {
	{.name = "url", .type = OPTION_SECRET, .offset = OF_EMAIL(url), .required = true},
	{.name = "from", .type = OPTION_STRING, .offset = OF_EMAIL(from), .fallback = ""},
	{0},
};

static const struct option root[] = {
	{.name = "web", .type = OPTION_SECTION, .offset = OF(web), .fields = web_table, .help = "The web."},
	{.name = "email", .type = OPTION_SECTION, .offset = OF(email), .fields = email_table},
	{.name = "other", .type = OPTION_IGNORED},
	{0},
};

struct fixture {
	struct options options;
	struct buf errors;
	char dir[64];
	char path[96];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	if (!f)
		return -1;
	buf_init(&f->errors, 64 * 1024);
	strcpy(f->dir, "/tmp/postback-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof f->path, "%s/file", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const struct options zeroed;
	struct fixture *f = *state;
	struct options left;

	config_free(root, &f->options);
	left = f->options;
	/* Item by item: padding need not be zero. */
	assert_null(left.web.listen);
	assert_null(left.web.handlers.items);
	assert_memory_equal(&left.web.tasks, &zeroed.web.tasks, sizeof left.web.tasks);
	assert_int_equal(left.web.body, 0);
	buf_done(&f->errors);
	unlink(f->path);
	rmdir(f->dir);
	unsetenv("POSTBACK_WEB_LISTEN");
	free(f);
	return 0;
}

static void write_file(struct fixture *f, const void *data, size_t len)
{
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int parse_bytes(struct fixture *f, struct slice text)
{
	config_free(root, &f->options);
	buf_reset(&f->errors);
	return config_parse("f.yaml", text, "POSTBACK", root, &f->options, &f->errors);
}

static int parse(struct fixture *f, const char *text)
{
	return parse_bytes(f, slice_text(text));
}

static const char *errors(struct fixture *f)
{
	return buf_text(&f->errors);
}

/* The text is refused with just these lines. */
static void assert_refused(struct fixture *f, const char *text, const char *lines)
{
	assert_int_equal(parse(f, text), -EINVAL);
	assert_string_equal(errors(f), lines);
	assert_null(f->options.web.listen);
}

static struct handler *handler(struct fixture *f, size_t i)
{
	assert_true(i < f->options.web.handlers.len);
	return (struct handler *)f->options.web.handlers.items + i;
}

/* ---- what is right ---- */

static void an_empty_file_is_all_fallbacks(void **state)
{
	static const char *const empties[] = {
		"", "\n\n", "# nothing\n", "---\n", "~\n", "web:\n", "web: ~\n", "web: {}\n"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof empties / sizeof empties[0]; i++) {
		assert_int_equal(parse(f, empties[i]), 0);
		assert_int_equal(f->errors.len, 0);
		assert_string_equal(f->options.web.listen, "127.0.0.1:8080");
		assert_null(f->options.web.password);
		assert_int_equal(f->options.web.body, 8 << 20);
		assert_int_equal(f->options.web.timeout_ms, 2000);
		assert_int_equal(f->options.web.count, -7);
		assert_true(f->options.web.rate == 0.5);
		assert_true(f->options.web.is_open);
		assert_int_equal(f->options.web.level, 1);
		assert_int_equal(f->options.web.tasks.len, 0);
		assert_int_equal(f->options.web.words.len, 2);
		assert_string_equal(f->options.web.words.items[1], "two, three");
		assert_string_equal(f->options.web.reply, "{\"a\":1}");
		assert_int_equal(f->options.web.limits.in_flight, 4096);
		assert_int_equal(f->options.web.handlers.len, 0);
		assert_string_equal(f->options.email.from, "");
	}
}

static void every_kind_of_value_is_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "web:\n"
				  "  listen: '[::1]:80'\n"
				  "  password: 12345\n"
				  "  body: 64KiB\n"
				  "  timeout: 1m\n"
				  "  count: -9223372036854775808\n"
				  "  rate: 2.5e3\n"
				  "  open: FALSE\n"
				  "  level: \"warn\"\n"
				  "  tasks: [a, 'b c', 7, \"\"]\n"
				  "  words:\n"
				  "  reply: [1, {x: ~}]\n"
				  "  limits: {in_flight: 1}\n"),
		0);
	assert_string_equal(f->options.web.listen, "[::1]:80");
	assert_string_equal(f->options.web.password, "12345");
	assert_int_equal(f->options.web.body, 65536);
	assert_int_equal(f->options.web.timeout_ms, 60000);
	assert_true(f->options.web.count == INT64_MIN);
	assert_true(f->options.web.rate == 2500);
	assert_false(f->options.web.is_open);
	assert_int_equal(f->options.web.level, 2);
	assert_int_equal(f->options.web.tasks.len, 4);
	assert_string_equal(f->options.web.tasks.items[2], "7");
	assert_string_equal(f->options.web.tasks.items[3], "");
	assert_int_equal(f->options.web.words.len, 0);
	assert_string_equal(f->options.web.reply, "[1,{\"x\":null}]");
	assert_int_equal(f->options.web.limits.in_flight, 1);
}

static void lists_of_maps_know_their_lines_and_fallbacks(void **state)
{
	struct fixture *f = *state;
	struct step *steps;

	assert_int_equal(parse(f, "web:\n"
				  "  handlers:\n"
				  "    - task: a\n"
				  "      http: {url: u}\n"
				  "    - {task: b, concurrency: 4,\n"
				  "       then: [c, {task: d, when: q}]}\n"),
		0);
	assert_int_equal(f->options.web.handlers.len, 2);
	assert_string_equal(handler(f, 0)->task, "a");
	assert_int_equal(handler(f, 0)->line, 3);
	assert_int_equal(handler(f, 0)->concurrency, 1);
	assert_int_equal(handler(f, 0)->http.timeout_ms, 30000);
	assert_int_equal(handler(f, 1)->line, 5);
	assert_int_equal(handler(f, 1)->concurrency, 4);
	assert_null(handler(f, 1)->http.url);
	assert_int_equal(handler(f, 1)->http.timeout_ms, 30000);
	steps = handler(f, 1)->then.items;
	assert_int_equal(handler(f, 1)->then.len, 2);
	assert_string_equal(steps[0].task, "c");
	assert_null(steps[0].when);
	assert_int_equal(steps[0].line, 6);
	assert_string_equal(steps[1].task, "d");
	assert_string_equal(steps[1].when, "q");
}

static void another_services_section_may_hold_anything(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "other: {what: [ever, {it: is}], 5: 6}\n"), 0);
	assert_int_equal(parse(f, "other: text\n"), 0);
	assert_refused(f, "other: {a: 1, a: 2}\n", "f.yaml:1: duplicate key 'a', first given in line 1\n");
}

static void any_yaml_becomes_json(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{"text", "\"text\""},
		{"'1'", "\"1\""},
		{"\"true\"", "\"true\""},
		{"", "null"},
		{"~", "null"},
		{"Null", "null"},
		{"true", "true"},
		{"FALSE", "false"},
		{"yes", "\"yes\""},
		{"0", "0"},
		{"-0", "-0"},
		{"+12", "12"},
		{"007", "7"},
		{"0x1F", "31"},
		{"0o17", "15"},
		{"0xFFFFFFFFFFFFFFFF", "18446744073709551615"},
		{"0xZZ", "\"0xZZ\""},
		{"12345678901234567890", "12345678901234567890"},
		{"1.10", "1.10"},
		{".5", "0.5"},
		{"5.", "5"},
		{"-.5e-3", "-0.5e-3"},
		{"1E5", "1E5"},
		{"1e", "\"1e\""},
		{".", "\".\""},
		{"1.2.3", "\"1.2.3\""},
		{"2026-01-02", "\"2026-01-02\""},
		{"12:30:45", "\"12:30:45\""},
		{"\"a\\\"b\\\\c\\n\\x01\\0\"", "\"a\\\"b\\\\c\\n\\u0001\\u0000\""},
		{"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
		{"[]", "[]"},
		{"{}", "{}"},
		{"[1, [2], {a: b}]", "[1,[2],{\"a\":\"b\"}]"},
		{"{\"q\\\"\": 1, true: x, 5: y}", "{\"q\\\"\":1,\"true\":\"x\",\"5\":\"y\"}"},
	};
	struct fixture *f = *state;
	char text[256];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, "web: {reply: %s}\n", cases[i].yaml);
		assert_int_equal(parse(f, text), 0);
		assert_string_equal(f->options.web.reply, cases[i].json);
	}
}

static void numbers_that_json_has_not_are_refused(void **state)
{
	static const char *const bad[] = {".inf", "-.INF", "+.Inf", ".nan", ".NaN", "0x10000000000000000"};
	struct fixture *f = *state;
	char text[64];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "web: {reply: [%s]}\n", bad[i]);
		assert_refused(f, text,
			"f.yaml:1: web.reply: has a number that JSON cannot hold; put it in quotes\n");
	}
}

/* ---- what is wrong ---- */

static void everything_wrong_is_told_at_once_in_the_order_of_lines(void **state)
{
	assert_refused(*state,
		"web:\n"
		"  listn: x\n"
		"  body: 1\n"
		"  handlers:\n"
		"    - {task: a, concurrency: 65}\n"
		"    - {concurrency: two, http: {}}\n"
		"  timeout: 5\n"
		"emial: {}\n",
		"f.yaml:2: web.listn: unknown key; did you mean 'listen'?\n"
		"f.yaml:3: web.body: must be between 1KiB and 1GiB, not \"1\"\n"
		"f.yaml:5: web.handlers[0].concurrency: must be between 1 and 64, not \"65\"\n"
		"f.yaml:6: web.handlers[1].concurrency: must be a whole number, not \"two\"\n"
		"f.yaml:6: web.handlers[1].http.url: is missing; it is required\n"
		"f.yaml:6: web.handlers[1].task: is missing; it is required\n"
		"f.yaml:7: web.timeout: must be a number with ms, s, m, h or d, as 10s, not \"5\"\n"
		"f.yaml:8: emial: unknown key; did you mean 'email'?\n");
}

static void each_wrong_value_says_what_is_allowed(void **state)
{
	static const struct {
		const char *value, *line;
	} cases[] = {
		{"timeout: 99ms", "web.timeout: must be between 100ms and 1m, not \"99ms\""},
		{"timeout: 1d", "web.timeout: must be between 100ms and 1m, not \"1d\""},
		{"timeout: -5s", "web.timeout: must be a number with ms, s, m, h or d, as 10s, not \"-5s\""},
		{"body: 8 MiB",
			"web.body: must be a number of bytes, or one with KiB, MiB, GiB, KB, MB or GB, not \"8 MiB\""},
		{"count: 9223372036854775808",
			"web.count: must be a whole number, not \"9223372036854775808\""},
		{"count: 1.5", "web.count: must be a whole number, not \"1.5\""},
		{"rate: -1", "web.rate: must be at least 0, not \"-1\""},
		{"rate: .inf", "web.rate: must be a number, not \".inf\""},
		{"rate: 0x10", "web.rate: must be a number, not \"0x10\""},
		{"open: yes", "web.open: must be true or false, not \"yes\""},
		{"level: loud", "web.level: must be debug, info or warn, not \"loud\""},
		{"listen: nowhere", "web.listen: must be host:port"},
		{"listen:", "web.listen: has no value; an empty text is \"\""},
		{"listen: ~", "web.listen: has no value; an empty text is \"\""},
		{"listen: [a]", "web.listen: must be a single value, not a list"},
		{"listen: {a: b}", "web.listen: must be a single value, not a map"},
		{"listen: \"a:\\0b\"", "web.listen: must not hold a NUL"},
		{"tasks: a", "web.tasks: must be a list, not a text"},
		{"tasks: {a: b}", "web.tasks: must be a list, not a map"},
		{"tasks: [a, [b]]", "web.tasks[1]: must be a single value, not a list"},
		{"tasks: [a, ~]", "web.tasks[1]: has no value; an empty text is \"\""},
		{"limits: 5", "web.limits: must be a map, not a text"},
		{"limits: [5]", "web.limits: must be a map, not a list"},
		{"limits: {in_flight: 13}", "web.limits: is unlucky"},
		{"handlers: {task: a}", "web.handlers: must be a list, not a map"},
		{"handlers: [a]", "web.handlers[0]: must be a map, not a text"},
		{"handlers: [~]", "web.handlers[0]: must be a map, not empty"},
		{"handlers: [{task: a, then: [[b]]}]",
			"web.handlers[0].then[0]: must be a map or a text, not a list"},
		{"handlers: [{task: a, exec: [b], http: {url: c}}]",
			"web.handlers[0]: has more than one kind"},
		{"level: \"a\\nb\\e\\x9b\"", "web.level: must be debug, info or warn, not \"a?b??\""},
		{"<<: {a: b}", "web.<<: unknown key"},
	};
	struct fixture *f = *state;
	char text[256], expected[256];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, "web:\n  %s\n", cases[i].value);
		snprintf(expected, sizeof expected, "f.yaml:2: %s\n", cases[i].line);
		assert_refused(f, text, expected);
	}
}

static void an_unknown_key_gets_the_nearest_or_a_short_list(void **state)
{
	struct fixture *f = *state;

	assert_refused(
		f, "web: {paswrod: x}\n", "f.yaml:1: web.paswrod: unknown key; did you mean 'password'?\n");
	assert_refused(f, "web: {password_fil: x}\n",
		"f.yaml:1: web.password_fil: unknown key; did you mean 'password_file'?\n");
	assert_refused(f, "web: {limits: {speed: 1}}\n",
		"f.yaml:1: web.limits.speed: unknown key; allowed are in_flight\n");
	/* Too many to list. */
	assert_refused(f, "web: {zzzzzz: 1}\n", "f.yaml:1: web.zzzzzz: unknown key\n");
	assert_refused(f, "q: 1\n", "f.yaml:1: q: unknown key; allowed are web, email, other\n");
	assert_refused(f, "web: {\"a\\nb\\xe9\": 1}\n", "f.yaml:1: web.a?b\xc3\xa9: unknown key\n");
}

static void what_is_required_is_missed_only_where_its_section_is(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse(f, "web: {}\n"), 0);
	assert_refused(f, "web: {}\nemail:\n", "f.yaml:2: email.url: is missing; it is required\n");
	assert_refused(f, "email: {from: x}\n", "f.yaml:1: email.url: is missing; it is required\n");
	setenv("POSTBACK_EMAIL_FROM", "x", 1);
	assert_refused(f, "", "email.url: is missing; it is required\n");
	unsetenv("POSTBACK_EMAIL_FROM");
}

static void what_is_not_our_yaml_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *lines;
	} cases[] = {
		{"web:\n  a: [1\n",
			"f.yaml:3: not YAML: did not find expected ',' or ']' (while parsing a flow sequence from line 2)\n"},
		{"web:\n\tlisten: a\n",
			"f.yaml:2: not YAML: found character that cannot start any token (while scanning for the next token from line 2)\n"},
		{"web: {listen: \"a}\n",
			"f.yaml:2: not YAML: found unexpected end of stream (while scanning a quoted scalar from line 1)\n"},
		{"a: b\n- c\n",
			"f.yaml:2: not YAML: did not find expected key (while parsing a block mapping from line 1)\n"},
		{"web:\n  listen: a:1\n# \xff\n", "f.yaml:3: not YAML: invalid leading UTF-8 octet\n"},
		{"web:\n  listen: \"\x01\"\n", "f.yaml:2: not YAML: control characters are not allowed\n"},
		{"web:\n  listen: &a x:1\n", "f.yaml:2: anchors (&) are not allowed\n"},
		{"web: &a\n  listen: x:1\n", "f.yaml:1: anchors (&) are not allowed\n"},
		{"web: {tasks: &a [x]}\n", "f.yaml:1: anchors (&) are not allowed\n"},
		{"web: {&a listen: x:1}\n", "f.yaml:1: anchors (&) are not allowed\n"},
		{"web: {listen: !!str x:1}\n", "f.yaml:1: tags (!) are not allowed\n"},
		{"web: {listen: a:1, listen: b:1}\n",
			"f.yaml:1: duplicate key 'listen', first given in line 1\n"},
		{"web: {}\nweb: {}\n", "f.yaml:2: duplicate key 'web', first given in line 1\n"},
		{"web: {reply: {a: {b: 1, 'b': 2}}}\n",
			"f.yaml:1: duplicate key 'b', first given in line 1\n"},
		{"web: {? [a] : b}\n", "f.yaml:1: a key must be a text\n"},
		{"- a\n", "f.yaml:1: must be a map of sections, not a list\n"},
		{"text\n", "f.yaml:1: must be a map of sections, not a text\n"},
		{"web: {}\n---\nweb: {}\n", "f.yaml:2: only one document is allowed\n"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_refused(f, cases[i].text, cases[i].lines);
	/* libyaml knows the anchor; the alias is refused all the same. */
	assert_refused(f, "web: {listen: &a x:1}\nother: *a\n",
		"f.yaml:1: anchors (&) are not allowed\nf.yaml:2: aliases (*) are not allowed\n");
}

static void a_nul_or_utf_16_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse_bytes(f, slice_of("web: {}\n\0", 9)), -EINVAL);
	assert_int_equal(parse_bytes(f, slice_of("\xff\xfew\0e\0b\0:\0\n\0", 12)), -EINVAL);
	assert_string_equal(errors(f), "f.yaml:1: not YAML: invalid leading UTF-8 octet\n");
	assert_int_equal(parse(f, "\xef\xbb\xbfweb: {count: 5}\n"), 0);
	assert_int_equal(f->options.web.count, 5);
}

static void depth_size_and_keys_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct buf text;

	buf_init(&text, 4 << 20);
	buf_append_text(&text, "other: ");
	for (int i = 0; i < 100; i++)
		buf_append_byte(&text, '[');
	assert_int_equal(parse_bytes(f, buf_slice(&text)), -EINVAL);
	assert_string_equal(errors(f), "f.yaml:1: nested deeper than 32 levels\n");

	buf_reset(&text);
	buf_append_text(&text, "other: {");
	for (int i = 0; i < 2000; i++)
		buf_printf(&text, "k%d: 1,\n", i);
	buf_append_text(&text, "}\n");
	assert_int_equal(parse_bytes(f, buf_slice(&text)), -EINVAL);
	assert_string_equal(errors(f), "f.yaml:1001: more than 1000 keys in one map\n");

	buf_reset(&text);
	buf_append_text(&text, "other: {");
	for (int i = 0; i < 201; i++)
		buf_append_byte(&text, 'k');
	buf_append_text(&text, ": 1}\n");
	assert_int_equal(parse_bytes(f, buf_slice(&text)), -EINVAL);
	assert_string_equal(errors(f), "f.yaml:1: a key must have at most 200 bytes and no NUL\n");

	buf_reset(&text);
	while (text.len <= 1 << 20)
		buf_append_text(&text, "# a comment without end\n");
	assert_int_equal(parse_bytes(f, buf_slice(&text)), -EINVAL);
	assert_string_equal(errors(f), "f.yaml: is larger than 1048576 bytes\n");
	write_file(f, text.data, text.len);
	buf_reset(&f->errors);
	assert_int_equal(config_read(f->path, NULL, root, &f->options, &f->errors), -EFBIG);
	buf_done(&text);
}

static void a_file_wrong_all_over_is_told_in_part(void **state)
{
	struct fixture *f = *state;
	struct buf text;
	int lines = 0;

	buf_init(&text, 1 << 20);
	buf_append_text(&text, "web:\n");
	for (int i = 0; i < 500; i++)
		buf_printf(&text, "  zzzzzzzz%d: 1\n", i);
	assert_int_equal(parse_bytes(f, buf_slice(&text)), -EINVAL);
	for (const char *at = errors(f); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 101);
	assert_non_null(strstr(errors(f), "\nf.yaml: 400 more\n"));
	buf_done(&text);
}

static void every_prefix_is_read_or_refused_and_leaks_nothing(void **state)
{
	static const char whole[] = "web:\n"
				    "  listen: \"a:1\"  # where\n"
				    "  password: 'x'\n"
				    "  tasks: [a, 'b']\n"
				    "  reply: {a: [1, ~, \"\\u00e9\"]}\n"
				    "  handlers:\n"
				    "    - {task: a, then: [b, {task: c}]}\n"
				    "    - task: d\n"
				    "      http: {url: e}\n"
				    "email: {url: g}\n";
	struct fixture *f = *state;

	for (size_t len = 0; len < sizeof whole; len++) {
		char *prefix = malloc(len + 1);
		int rc;

		assert_non_null(prefix);
		memcpy(prefix, whole, len);
		rc = parse_bytes(f, slice_of(prefix, len));
		assert_true(rc == 0 ? f->errors.len == 0 : rc == -EINVAL && f->errors.len > 0);
		free(prefix);
	}
}

static void every_byte_changed_is_read_or_refused(void **state)
{
	static const char whole[] = "web: {listen: \"a:1\", tasks: [a, 'b'], reply: {a: [1, ~]},\n"
				    "  handlers: [{task: a, then: [b, {task: c}]}]}\n";
	struct fixture *f = *state;
	char text[sizeof whole];

	for (size_t at = 0; at < sizeof whole - 1; at++) {
		for (int byte = 0; byte < 256; byte += 5) {
			int rc;

			memcpy(text, whole, sizeof whole);
			text[at] = (char)byte;
			rc = parse_bytes(f, slice_of(text, sizeof whole - 1));
			assert_true(rc == 0 || (rc == -EINVAL && f->errors.len > 0));
		}
	}
}

/* ---- files, secrets, variables ---- */

static void a_file_that_cannot_be_read_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_read("/nowhere/at/all", NULL, root, &f->options, &f->errors), -ENOENT);
	assert_string_equal(errors(f), "/nowhere/at/all: cannot be read: No such file or directory\n");
	buf_reset(&f->errors);
	assert_int_equal(config_read("/", NULL, root, &f->options, &f->errors), -EISDIR);
	assert_string_equal(errors(f), "/: cannot be read: Is a directory\n");
}

static void a_file_is_read_and_named_in_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	char expected[256];

	write_file(f, "web: {count: 5}\n", 16);
	assert_int_equal(config_read(f->path, NULL, root, &f->options, &f->errors), 0);
	assert_int_equal(f->options.web.count, 5);
	config_free(root, &f->options);
	write_file(f, "web: {count: x}\n", 16);
	assert_int_equal(config_read(f->path, NULL, root, &f->options, &f->errors), -EINVAL);
	snprintf(expected, sizeof expected, "%s:1: web.count: must be a whole number, not \"x\"\n", f->path);
	assert_string_equal(errors(f), expected);
}

static void without_a_file_all_is_fallbacks_and_variables(void **state)
{
	struct fixture *f = *state;

	setenv("POSTBACK_WEB_LISTEN", "0.0.0.0:1", 1);
	assert_int_equal(config_read(NULL, "POSTBACK", root, &f->options, &f->errors), 0);
	assert_string_equal(f->options.web.listen, "0.0.0.0:1");
	assert_int_equal(f->options.web.count, -7);
}

static void a_variable_wins_over_the_file(void **state)
{
	struct fixture *f = *state;

	setenv("POSTBACK_WEB_LISTEN", "b:2", 1);
	setenv("POSTBACK_WEB_LIMITS_IN_FLIGHT", "9", 1);
	assert_int_equal(
		parse(f, "web: {listen: 'a:1', limits: {in_flight: 8}, handlers: [{task: listen}]}\n"), 0);
	assert_string_equal(f->options.web.listen, "b:2");
	assert_int_equal(f->options.web.limits.in_flight, 9);
	config_free(root, &f->options);
	assert_int_equal(
		config_parse("f", slice_text("web: {listen: 'a:1'}"), NULL, root, &f->options, &f->errors),
		0);
	assert_string_equal(f->options.web.listen, "a:1");
	unsetenv("POSTBACK_WEB_LIMITS_IN_FLIGHT");
}

static void a_wrong_variable_is_named(void **state)
{
	struct fixture *f = *state;

	setenv("POSTBACK_WEB_LISTEN", "nowhere", 1);
	setenv("POSTBACK_WEB_BODY", "much", 1);
	assert_refused(f, "web: {count: x}\n",
		"f.yaml:1: web.count: must be a whole number, not \"x\"\n"
		"POSTBACK_WEB_LISTEN: must be host:port\n"
		"POSTBACK_WEB_BODY: must be a number of bytes, or one with KiB, MiB, GiB, KB, MB or GB, not \"much\"\n");
	unsetenv("POSTBACK_WEB_BODY");
}

static void a_variable_of_our_section_that_means_nothing_is_refused(void **state)
{
	static const struct {
		const char *name, *line;
	} bad[] = {
		{"POSTBACK_WEB_LISTN",
			"is not a variable of the section 'web'; did you mean POSTBACK_WEB_LISTEN?"},
		{"POSTBACK_WEB_QQQQQQQQQQQQQQ", "is not a variable of the section 'web'"},
		{"POSTBACK_WEB_TASKS", "names a list or map, which only the file can set"},
		{"POSTBACK_WEB_HANDLERS", "names a list or map, which only the file can set"},
		{"POSTBACK_WEB_HANDLERS_0_TASK", "is not a variable of the section 'web'"},
		{"POSTBACK_WEB_LISTEN_FILE", "is not a variable of the section 'web'"},
		{"POSTBACK_EMAIL_FORM",
			"is not a variable of the section 'email'; did you mean POSTBACK_EMAIL_FROM?"},
	};
	static const char *const fine[] = {"POSTBACK_BIN", "POSTBACK_LISTEN", "POSTBACK_STATE_DIR",
		"POSTBACK_WEB", "POSTBACK_OTHER_X", "POSTBACK_OTHERS_X", "POSTBACK_WEBS_X",
		"POSTBACK_WEB_SERVICE_HOST", "POSTBACK_WEB_SERVICE_PORT_HTTP", "POSTBACK_WEB_PORT",
		"POSTBACK_WEB_PORT_8080_TCP_ADDR"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		setenv(bad[i].name, "x", 1);
		assert_int_equal(parse(f, ""), -EINVAL);
		unsetenv(bad[i].name);
		assert_int_equal(strncmp(errors(f), bad[i].name, strlen(bad[i].name)), 0);
		assert_non_null(strstr(errors(f), bad[i].line));
	}
	for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
		setenv(fine[i], "x", 1);
		assert_int_equal(parse(f, ""), 0);
		unsetenv(fine[i]);
	}
}

static void a_secret_comes_from_its_file_less_the_last_newline(void **state)
{
	static const struct {
		const char *content, *secret;
	} cases[] = {
		{"hunter2\n", "hunter2"},
		{"hunter2", "hunter2"},
		{"hunter2\r\n", "hunter2"},
		{"two\nlines\n\n", "two\nlines\n"},
		{"", ""},
		{"\n", ""},
	};
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof text, "web: {password_file: %s}\n", f->path);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		write_file(f, cases[i].content, strlen(cases[i].content));
		assert_int_equal(parse(f, text), 0);
		assert_string_equal(f->options.web.password, cases[i].secret);
	}
	assert_int_equal(parse(f, "web: {password_file: \"\"}\n"), 0);
	assert_null(f->options.web.password);
	write_file(f, "a\0b", 3);
	assert_int_equal(parse(f, text), -EINVAL);
	assert_non_null(strstr(errors(f), "f.yaml:1: web.password_file: must not hold a NUL\n"));
}

static void a_secrets_file_that_is_wrong_is_told(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "web: {password_file: /nowhere}\n",
		"f.yaml:1: web.password_file: cannot be read: No such file or directory\n");
	assert_refused(f, "web: {password: hunter2, password_file: /nowhere}\n",
		"f.yaml:1: web.password_file: stands beside 'password'; give one of them\n");
	assert_refused(f, "web: {password_file: /dev/zero}\n",
		"f.yaml:1: web.password_file: is a file of more than 65536 bytes\n");
	assert_refused(f, "web: {password_file: [a]}\n",
		"f.yaml:1: web.password_file: must be a single value, not a list\n");
}

static void a_secret_comes_from_a_variable_or_its_file(void **state)
{
	struct fixture *f = *state;

	write_file(f, "from-file\n", 10);
	setenv("POSTBACK_WEB_PASSWORD_FILE", f->path, 1);
	assert_int_equal(parse(f, "web: {password: in-yaml}\n"), 0);
	assert_string_equal(f->options.web.password, "from-file");
	setenv("POSTBACK_WEB_PASSWORD", "hunter2", 1);
	assert_refused(
		f, "", "POSTBACK_WEB_PASSWORD: is set beside POSTBACK_WEB_PASSWORD_FILE; set one of them\n");
	setenv("POSTBACK_WEB_PASSWORD_FILE", "", 1);
	assert_int_equal(parse(f, "web: {password: in-yaml}\n"), 0);
	assert_string_equal(f->options.web.password, "hunter2");
	unsetenv("POSTBACK_WEB_PASSWORD");
	setenv("POSTBACK_WEB_PASSWORD_FILE", "/nowhere", 1);
	assert_refused(f, "", "POSTBACK_WEB_PASSWORD_FILE: cannot be read: No such file or directory\n");
	unsetenv("POSTBACK_WEB_PASSWORD_FILE");
}

static void a_secret_is_never_in_a_message(void **state)
{
	static const char *const texts[] = {
		"web: {password: [hunter2]}\n",
		"web: {password: {a: hunter2}}\n",
		"web: {passwort: hunter2}\n",
		"web: {password: \"hunter2\\0\"}\n",
		"web: {password: hunter2, password: hunter2}\n",
		"web: {password: &hunter hunter2}\n",
		"web: {password: !!str hunter2}\n",
		"web:\n  password: hunter2: x\n",
		"web:\n  password: \"hunter2\n",
		"web: {password: hunter2, password_file: x}\n",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		assert_int_equal(parse(f, texts[i]), -EINVAL);
		assert_null(strstr(errors(f), "hunter2"));
	}
}

/* ---- quantities, reference ---- */

static void durations_are_read_with_their_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"0", 0}, {"0s", 0}, {"500ms", 500}, {"10s", 10000}, {"5m", 300000}, {"2h", 7200000},
		{"7d", 604800000}, {"9223372036854775807ms", INT64_MAX}};
	static const char *const bad[] = {"", "5", "s", "-5s", "+5s", "5 s", "5S", "1.5s", "5sec", "1h30m",
		"9223372036854775808ms", "9223372036854775807s", "99999999999999999999999d", "0x5s"};
	int64_t ms = 77;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(duration_parse(slice_text(bad[i]), &ms), -EINVAL);
	assert_int_equal(ms, 77);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(duration_parse(slice_text(good[i].text), &ms), 0);
		assert_true(ms == good[i].ms);
	}
}

static void sizes_are_read_with_their_units(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} good[] = {{"0", 0}, {"1234", 1234}, {"64KiB", 65536}, {"8MiB", 8388608}, {"1GiB", 1073741824},
		{"1KB", 1000}, {"2MB", 2000000}, {"3GB", 3000000000}};
	static const char *const bad[] = {
		"", "KiB", "1K", "1kib", "-1", "1.5MiB", "8 MiB", "9223372036854775807KiB"};
	int64_t bytes = 77;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(size_parse(slice_text(bad[i]), &bytes), -EINVAL);
	assert_int_equal(bytes, 77);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(size_parse(slice_text(good[i].text), &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void a_quantity_is_written_in_its_largest_unit_and_read_back(void **state)
{
	static const int64_t values[] = {0, 1, 999, 1000, 1024, 60000, 90000, 3600000, 86400000, 15 << 20,
		1 << 30, 1000000, INT64_MAX};
	char text[QUANTITY_TEXT_LEN + 1];
	int64_t back;

	duration_format(90000, text);
	assert_string_equal(text, "90s");
	size_format(15 << 20, text);
	assert_string_equal(text, "15MiB");
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		duration_format(values[i], text);
		assert_int_equal(duration_parse(slice_text(text), &back), 0);
		assert_true(back == values[i]);
		size_format(values[i], text);
		assert_int_equal(size_parse(slice_text(text), &back), 0);
		assert_true(back == values[i]);
	}
}

static void the_reference_has_a_table_for_every_section_and_list(void **state)
{
	static const char *const parts[] = {
		"## web\n\nThe web.\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
		"| `listen` | text | `127.0.0.1:8080` | Where to listen \\| or not. |\n",
		"| `password`, `password_file` | secret text |  | Never shown. |\n",
		"| `body` | size between 1KiB and 1GiB | `8MiB` | Largest body. |\n",
		"| `rate` | number at least 0 | `0.5` |  |\n",
		"| `level` | debug, info or warn | `info` |  |\n",
		"## web.limits\n\nWhat it bears.\n",
		"## web.handlers[]\n\nWhat it runs.\n",
		"| `task` | text | required |  |\n",
		"| `then` | list of maps, or of texts that stand for `task` |  |  |\n",
		"## web.handlers[].then[]\n",
		"## email\n",
	};
	struct fixture *f = *state;
	const char *at;

	assert_int_equal(config_reference(root, &f->errors), 0);
	at = errors(f);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		assert_non_null(strstr(at, parts[i]));
		at = strstr(at, parts[i]);
	}
	assert_null(strstr(errors(f), "other"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_file_is_all_fallbacks),
		TEST(every_kind_of_value_is_read),
		TEST(lists_of_maps_know_their_lines_and_fallbacks),
		TEST(another_services_section_may_hold_anything),
		TEST(any_yaml_becomes_json),
		TEST(numbers_that_json_has_not_are_refused),
		TEST(everything_wrong_is_told_at_once_in_the_order_of_lines),
		TEST(each_wrong_value_says_what_is_allowed),
		TEST(an_unknown_key_gets_the_nearest_or_a_short_list),
		TEST(what_is_required_is_missed_only_where_its_section_is),
		TEST(what_is_not_our_yaml_is_refused_with_its_line),
		TEST(a_nul_or_utf_16_is_refused),
		TEST(depth_size_and_keys_are_bounded),
		TEST(a_file_wrong_all_over_is_told_in_part),
		TEST(every_prefix_is_read_or_refused_and_leaks_nothing),
		TEST(every_byte_changed_is_read_or_refused),
		TEST(a_file_that_cannot_be_read_is_told),
		TEST(a_file_is_read_and_named_in_what_is_wrong),
		TEST(without_a_file_all_is_fallbacks_and_variables),
		TEST(a_variable_wins_over_the_file),
		TEST(a_wrong_variable_is_named),
		TEST(a_variable_of_our_section_that_means_nothing_is_refused),
		TEST(a_secret_comes_from_its_file_less_the_last_newline),
		TEST(a_secrets_file_that_is_wrong_is_told),
		TEST(a_secret_comes_from_a_variable_or_its_file),
		TEST(a_secret_is_never_in_a_message),
		cmocka_unit_test(durations_are_read_with_their_units),
		cmocka_unit_test(sizes_are_read_with_their_units),
		cmocka_unit_test(a_quantity_is_written_in_its_largest_unit_and_read_back),
		TEST(the_reference_has_a_table_for_every_section_and_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
