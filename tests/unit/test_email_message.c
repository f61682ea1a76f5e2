#include "base/utf8.h"
#include "notifier/email_encode.h"
#include "notifier/email_message.h"
#include "tests/unit/sweeps.h"

static const struct id delivery = {{0x01, 0xa2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}};
static const struct id task = {{0x01, 0xa2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14, 15, 17}};

static struct email_message sample(void)
{
	return (struct email_message){
		.id = delivery,
		.task_id = task,
		.date_ms = 1795352500974,
		.from_name = slice_text("Postback"),
		.from = slice_text("no-reply@example.com"),
		.to = slice_text("ann@example.org"),
		.subject = slice_text("report: succeeded"),
		.text = slice_text("It is done.\n"),
	};
}

static struct buf render(const struct email_message *m)
{
	struct buf out;

	buf_init(&out, 1 << 22);
	assert_int_equal(email_message_render(m, &out), 0);
	return out;
}

#define HEAD                                                                 \
	"Date: Sun, 22 Nov 2026 13:01:40 +0000\r\n"                          \
	"From: Postback\r\n <no-reply@example.com>\r\n"                      \
	"To: <ann@example.org>\r\n"                                          \
	"Subject: report: succeeded\r\n"                                     \
	"Message-ID: <01a20304-0506-7708-890a-0b0c0d0e0f10@example.com>\r\n" \
	"Auto-Submitted: auto-generated\r\n"                                 \
	"X-Postback-Task: 01a20304-0506-7708-890a-0b0c0d0e0f11\r\n"          \
	"MIME-Version: 1.0\r\n"

static void a_text_alone_is_one_part(void **state)
{
	struct email_message m = sample();
	struct buf out = render(&m);

	assert_string_equal(buf_text(&out), HEAD "Content-Type: text/plain; charset=utf-8\r\n"
						 "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
						 "It is done.\r\n");
	buf_done(&out);
}

static void html_and_an_attachment_nest(void **state)
{
	struct email_message m = sample();
	struct buf out;

	m.html = slice_text("<p>=</p>");
	m.attachment = (struct email_attachment){
		slice_of("\0\xff", 2), slice_text("Image/PNG; x=\"y\""), slice_text("re\"s\nult.png")};
	out = render(&m);
	assert_string_equal(buf_text(&out), HEAD
		"Content-Type: multipart/mixed;\r\n boundary=\"=_mixed-01a20304-0506-7708-890a-0b0c0d0e0f10\"\r\n"
		"\r\n--=_mixed-01a20304-0506-7708-890a-0b0c0d0e0f10\r\n"
		"Content-Type: multipart/alternative;\r\n"
		" boundary=\"=_alternative-01a20304-0506-7708-890a-0b0c0d0e0f10\"\r\n"
		"\r\n--=_alternative-01a20304-0506-7708-890a-0b0c0d0e0f10\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nIt is done.\r\n"
		"\r\n--=_alternative-01a20304-0506-7708-890a-0b0c0d0e0f10\r\n"
		"Content-Type: text/html; charset=utf-8\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=3D</p>\r\n"
		"\r\n--=_alternative-01a20304-0506-7708-890a-0b0c0d0e0f10--\r\n"
		"\r\n--=_mixed-01a20304-0506-7708-890a-0b0c0d0e0f10\r\n"
		"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n filename=\"re_s_ult.png\"\r\n\r\nAP8=\r\n"
		"\r\n--=_mixed-01a20304-0506-7708-890a-0b0c0d0e0f10--\r\n");
	buf_done(&out);
}

