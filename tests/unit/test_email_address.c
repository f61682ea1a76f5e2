#include "runtime/email_address.h"
#include "tests/unit/sweeps.h"

static void good_addresses_pass(void **state)
{
	static const char *const good[] = {"a@b", "name@example.com", "first.last+tag@sub.example.co.uk",
		"A@B.C", "1@2.3", "#$&'*+-/=?^_`{|}~@example.com", "a@xn--bcher-kva.example", "a@a-b.c",
		"o'neil@example.com", "123456@qq.com"};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		const char *why = NULL;

		if (email_address_check(slice_text(good[i]), &why) != 0)
			fail_msg("%s: %s", good[i], why);
	}
}

static void others_are_refused_with_a_reason(void **state)
{
	static const char *const wrong[] = {"", "@", "a", "a@", "@b", "a@@b", "a@b@c", "123456.qq.com",
		"a b@c", " a@b", "a@b ", "a@b\n", "a@b\r\nRCPT TO:<c@d>", "a\r\n@b", ".a@b", "a.@b", "a..b@c",
		"a@.b", "a@b.", "a@b..c", "a@-b", "a@b-", "a@b_c", "a@[127.0.0.1]", "a@b:25", "\"a b\"@c",
		"\"a@b\"@c", "a%d@b", "d!a@b", "@x:a@b", "<a@b>", "Name <a@b>", "a@b,c@d", "a@b;c@d", "a@b>",
		("m\xc3\xbc"
		 "ller@example.com"),
		("a@b\xc3\xbc"
		 "cher.example"),
		"a@\xff", "a(comment)@b", "a\\@b", "mailto:a@b"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const char *why = NULL;

		if (email_address_check(slice_text(wrong[i]), &why) != -EINVAL || !why)
			fail_msg("\"%s\" was taken for an address", wrong[i]);
	}
}

/* `local` and `label` letters and as many labels. */
static int check_lengths(size_t local, size_t label, size_t labels)
{
	const char *why;
	struct buf text;
	int rc;

	buf_init(&text, 4096);
	for (size_t i = 0; i < local; i++)
		buf_append_byte(&text, 'a');
	for (size_t n = 0; n < labels; n++) {
		buf_append_byte(&text, n ? '.' : '@');
		for (size_t i = 0; i < label; i++)
			buf_append_byte(&text, 'b');
	}
	rc = email_address_check(buf_slice(&text), &why);
	buf_done(&text);
	return rc;
}

static void every_part_has_its_bound(void **state)
{
	assert_int_equal(check_lengths(64, 10, 1), 0);
	assert_int_equal(check_lengths(65, 10, 1), -EINVAL);
	assert_int_equal(check_lengths(1, 63, 1), 0);
	assert_int_equal(check_lengths(1, 64, 1), -EINVAL);
	assert_int_equal(check_lengths(62, 63, 3), 0);
	assert_int_equal(check_lengths(63, 63, 3), -EINVAL);
}

/* Whatever byte stands anywhere: none that could end a line, a path or an argument of SMTP gets through. */
static void no_byte_breaks_out_of_an_address(void **state)
{
	static const char good[] = "ab.c@de-f.gh";

	for (size_t at = 0; at < sizeof good - 1; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			char text[sizeof good];
			const char *why;

			memcpy(text, good, sizeof good);
			text[at] = (char)byte;
			if (email_address_check(slice_of(text, sizeof good - 1), &why) == 0)
				assert_true(
					byte > 0x20 && byte < 0x7f && !strchr("<>()[]\\,;:\" %!", (int)byte));
		}
	}
}

static int decode(struct slice bytes)
{
	const char *why;

	return email_address_check(bytes, &why) == 0 ? 0 : -EBADMSG;
}

static void no_prefix_is_read_beyond(void **state)
{
	static const char good[] = "first.last@example.co.uk";

	for (size_t len = 0; len < sizeof good; len++)
		sweep_one(decode, slice_of(good, len));
}

static void expect_mailbox(const char *text, const char *name, const char *address)
{
	struct slice found_name, found;
	const char *why;

	if (email_mailbox_parse(slice_text(text), &found_name, &found, &why) != 0)
		fail_msg("%s: %s", text, why);
	assert_true(slice_is_text(found_name, name));
	assert_true(slice_is_text(found, address));
}

static void a_mailbox_may_have_a_name(void **state)
{
	static const char *const wrong[] = {"", "Name", "Name <a@b", "a@b>", "Name <>", "Name <a@b> x",
		"Na\nme <a@b>", "Na\"me <a@b>", "Na\\me <a@b>", "N\xff <a@b>", "<<a@b>>", "a@b <c>"};
	struct slice name, address;
	const char *why;

	expect_mailbox("a@b", "", "a@b");
	expect_mailbox(" a@b ", "", "a@b");
	expect_mailbox("<a@b>", "", "a@b");
	expect_mailbox("Postback <no-reply@example.com>", "Postback", "no-reply@example.com");
	expect_mailbox("\"Ann, Bob\" <a@b>", "Ann, Bob", "a@b");
	expect_mailbox("M\xc3\xbcller<a@b>", "M\xc3\xbcller", "a@b");
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		why = NULL;
		if (email_mailbox_parse(slice_text(wrong[i]), &name, &address, &why) != -EINVAL || !why)
			fail_msg("\"%s\" was taken for a mailbox", wrong[i]);
	}
}

static void the_domain_is_behind_the_at(void **state)
{
	assert_true(slice_is_text(email_address_domain(slice_text("a@b.c")), "b.c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_pass),
		cmocka_unit_test(others_are_refused_with_a_reason),
		cmocka_unit_test(every_part_has_its_bound),
		cmocka_unit_test(no_byte_breaks_out_of_an_address),
		cmocka_unit_test(no_prefix_is_read_beyond),
		cmocka_unit_test(a_mailbox_may_have_a_name),
		cmocka_unit_test(the_domain_is_behind_the_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
