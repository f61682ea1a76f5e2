#include "notifier/template.h"
#include "proto/json.h"
#include "tests/unit/sweeps.h"

static const char document[] =
	"{\"id\":\"01a2\",\"task\":\"report\",\"status\":\"succeeded\",\"attempt\":2,"
	"\"error\":null,\"metadata\":{\"who\":\"<Ann & \\\"Bob\\\">\",\"empty\":\"\","
	"\"line\":\"a\\r\\nBcc: x@y\\u0000\\u0085z\",\"caf\\u00e9\":1,\"key-1_a\":true},"
	"\"result\":{\"total\":1.10,\"items\":[{\"name\":\"gr\xc3\xbc\xc3\x9f\"},[7,8]],\"big\":"
	"12345678901234567890}}";

static const struct template_value values[] = {
	{"to", {(const uint8_t *)"+86 1", 5}}, {"task", {(const uint8_t *)"mine\xff", 5}}};

static int render(const char *text, enum template_kind kind, struct buf *out)
{
	const struct template_source source = {.document = slice_text(document)};

	buf_init(out, 1 << 20);
	return template_render(slice_text(text), kind, &source, out);
}

static void expect(const char *text, enum template_kind kind, const char *wanted)
{
	struct buf out;
	char why[100];

	assert_int_equal(template_check(slice_text(text), why, sizeof why), 0);
	assert_int_equal(render(text, kind, &out), 0);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void placeholders_are_filled_from_the_document(void **state)
{
	expect("", TEMPLATE_TEXT, "");
	expect("no placeholder\n", TEMPLATE_TEXT, "no placeholder\n");
	expect("{task} has {status} ({attempt})", TEMPLATE_TEXT, "report has succeeded (2)");
	expect("{result.total} {result.big}", TEMPLATE_TEXT, "1.10 12345678901234567890");
	expect("{result.items.0.name}|{result.items.1.1}|{result.items.1}", TEMPLATE_TEXT,
		"gr\xc3\xbc\xc3\x9f|8|[7,8]");
	expect("{metadata.key-1_a}", TEMPLATE_TEXT, "true");
}

static void what_is_not_there_is_empty(void **state)
{
	expect("[{error}{error.message}{nothing}{result.items.7}{result.items.x}{task.x}]", TEMPLATE_TEXT,
		"[]");
	expect("[{result.items.99999999999999999999}{result.items.-1}{result.items.00x}]", TEMPLATE_TEXT,
		"[]");
}

static void braces_that_are_no_placeholder_stand_for_themselves(void **state)
{
	expect("a { b } {} {1} {{task} {{{task}} }}", TEMPLATE_TEXT, "a { b } {} {1} {task} {report} }}");
	expect("{\"a\":{\"b\":\"{metadata.who}\"}}", TEMPLATE_JSON,
		"{\"a\":{\"b\":\"<Ann & \\\"Bob\\\">\"}}");
	expect("{", TEMPLATE_TEXT, "{");
	expect("x{", TEMPLATE_TEXT, "x{");
}

static void a_placeholder_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = {"{task", "{task ", "{task }", "a {task\n} b", "{a{b}}",
		"{task??}", "{task?x}", "{id.}", "{result..total}", "{t\xc3\xbc}", "\xff", "{color: red}"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		char why[100] = "";
		struct buf out;

		assert_int_equal(template_check(slice_text(wrong[i]), why, sizeof why), -EINVAL);
		assert_true(*why != '\0');
		if (strcmp(wrong[i], "\xff") != 0)
			assert_int_equal(render(wrong[i], TEMPLATE_TEXT, &out), -EINVAL);
		buf_done(&out);
	}
}

static void a_path_has_a_bound(void **state)
{
	char text[TEMPLATE_PATH_MAX + 4], why[100];

	memset(text, 'a', sizeof text);
	text[0] = '{';
	text[TEMPLATE_PATH_MAX + 1] = '}';
	assert_int_equal(template_check(slice_of(text, TEMPLATE_PATH_MAX + 2), why, sizeof why), 0);
	text[TEMPLATE_PATH_MAX + 1] = 'a';
	text[TEMPLATE_PATH_MAX + 2] = '}';
	assert_int_equal(template_check(slice_of(text, TEMPLATE_PATH_MAX + 3), why, sizeof why), -EINVAL);
}