static void what_is_no_address_makes_no_message(void **state)
{
	struct email_message m = sample();
	struct buf out;

	buf_init(&out, 1000);
	m.to = slice_text("a@b>\r\nBcc: <c@d");
	assert_int_equal(email_message_render(&m, &out), -EINVAL);
	m.to = m.from;
	m.from = slice_text("");
	assert_int_equal(email_message_render(&m, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

/* ---- what may come from strangers ---- */

static void assert_wire_form(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];

		assert_true((c >= 0x20 && c < 0x7f) || c == '\r' || c == '\n' || c == '\t');
		if (c == '\n')
			assert_true(i > 0 && s.data[i - 1] == '\r');
		if (c == '\r')
			assert_true(i + 1 < s.len && s.data[i + 1] == '\n');
		line = c == '\n' ? 0 : line + 1;
		assert_true(line <= 79);
	}
}

/* The names of all header fields, parts' too, and the boundaries: what a stranger must not be able to change. */
static void outline(struct slice message, struct buf *out)
{
	bool is_head = true;

	buf_init(out, 1 << 16);
	for (size_t i = 0, len; i < message.len; i += len) {
		const char *line = (const char *)message.data + i;
		const char *end = memchr(line, '\n', message.len - i);

		len = (size_t)(end - line) + 1;
		if (len == 2)
			is_head = false;
		if (memcmp(line, "--=_", 4) == 0) {
			is_head = true;
			buf_append(out, line, len);
		} else if (is_head && *line != ' ' && len > 2) {
			buf_printf(out, "%.*s\n", (int)((const char *)memchr(line, ':', len) - line), line);
		}
	}
}

static void assert_same_outline(const struct email_message *m, struct slice wanted)
{
	struct buf out = render(m), found;

	assert_wire_form(buf_slice(&out));
	outline(buf_slice(&out), &found);
	assert_true(slice_is_equal(buf_slice(&found), wanted));
	buf_done(&found);
	buf_done(&out);
}

static void no_text_makes_a_header_or_a_part(void **state)
{
	static const char *const attacks[] = {"\r\nBcc: x@y", "\nBcc: x@y", "\rBcc: x@y", "\r\n\r\nbody",
		"\n.\n", "\r\n.\r\n", "\r\n--=_mixed-01a20304-0506-7708-890a-0b0c0d0e0f10--\r\n", "\"; x=\"",
		"=?UTF-8?Q?=0ABcc:?=",
		("\xc2\x85"
		 "Bcc: x@y"),
		("\xe2\x80\xa8"
		 "Bcc: x@y"),
		"a,b@c <d@e>", "\\\"", "   ", " ", "\xff\xfe", "%0d%0aBcc: x@y"};
	struct email_message m = sample();
	struct buf out, wanted;

	m.html = slice_text("x");
	m.attachment =
		(struct email_attachment){slice_text("x"), slice_text("text/csv"), slice_text("a.csv")};
	out = render(&m);
	outline(buf_slice(&out), &wanted);
	for (size_t a = 0; a < sizeof attacks / sizeof attacks[0] + 256; a++) {
		char byte[] = {'a', (char)(a & 0xff), 'b'};
		struct slice attack = a < 256 ? slice_of(byte, 3) : slice_text(attacks[a - 256]);
		struct slice *const places[] = {&m.from_name, &m.subject, &m.text, &m.html,
			&m.attachment.bytes, &m.attachment.content_type, &m.attachment.name};

		for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
			struct slice before = *places[i];

			*places[i] = attack;
			assert_same_outline(&m, buf_slice(&wanted));
			*places[i] = before;
		}
	}
	buf_done(&wanted);
	buf_done(&out);
}

static struct email_message rich(void)
{
	struct email_message m = sample();

	m.from_name = slice_text("M\xc3\xbcller & Co, Ltd.");
	m.subject = slice_text(
		"gr\xc3\xbc\xc3\x9f dich, this is a rather long subject with \xe4\xbd\xa0\xe5\xa5\xbd in it");
	m.text = slice_text("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd");
	m.html = slice_text("<p>1 &lt; 2</p>");
	m.attachment =
		(struct email_attachment){slice_text("0123456789"), slice_text("x/y"), slice_text("f")};
	return m;
}

static int encode_rich(struct buf *out)
{
	struct email_message m = rich();

	return email_message_render(&m, out);
}

static void every_bound_is_kept(void **state)
{
	sweep_bounds(encode_rich);
}

static void a_subject_has_a_bound_that_cuts_no_character(void **state)
{
	struct email_message m = sample();
	char subject[EMAIL_SUBJECT_MAX * 3];

	for (size_t i = 0; i + 2 < sizeof subject; i += 3)
		memcpy(subject + i, "\xe4\xbd\xa0", 3);
	for (size_t from = 0; from < 3; from++) {
		struct buf out;

		m.subject = slice_of(subject + from * 3, EMAIL_SUBJECT_MAX + 1 + from);
		out = render(&m);
		assert_wire_form(buf_slice(&out));
		assert_null(strstr(buf_text(&out), "77+9")); /* U+FFFD */
		buf_done(&out);
	}
}

/* ---- encodings ---- */

