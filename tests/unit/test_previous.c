#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/previous.h"

#define ID_TEXT "01020304-0506-7008-800a-0b0c0d0e0f10"
static const struct id some_id = {.bytes = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16}};

static void expect(struct slice payload, const struct store_due *due, const char *wanted)
{
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(previous_join(payload, due, &out), 0);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static struct store_due after_task(void)
{
	return (struct store_due){
		.previous =
			{
				.presence = STORE_PRESENT,
				.id = some_id,
				.task = slice_text("first"),
				.state = TASK_SUCCEEDED,
				.content_type = slice_text("application/json"),
				.result_is_json = true,
				.result = slice_text("{\"n\":1.10}"),
				.result_len = 10,
			},
	};
}

static void a_json_result_is_spliced_in_verbatim(void **state)
{
	struct store_due due = after_task();

	expect(slice_text("{\"b\": 12345678901234567890, \"a\":\"\\u0000\"}"), &due,
		"{\"b\":12345678901234567890,\"a\":\"\\u0000\",\"previous\":{\"id\":\"" ID_TEXT
		"\",\"task\":\"first\",\"status\":\"succeeded\",\"result\":{\"n\":1.10}}}");
}

static void no_payload_is_an_empty_object(void **state)
{
	struct store_due due = after_task();

	due.previous.presence = STORE_ABSENT;
	expect((struct slice){0}, &due, "{\"previous\":{\"id\":\"" ID_TEXT "\"}}");
}

static void an_own_member_of_that_name_is_replaced(void **state)
{
	struct store_due due = after_task();

	due.previous.presence = STORE_ABSENT;
	expect(slice_text("{\"pre\\u0076ious\":1,\"x\":2}"), &due,
		"{\"x\":2,\"previous\":{\"id\":\"" ID_TEXT "\"}}");
}

static void another_result_is_described(void **state)
{
	struct store_due due = after_task();

	due.previous.result_is_json = false;
	due.previous.content_type = slice_text("image/png");
	expect(slice_text("{}"), &due,
		"{\"previous\":{\"id\":\"" ID_TEXT
		"\",\"task\":\"first\",\"status\":\"succeeded\",\"result_info\":{"
		"\"content_type\":\"image/png\",\"size\":10,\"href\":\"/v1/tasks/" ID_TEXT "/result\"}}}");
}

static void a_batch_is_told_by_its_counts(void **state)
{
	struct store_due due = {.previous_batch = some_id};

	due.previous_counts[TASK_SUCCEEDED] = 3;
	due.previous_counts[TASK_DEAD] = 1;
	expect(slice_text("{}"), &due,
		"{\"previous\":{\"batch\":\"" ID_TEXT
		"\",\"succeeded\":3,\"failed\":0,\"canceled\":0,\"dead\":1}}");
}

static void what_is_no_object_is_refused(void **state)
{
	static const char *const texts[] = {"[]", "1", "\"x\"", "null", "{", "{}x"};
	struct store_due due = after_task();

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf out;

		buf_init(&out, 10000);
		assert_int_equal(previous_join(slice_text(texts[i]), &due, &out), -EBADMSG);
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_json_result_is_spliced_in_verbatim),
		cmocka_unit_test(no_payload_is_an_empty_object),
		cmocka_unit_test(an_own_member_of_that_name_is_replaced),
		cmocka_unit_test(another_result_is_described),
		cmocka_unit_test(a_batch_is_told_by_its_counts),
		cmocka_unit_test(what_is_no_object_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
