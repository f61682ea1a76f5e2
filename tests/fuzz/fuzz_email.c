#include "notifier/email_message.h"
#include "notifier/email_session.h"
#include "runtime/email_address.h"
#include "tests/fuzz/fuzz.h"

static void is_on_the_wire(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];

		fuzz_require((c >= 0x20 && c < 0x7f) || c == '\t' || c == '\r' || c == '\n');
		fuzz_require(c != '\n' || s.data[i - 1] == '\r');
		fuzz_require(c != '\r' || s.data[i + 1] == '\n');
		line = c == '\n' ? 0 : line + 1;
		fuzz_require(line <= EMAIL_FILE_NAME_MAX + 20);
	}
}

/* Fields of the head, and lines that begin as a boundary does. */
static void count(struct slice s, size_t *fields, size_t *boundaries)
{
	bool is_head = true;

	*fields = *boundaries = 0;
	for (size_t i = 0; i < s.len;) {
		const uint8_t *line = s.data + i;
		size_t len = (size_t)((const uint8_t *)memchr(line, '\n', s.len - i) - line) + 1;

		if (len == 2)
			is_head = false;
		*fields += is_head && *line != ' ';
		*boundaries += len > 4 && memcmp(line, "--=_", 4) == 0;
		i += len;
	}
}

/* Whatever is said, a mail has its nine fields and the six boundaries of its parts. */
static void check_message(struct slice s)
{
	struct email_message m = {
		.from_name = s,
		.from = slice_text("a@b"),
		.to = slice_text("c@d"),
		.subject = s,
		.text = s,
		.html = s.len ? s : slice_text("x"),
		.attachment = {s, s, s},
	};
	size_t fields, boundaries;
	struct buf out;

	buf_init(&out, 1 << 22);
	fuzz_require(email_message_render(&m, &out) == 0);
	is_on_the_wire(buf_slice(&out));
	count(buf_slice(&out), &fields, &boundaries);
	fuzz_require(fields == 9 && boundaries == 6);
	buf_done(&out);
}

static void check_address(struct slice s)
{
	struct slice name, address;
	const char *why;

	if (email_address_check(s, &why) == 0) {
		fuzz_require(s.len <= EMAIL_ADDRESS_MAX && email_address_domain(s).len > 0);
		for (size_t i = 0; i < s.len; i++)
			fuzz_require(
				s.data[i] > 0x20 && s.data[i] < 0x7f && !strchr("<>()[]\\,;:\"", s.data[i]));
	}
	if (email_mailbox_parse(s, &name, &address, &why) == 0)
		fuzz_require(email_address_check(address, &why) == 0 && name.len < s.len + 1);
}

/* Lines by turns from the server and to it. */
static void check_session(struct slice s)
{
	struct email_session session = {.wants_auth = s.len % 2};
	struct email_outcome outcome;
	bool is_sent = false;

	for (size_t i = 0; i < s.len;) {
		const uint8_t *end = memchr(s.data + i, '\n', s.len - i);
		size_t len = end ? (size_t)(end - s.data) - i + 1 : s.len - i;

		(is_sent ? email_session_sent : email_session_received)(&session, slice_of(s.data + i, len));
		fuzz_require(
			session.reply_len <= EMAIL_REPLY_MAX && session.code >= 0 && session.code < 1000);
		is_sent = !is_sent;
		i += len;
	}
	for (int rc = 0; rc < CURL_LAST; rc++) {
		outcome = email_session_outcome(&session, (CURLcode)rc, "", 1000);
		fuzz_require((outcome.verdict == EMAIL_DELIVERED) == (rc == CURLE_OK));
		fuzz_require((outcome.error[0] == '\0') == (rc == CURLE_OK));
		fuzz_require(outcome.verdict != EMAIL_DEAD || outcome.status >= 500);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct slice s = slice_of(data ? data : (const uint8_t *)"", len);

	if (len > 4096)
		return 0;
	check_address(s);
	check_message(s);
	check_session(s);
	return 0;
}