static void expect_header(const char *text, const char *wanted)
{
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(email_encode_header(&out, slice_text(text)), 0);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void header_text_stands_as_it_is_where_that_is_safe(void **state)
{
	expect_header("", "");
	expect_header("a b", "a b");
	expect_header("the quick brown fox jumps over the lazy dog and runs away from it again",
		"the quick brown fox jumps over the lazy dog and runs\r\n away from it again");
	expect_header("gr\xc3\xbc\xc3\x9f", "=?UTF-8?B?Z3LDvMOf?=");
	expect_header(" a", "=?UTF-8?B?IGE=?=");
	expect_header("a ", "=?UTF-8?B?YSA=?=");
	expect_header("a  b", "=?UTF-8?B?YSAgYg==?=");
	expect_header("=?x", "=?UTF-8?B?PT94?=");
	expect_header("a\nb", "=?UTF-8?B?YSBi?=");
	expect_header("a\xff", "=?UTF-8?B?Ye+/vQ==?=");
}

static void expect_quoted(const char *text, const char *wanted)
{
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(email_encode_quoted(&out, slice_text(text)), 0);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void quoted_printable_keeps_lines_and_blanks(void **state)
{
	expect_quoted("", "");
	expect_quoted("a", "a\r\n");
	expect_quoted("a\rb\nc\r\nd", "a\r\nb\r\nc\r\nd\r\n");
	expect_quoted("\r\n\n\r", "\r\n\r\n\r\n");
	expect_quoted("a \nb\t\r\n c ", "a=20\r\nb=09\r\n c=20\r\n");
	expect_quoted("1=2 \xc3\xbc", "1=3D2 =C3=BC\r\n");
	expect_quoted("0123456789012345678901234567890123456789012345678901234567890123456789012345",
		"012345678901234567890123456789012345678901234567890123456789012345678901234=\r\n5\r\n");
}

/* As RFC 2045 says, written for this test: what a reader makes of it. */
static void decode_quoted(struct slice text, struct buf *out)
{
	buf_init(out, 1 << 16);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] != '=') {
			buf_append_byte(out, text.data[i]);
		} else if (text.data[i + 1] == '\r') {
			i += 2;
		} else {
			char hex[] = {(char)text.data[i + 1], (char)text.data[i + 2], '\0'};

			buf_append_byte(out, (uint8_t)strtoul(hex, NULL, 16));
			i += 2;
		}
	}
}

static void every_length_and_byte_survives_quoted_printable(void **state)
{
	uint8_t text[300];

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 7 % 256 == '\r' || i * 7 % 256 == '\n' ? ' ' : i * 7 % 256);
	for (size_t len = 1; len < sizeof text; len++) {
		struct buf encoded, decoded;

		buf_init(&encoded, 10000);
		assert_int_equal(email_encode_quoted(&encoded, slice_of(text, len)), 0);
		assert_wire_form(buf_slice(&encoded));
		decode_quoted(buf_slice(&encoded), &decoded);
		assert_int_equal(decoded.len, len + 2);
		assert_memory_equal(decoded.data, text, len);
		buf_done(&decoded);
		buf_done(&encoded);
	}
}

static void base64_has_lines_of_76(void **state)
{
	static const size_t lens[] = {0, 1, 2, 3, 56, 57, 58, 114, 115};
	static const size_t wanted[] = {0, 6, 6, 6, 78, 78, 84, 156, 162};
	uint8_t bytes[200] = {0};

	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(email_encode_base64(&out, slice_of(bytes, lens[i])), 0);
		assert_int_equal(out.len, wanted[i]);
		assert_wire_form(buf_slice(&out));
		buf_done(&out);
	}
}

static void lines_in_base64_end_in_crlf(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(email_encode_base64_text(&out, slice_text("a\nb\rc\r\n\xc3\xbc")), 0);
	assert_string_equal(buf_text(&out), "YQ0KYg0KYw0Kw7w=\r\n");
	buf_done(&out);
}

static void expect_type(const char *content_type, const char *wanted, const char *suffix)
{
	char type[EMAIL_MEDIA_TYPE_MAX + 1];

	email_media_type(slice_text(content_type), type);
	assert_string_equal(type, wanted);
	assert_string_equal(email_file_suffix(type), suffix);
}

static void only_plain_media_types_pass(void **state)
{
	char long_type[200] = "a/";

	memset(long_type + 2, 'b', 150);
	expect_type("image/png", "image/png", "png");
	expect_type("Application/PDF; charset=x\r\nBcc: a@b", "application/pdf", "pdf");
	expect_type("x/y-z.1+json", "x/y-z.1+json", "bin");
	expect_type("", "application/octet-stream", "bin");
	expect_type("text", "application/octet-stream", "bin");
	expect_type("text/", "application/octet-stream", "bin");
	expect_type("/plain", "application/octet-stream", "bin");
	expect_type("a/b/c", "application/octet-stream", "bin");
	expect_type("text/pl\nain", "application/octet-stream", "bin");
	expect_type("message/rfc822", "application/octet-stream", "bin");
	expect_type("Multipart/Mixed; boundary=x", "application/octet-stream", "bin");
	expect_type(long_type, "application/octet-stream", "bin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_alone_is_one_part),
		cmocka_unit_test(html_and_an_attachment_nest),
		cmocka_unit_test(what_is_no_address_makes_no_message),
		cmocka_unit_test(no_text_makes_a_header_or_a_part),
		cmocka_unit_test(every_bound_is_kept),
		cmocka_unit_test(a_subject_has_a_bound_that_cuts_no_character),
		cmocka_unit_test(header_text_stands_as_it_is_where_that_is_safe),
		cmocka_unit_test(quoted_printable_keeps_lines_and_blanks),
		cmocka_unit_test(every_length_and_byte_survives_quoted_printable),
		cmocka_unit_test(base64_has_lines_of_76),
		cmocka_unit_test(lines_in_base64_end_in_crlf),
		cmocka_unit_test(only_plain_media_types_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
