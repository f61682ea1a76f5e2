#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/deliver.h"
#include "proto/json.h"

static int read_list(const char *json, struct buf *out, struct fault *fault)
{
	struct json_error ignored;

	assert_int_equal(json_check(slice_text(json), &ignored), 0);
	buf_init(out, DELIVER_TEXT_MAX);
	return deliver_read(slice_text(json), "/deliver", out, fault);
}

static void expect(const char *json, const char *wanted)
{
	struct fault fault;
	struct buf out;

	if (read_list(json, &out, &fault) != 0)
		fail_msg("%s: %s: %s", json, fault.field, fault.detail);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void every_form_becomes_a_list(void **state)
{
	expect("{}", "");
	expect("{\"webhook\":null}", "");
	expect("{\"webhook\":[]}", "");
	expect("{\"webhook\":\"https://a/\"}",
		"[{\"channel\":\"webhook\",\"target\":{\"url\":\"https://a/\"}}]");
	expect(" { \"webhook\" : { \"on\" : [\"failed\", \"dead\"], \"url\" : \"http:\\/\\/a/\" } } ",
		"[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"},\"on\":[\"failed\", \"dead\"]}]");
	expect("{\"webhook\":[\"http://a/\",{\"url\":\"http://b/\",\"on\":null}]}",
		"[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"}},"
		"{\"channel\":\"webhook\",\"target\":{\"url\":\"http://b/\"}}]");
	expect("{\"email\":\"a@b\"}", "[{\"channel\":\"email\",\"target\":{\"to\":\"a@b\"}}]");
}

static void an_email_may_have_many_receivers_and_a_template(void **state)
{
	expect("{\"email\":{\"to\":[\"a@b\",\"c@d\"],\"on\":[\"dead\"],\"template\":\"short\"}}",
		"[{\"channel\":\"email\",\"target\":{\"to\":\"a@b\",\"template\":\"short\"},\"on\":[\"dead\"]},"
		"{\"channel\":\"email\",\"target\":{\"to\":\"c@d\",\"template\":\"short\"},\"on\":[\"dead\"]}]");
	expect("{\"email\":[\"a@b\",{\"to\":\"c@d\",\"template\":null}]}",
		"[{\"channel\":\"email\",\"target\":{\"to\":\"a@b\"}},"
		"{\"channel\":\"email\",\"target\":{\"to\":\"c@d\"}}]");
}

static void a_wrong_channel_is_told_with_those_that_there_are(void **state)
{
	static const char *const channels[] = {"webhook", "email", "sms"};
	struct fault fault;
	struct buf out;

	assert_int_equal(read_list("{\"pigeon\":\"coop 7\"}", &out, &fault), -EINVAL);
	assert_string_equal(fault.field, "/deliver/pigeon");
	for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
		assert_true(deliver_is_channel(slice_text(channels[i])));
		assert_non_null(strstr(fault.detail, channels[i]));
	}
	buf_done(&out);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	static const struct {
		const char *json, *field;
	} wrong[] = {
		{"[]", "/deliver"},
		{"\"https://a/\"", "/deliver"},
		{"{\"pigeon\":\"a\"}", "/deliver/pigeon"},
		{"{\"a/b~c\":\"a\"}", "/deliver/a~1b~0c"},
		{"{\"email\":\"a.b\"}", "/deliver/email"},
		{"{\"email\":\"A <a@b>\"}", "/deliver/email"},
		{"{\"email\":\"a@b\\r\\nBcc: c@d\"}", "/deliver/email"},
		{"{\"email\":{\"to\":[\"a@b\",\"a@b,c@d\"]}}", "/deliver/email/to/1"},
		{"{\"email\":{\"to\":[]}}", "/deliver/email/to"},
		{"{\"email\":{\"to\":[[\"a@b\"]]}}", "/deliver/email/to/0"},
		{"{\"email\":[{\"to\":\"a@b\"},{\"to\":7}]}", "/deliver/email/1/to"},
		{"{\"email\":{\"to\":\"a@b\",\"template\":\"../x\"}}", "/deliver/email/template"},
		{"{\"email\":{\"to\":\"a@b\",\"template\":\"\"}}", "/deliver/email/template"},
		{"{\"email\":{\"to\":\"a@b\",\"template\":7}}", "/deliver/email/template"},
		{"{\"email\":{\"to\":\"a@b\",\"subject\":\"x\"}}", "/deliver/email/subject"},
		{"{\"webhook\":{\"url\":[\"http://a/\"]}}", "/deliver/webhook/url"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"template\":\"x\"}}", "/deliver/webhook/template"},
		{"{\"sms\":\"004915112345678\"}", "/deliver/sms"},
		{"{\"sms\":\" 4915112345678\"}", "/deliver/sms"},
		{"{\"sms\":[\"+4915112345678\",\"+49 151 12345678\"]}", "/deliver/sms/1"},
		{"{\"sms\":{\"to\":\"+123456\"}}", "/deliver/sms/to"},
		{"{\"sms\":{\"to\":[\"+4915112345678\",4915112345678]}}", "/deliver/sms/to/1"},
		{"{\"sms\":{\"to\":\"+4915112345678\",\"text\":\"x\"}}", "/deliver/sms/text"},
		{"{\"webhook\":1}", "/deliver/webhook"},
		{"{\"webhook\":\"\"}", "/deliver/webhook"},
		{"{\"webhook\":\"file:///x\"}", "/deliver/webhook"},
		{"{\"webhook\":\"http://a/\\u0000\"}", "/deliver/webhook"},
		{"{\"webhook\":\"http://a\\n.b/\"}", "/deliver/webhook"},
		{"{\"webhook\":[\"http://a/\",[\"http://b/\"]]}", "/deliver/webhook/1"},
		{"{\"webhook\":{}}", "/deliver/webhook/url"},
		{"{\"webhook\":{\"url\":null}}", "/deliver/webhook/url"},
		{"{\"webhook\":{\"url\":\"http://u:p@a/\"}}", "/deliver/webhook/url"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"on\":\"failed\"}}", "/deliver/webhook/on"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"on\":[]}}", "/deliver/webhook/on"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"on\":[\"dead\",\"queued\"]}}",
			"/deliver/webhook/on/1"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"on\":[[\"dead\"]]}}", "/deliver/webhook/on/0"},
		{"{\"webhook\":{\"url\":\"http://a/\",\"secret\":\"x\"}}", "/deliver/webhook/secret"},
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct fault fault = {0};
		struct buf out;

		assert_int_equal(read_list(wrong[i].json, &out, &fault), -EINVAL);
		assert_string_equal(fault.field, wrong[i].field);
		assert_true(*fault.detail != '\0');
		buf_done(&out);
	}
}