static void values_are_escaped_as_their_place_wants(void **state)
{
	expect("<b>{metadata.who}</b>", TEMPLATE_HTML, "<b>&lt;Ann &amp; &quot;Bob&quot;&gt;</b>");
	expect("https://a/?q={metadata.who}&{result.items.0.name}", TEMPLATE_URL,
		"https://a/?q=%3CAnn%20%26%20%22Bob%22%3E&gr%C3%BC%C3%9F");
	expect("\"{metadata.line}\"", TEMPLATE_JSON, "\"a\\u000d\\u000aBcc: x@y\\u0000\xc2\x85z\"");
	expect("{metadata.line}", TEMPLATE_URL, "a%0D%0ABcc%3A%20x%40y%00%C2%85z");
}

static void no_value_makes_another_line_of_a_header(void **state)
{
	expect("  {metadata.line}\r\n ", TEMPLATE_LINE, "a  Bcc: x@y  z");
	expect("{metadata.line}", TEMPLATE_TEXT, "a\r\nBcc: x@y  z");
}

static void a_line_goes_with_its_optional_placeholder(void **state)
{
	expect("Task: {task}\nError: {error.message?}\nEmpty: {metadata.empty?}\nTotal: {result.total?}",
		TEMPLATE_TEXT, "Task: report\nTotal: 1.10");
	expect("<p>{error?}</p>\n<p>{task?}</p>\n", TEMPLATE_HTML, "<p>report</p>\n");
	expect("a={error?}", TEMPLATE_URL, "a=");
}

static void values_of_the_caller_win_and_are_valid_text(void **state)
{
	const struct template_source source = {
		.document = slice_text(document), .values = values, .values_len = 2};
	struct buf out;

	buf_init(&out, 100);
	assert_int_equal(template_render(slice_text("{to} {task} {id}"), TEMPLATE_TEXT, &source, &out), 0);
	assert_string_equal(buf_text(&out), "+86 1 mine\xef\xbf\xbd 01a2");
	buf_done(&out);
}

static void a_long_value_is_cut_on_a_character(void **state)
{
	struct template_source source = {.document = slice_text(document)};
	struct buf out;

	for (source.value_max = 1; source.value_max <= 7; source.value_max++) {
		buf_init(&out, 100);
		assert_int_equal(
			template_render(slice_text("{result.items.0.name}"), TEMPLATE_TEXT, &source, &out),
			0);
		assert_true(utf8_is_valid(buf_slice(&out)));
		assert_true(out.len <= source.value_max + 3);
		assert_int_equal(source.value_max < 6,
			out.len >= 3 && memcmp(out.data + out.len - 3, "\xe2\x80\xa6", 3) == 0);
		buf_done(&out);
	}
}

static int encode_all(struct buf *out)
{
	static const char text[] = "{metadata.line}{metadata.who}\n{error?}\n{result}{{";
	const struct template_source source = {.document = slice_text(document)};
	int rc = 0;

	for (enum template_kind kind = TEMPLATE_TEXT; kind <= TEMPLATE_JSON && rc == 0; kind++)
		rc = template_render(slice_text(text), kind, &source, out);
	return rc;
}

static void every_bound_is_kept(void **state)
{
	sweep_bounds(encode_all);
}

/* Every text of up to four of these is checked and rendered alike, within itself. */
static void check_and_rendering_agree_on_every_short_text(void **state)
{
	static const char letters[] = {'{', '}', 'a', '.', '?', '1', '\n'};
	const struct template_source source = {.document = slice_text(document)};
	const size_t base = sizeof letters;
	char why[100];

	for (size_t n = 0; n < base * base * base * base; n++) {
		size_t len = n % 5;
		char *text = malloc(len + 1);
		struct buf out;

		assert_non_null(text);
		for (size_t i = 0, rest = n; i < len; i++, rest /= base)
			text[i] = letters[rest % base];
		buf_init(&out, 1000);
		assert_int_equal(template_check(slice_of(text, len), why, sizeof why),
			template_render(slice_of(text, len), TEMPLATE_LINE, &source, &out));
		buf_done(&out);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placeholders_are_filled_from_the_document),
		cmocka_unit_test(what_is_not_there_is_empty),
		cmocka_unit_test(braces_that_are_no_placeholder_stand_for_themselves),
		cmocka_unit_test(a_placeholder_that_is_none_is_refused),
		cmocka_unit_test(a_path_has_a_bound),
		cmocka_unit_test(values_are_escaped_as_their_place_wants),
		cmocka_unit_test(no_value_makes_another_line_of_a_header),
		cmocka_unit_test(a_line_goes_with_its_optional_placeholder),
		cmocka_unit_test(values_of_the_caller_win_and_are_valid_text),
		cmocka_unit_test(a_long_value_is_cut_on_a_character),
		cmocka_unit_test(every_bound_is_kept),
		cmocka_unit_test(check_and_rendering_agree_on_every_short_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
