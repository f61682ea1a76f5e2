#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/equal.h"
#include "tests/unit/sweeps.h"
#include "tests/unit/wire_text.h"

static struct context whole(void)
{
	return (struct context){
		.tenant = slice_text("acme"),
		.task = slice_text("thumbnail"),
		.metadata = slice_text("{\"order\": 1.10, \"é\": \"\\u0000\"}"),
		.deliver = slice_text("[{\"webhook\":\"https://example.org/\"}]"),
		.batch = {{1}},
		.retry_of = {{2}},
		.has_next = true,
		.is_inline = true,
		.trace = {slice_text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
			slice_text("a=b")},
	};
}

static int encode_whole(struct buf *out)
{
	struct context c = whole();

	return context_encode(&c, out);
}

static struct buf encoded(const struct context *c)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(context_encode(c, &out), 0);
	return out;
}

static void assert_survives(const struct context *c)
{
	struct buf out = encoded(c);
	struct decode_error error;
	struct context again;

	assert_int_equal(context_decode(buf_slice(&out), &again, &error), 0);
	assert_true(context_is_equal(c, &again));
	buf_done(&out);
}

static void a_context_survives_the_wire(void **state)
{
	struct context c = whole();
	struct context s = {.tenant = slice_text("default"), .task = slice_text("t")};

	assert_survives(&c);
	assert_survives(&s);
}

static void every_prefix_is_refused(void **state)
{
	struct context c = whole();
	struct buf out = encoded(&c);

	sweep_prefixes(context_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void no_mutation_does_harm(void **state)
{
	struct context c = whole();
	struct buf out = encoded(&c);

	sweep_mutations(context_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(encode_whole);
}

static const struct wire_pair good[] = {
	{"v", WIRE("\x01")},
	{"tenant", WIRE("\xa4"
			"acme")},
	{"task", WIRE("\xa1t")},
};

/* A worker may hand back another context than it was given. */
static void a_forged_context_is_refused_with_its_place(void **state)
{
	static const struct wire_case cases[] = {
		{"v", WIRE("\x02"), "v", "not a version known here"},
		{"tenant", {NULL, 0}, "tenant", "missing"},
		{"tenant", WIRE("\xa0"), "tenant", "empty"},
		{"tenant", WIRE("\xa1\xff"), "tenant", "not UTF-8"},
		{"tenant", WIRE("\xc4\x01x"), "tenant", "not a string"},
		{"task", {NULL, 0}, "task", "missing"},
		{"task", WIRE("\xa1/"), "task", "not a task name"},
		{"metadata", WIRE("\xa1{"), "metadata", "not a JSON object"},
		{"metadata", WIRE("\xa2[]"), "metadata", "not a JSON object"},
		{"metadata", WIRE("\xb2{\"a\":1,\"\\u0061\":2}"), "metadata", "not a JSON object"},
		{"metadata", WIRE("\x80"), "metadata", "not a string"},
		{"deliver", WIRE("\xa2{}"), "deliver", "not a JSON array"},
		{"deliver", WIRE("\xa4[1,]"), "deliver", "not a JSON array"},
		{"batch", WIRE("\xc4\x01x"), "batch", "not an id"},
		{"retry_of", WIRE("\xc4\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "retry_of", "not an id"},
		{"has_next", WIRE("\x01"), "has_next", "not a boolean"},
		{"is_inline", WIRE("\xc0"), "is_inline", "not a boolean"},
		{"traceparent",
			WIRE("\xa2"
			     "00"),
			"traceparent", "not a traceparent"},
		{"tracestate",
			WIRE("\xa3"
			     "a=\n"),
			"tracestate", "not a tracestate"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(context, good, &cases[i]);
}

static void assert_not_encoded(const struct context *c)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(context_encode(c, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void what_would_not_decode_is_not_encoded(void **state)
{
	char tenant[CONTEXT_TENANT_MAX + 1];
	struct context c;

	memset(tenant, 'x', sizeof tenant);
#define ASSERT_BAD(change) (c = whole(), change, assert_not_encoded(&c))
	ASSERT_BAD(c.tenant = slice_text(NULL));
	ASSERT_BAD(c.tenant = slice_of(tenant, sizeof tenant));
	ASSERT_BAD(c.task = slice_text(""));
	ASSERT_BAD(c.metadata = slice_text("[]"));
	ASSERT_BAD(c.metadata = slice_text("{\"a\":}"));
	ASSERT_BAD(c.deliver = slice_text("{}"));
#undef ASSERT_BAD
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_context_survives_the_wire),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(a_forged_context_is_refused_with_its_place),
		cmocka_unit_test(what_would_not_decode_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
