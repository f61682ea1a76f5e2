#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/sse.h"
#include "tests/unit/sweeps.h"

static void assert_renders(const char *id, const char *event, const char *data, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(sse_render(id, event, slice_text(data), &out), 0);
	assert_string_equal(buf_text(&out), expected);
	buf_done(&out);
}

static void an_event_has_its_id_name_and_data(void **state)
{
	assert_renders("7", "status", "{}", "id: 7\nevent: status\ndata: {}\n\n");
	assert_renders(NULL, "start", "{}", "event: start\ndata: {}\n\n");
}

static void every_kind_of_line_end_begins_a_new_line_of_data(void **state)
{
	assert_renders("1", "e", "a\nb", "id: 1\nevent: e\ndata: a\ndata: b\n\n");
	assert_renders("1", "e", "a\r\nb\rc", "id: 1\nevent: e\ndata: a\ndata: b\ndata: c\n\n");
	assert_renders("1", "e", "a\n\nb", "id: 1\nevent: e\ndata: a\ndata: \ndata: b\n\n");
	assert_renders("1", "e", "a\r", "id: 1\nevent: e\ndata: a\n\n");
}

static void no_data_is_an_empty_line_of_data(void **state)
{
	assert_renders("1", "e", "", "id: 1\nevent: e\ndata: \n\n");
}

static int render(struct buf *out)
{
	return sse_render("12", "status", slice_text("{\n}"), out);
}

static void every_bound_of_the_buffer_holds(void **state)
{
	sweep_bounds(render);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_has_its_id_name_and_data),
		cmocka_unit_test(every_kind_of_line_end_begins_a_new_line_of_data),
		cmocka_unit_test(no_data_is_an_empty_line_of_data),
		cmocka_unit_test(every_bound_of_the_buffer_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