/* {"webhook":[URL, URL, …]} with `count` URLs of `len` bytes. */
static int read_many(size_t count, size_t len)
{
	struct fault fault;
	struct buf json, out;
	int rc;

	buf_init(&json, 1 << 20);
	buf_append_text(&json, "{\"webhook\":[");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&json, "%s\"http://a/", i ? "," : "");
		for (size_t k = 9; k < len; k++)
			buf_append_byte(&json, 'x');
		buf_append_byte(&json, '"');
	}
	buf_append_text(&json, "]}");
	rc = read_list(buf_text(&json), &out, &fault);
	buf_done(&json);
	buf_done(&out);
	return rc;
}

static void receivers_are_bounded_in_number_and_size(void **state)
{
	assert_int_equal(read_many(DELIVER_RECEIVERS_MAX, 20), 0);
	assert_int_equal(read_many(DELIVER_RECEIVERS_MAX + 1, 20), -EINVAL);
	assert_int_equal(read_many(15, 2048), 0);
	assert_int_equal(read_many(16, 2048), -EINVAL);
	assert_int_equal(read_many(1, 2049), -EINVAL);
	assert_int_equal(read_many(1, 9000), -EINVAL);
}

static void one_receiver_is_added_to_the_list(void **state)
{
	struct fault fault = {0};
	struct buf out;

	buf_init(&out, DELIVER_TEXT_MAX);
	assert_true(deliver_is_channel(slice_text("webhook")));
	assert_true(deliver_is_channel(slice_text("email")));
	assert_false(deliver_is_channel(slice_text("delay")));
	assert_int_equal(
		deliver_add(slice_text("webhook"), slice_text("http://a/"), "webhook", &out, &fault), 0);
	assert_int_equal(
		deliver_add(slice_text("webhook"), slice_text("http://b/"), "webhook", &out, &fault), 0);
	assert_string_equal(buf_text(&out), "[{\"channel\":\"webhook\",\"target\":{\"url\":\"http://a/\"}},"
					    "{\"channel\":\"webhook\",\"target\":{\"url\":\"http://b/\"}}]");
	assert_int_equal(
		deliver_add(slice_text("webhook"), slice_text("b"), "webhook", &out, &fault), -EINVAL);
	assert_string_equal(fault.field, "webhook");
	buf_done(&out);
}

static void a_number_has_its_plus_back_from_a_query(void **state)
{
	static const char *const wrong[] = {
		" ", "", "4915112345678", "  4915112345678", " 49151123456789012345", " 49 15112345678"};
	struct fault fault = {0};
	struct buf out;

	buf_init(&out, DELIVER_TEXT_MAX);
	assert_int_equal(
		deliver_add(slice_text("sms"), slice_text(" 4915112345678"), "sms", &out, &fault), 0);
	assert_int_equal(
		deliver_add(slice_text("sms"), slice_text("+4915112345679"), "sms", &out, &fault), 0);
	assert_string_equal(buf_text(&out), "[{\"channel\":\"sms\",\"target\":{\"to\":\"+4915112345678\"}},"
					    "{\"channel\":\"sms\",\"target\":{\"to\":\"+4915112345679\"}}]");
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(
			deliver_add(slice_text("sms"), slice_text(wrong[i]), "sms", &out, &fault), -EINVAL);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_becomes_a_list),
		cmocka_unit_test(an_email_may_have_many_receivers_and_a_template),
		cmocka_unit_test(a_wrong_channel_is_told_with_those_that_there_are),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(receivers_are_bounded_in_number_and_size),
		cmocka_unit_test(one_receiver_is_added_to_the_list),
		cmocka_unit_test(a_number_has_its_plus_back_from_a_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
