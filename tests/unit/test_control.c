#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/equal.h"
#include "tests/unit/sweeps.h"
#include "tests/unit/wire_text.h"

#define ID "\xc4\x10\x01\x8b\xcf\xe5\x68\x00\x71\x23\x91\x58\x00\x01\x13\xaf\x7c\xcc"

static const struct control cancel = {.kind = CONTROL_CANCEL, .id = {{7}}, .at_ms = 1700000000000};

static int encode_cancel(struct buf *out)
{
	return control_encode(&cancel, out);
}

static struct buf encoded(void)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(encode_cancel(&out), 0);
	return out;
}

static void a_cancel_survives_the_wire(void **state)
{
	struct buf out = encoded();
	struct decode_error error;
	struct control again;

	assert_int_equal(control_decode(buf_slice(&out), &again, &error), 0);
	assert_true(control_is_equal(&cancel, &again));
	buf_done(&out);
}

static void every_prefix_is_refused(void **state)
{
	struct buf out = encoded();

	sweep_prefixes(control_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void no_mutation_does_harm(void **state)
{
	struct buf out = encoded();

	sweep_mutations(control_round_trip, buf_slice(&out));
	buf_done(&out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(encode_cancel);
}

static const struct wire_pair good[] = {
	{"v", WIRE("\x01")},
	{"id", WIRE(ID)},
	{"kind", WIRE("\xa6"
		      "cancel")},
	{"at", WIRE("\x01")},
};

static void decode_says_what_is_wrong_and_where(void **state)
{
	static const struct wire_case cases[] = {
		{"v", {NULL, 0}, "v", "missing"},
		{"kind", {NULL, 0}, "kind", "missing"},
		{"kind", WIRE("\x01"), "kind", "not a string"},
		{"id", {NULL, 0}, "id", "missing"},
		{"id", WIRE("\xa1x"), "id", "not a bin"},
		{"at", {NULL, 0}, "at", "missing"},
		{"at", WIRE("\xff"), "at", "out of range"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ASSERT_REFUSED(control, good, &cases[i]);
}

static void an_unknown_kind_is_to_be_skipped_whatever_else_it_holds(void **state)
{
	static const struct wire_pair pairs[] = {
		{"v", WIRE("\x01")},
		{"id", WIRE("\xa3"
			    "all")},
		{"kind", WIRE("\xa5"
			      "pause")},
	};
	struct wire_text none = {NULL, 0};
	struct buf message = wire_message(pairs, sizeof pairs / sizeof *pairs, "", none);

	assert_int_equal(control_round_trip(buf_slice(&message)), -ENOMSG);
	buf_done(&message);
}

static void what_would_not_decode_is_not_encoded(void **state)
{
	const struct control bad[] = {
		{.kind = (enum control_kind)1, .id = {{7}}, .at_ms = 1},
		{.kind = CONTROL_CANCEL, .at_ms = 1},
		{.kind = CONTROL_CANCEL, .id = {{7}}, .at_ms = -1},
	};
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(control_encode(&bad[i], &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cancel_survives_the_wire),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(no_mutation_does_harm),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
		cmocka_unit_test(decode_says_what_is_wrong_and_where),
		cmocka_unit_test(an_unknown_kind_is_to_be_skipped_whatever_else_it_holds),
		cmocka_unit_test(what_would_not_decode_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
