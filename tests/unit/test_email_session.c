#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/email_session.h"

/* Lines as they go: "> " to the server, "< " from it. */
static struct email_session play(const char *const *lines, bool wants_auth)
{
	struct email_session s = {.wants_auth = wants_auth};

	for (; *lines; lines++) {
		if (**lines == '>')
			email_session_sent(&s, slice_text(*lines + 2));
		else
			email_session_received(&s, slice_text(*lines + 2));
	}
	return s;
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TO_MAIL \
	"< 220 hello\r\n", "> EHLO me\r\n", "< 250-mail\r\n", "< 250 SIZE 1\r\n", "> MAIL FROM:<a@b>\r\n"
#define TO_RCPT	   TO_MAIL, "< 250 ok\r\n", "> RCPT TO:<c@d>\r\n"
#define TO_CONTENT TO_RCPT, "< 250 ok\r\n", "> DATA\r\n", "< 354 go on\r\n"

static void expect(
	const char *const *lines, CURLcode rc, enum email_verdict verdict, int status, const char *error)
{
	struct email_session s = play(lines, false);
	struct email_outcome o = email_session_outcome(&s, rc, "detail", 2000);

	assert_string_equal(o.error, error);
	assert_int_equal(o.verdict, verdict);
	assert_int_equal(o.status, status);
}

static void what_is_taken_is_delivered(void **state)
{
	expect(LINES(TO_CONTENT, "< 250 2.0.0 queued as 7\r\n"), CURLE_OK, EMAIL_DELIVERED, 250, "");
	expect(LINES(TO_CONTENT, "< 250 queued\r\n", "> QUIT\r\n", "< 221 bye\r\n"), CURLE_OK,
		EMAIL_DELIVERED, 250, "");
}

static void a_no_to_the_mail_is_final(void **state)
{
	expect(LINES(TO_MAIL, "< 552 too big\r\n"), CURLE_SEND_ERROR, EMAIL_DEAD, 552,
		"the server answered 552 to MAIL");
	expect(LINES(TO_RCPT, "< 550 nobody\r\n", "> QUIT\r\n", "< 221 bye\r\n"), CURLE_SEND_ERROR,
		EMAIL_DEAD, 550, "the server answered 550 to RCPT");
	expect(LINES(TO_CONTENT, "< 554 spam\r\n"), CURLE_WEIRD_SERVER_REPLY, EMAIL_DEAD, 554,
		"the server answered 554 to the message");
}

static void a_not_now_is_tried_again(void **state)
{
	expect(LINES(TO_RCPT, "< 450 later\r\n"), CURLE_SEND_ERROR, EMAIL_AGAIN, 450,
		"the server answered 450 to RCPT");
	expect(LINES(TO_CONTENT, "< 421 stopping\r\n"), CURLE_RECV_ERROR, EMAIL_AGAIN, 421,
		"the server answered 421 to the message");
}

static void a_no_to_everybody_is_not_about_the_mail(void **state)
{
	expect(LINES("< 554 go away\r\n"), CURLE_WEIRD_SERVER_REPLY, EMAIL_AGAIN, 554,
		"the server answered 554 to the connection");
	expect(LINES("< 220 hello\r\n", "> EHLO me\r\n", "< 550 no\r\n", "> HELO me\r\n", "< 550 no\r\n"),
		CURLE_REMOTE_ACCESS_DENIED, EMAIL_AGAIN, 550, "the server answered 550 to EHLO");
	expect(LINES(TO_MAIL, "< 530 STARTTLS first\r\n"), CURLE_SEND_ERROR, EMAIL_AGAIN, 530,
		"the server answered 530 to MAIL");
}

static void no_answer_says_what_was_waited_for(void **state)
{
	expect(LINES("< 220 hello\r\n", "> EHLO me\r\n"), CURLE_OPERATION_TIMEDOUT, EMAIL_AGAIN, 0,
		"timed out after 2000 ms, waiting for an answer to EHLO");
	expect(LINES(TO_CONTENT), CURLE_ABORTED_BY_CALLBACK, EMAIL_AGAIN, 0,
		"timed out after 2000 ms, waiting for an answer to the message");
	expect(LINES(NULL), CURLE_COULDNT_CONNECT, EMAIL_AGAIN, 0, "detail");
	expect(LINES(TO_RCPT), CURLE_RECV_ERROR, EMAIL_AGAIN, 0, "the connection broke after RCPT: detail");
}

static enum email_trouble trouble_of(const char *const *lines, CURLcode rc, bool wants_auth)
{
	struct email_session s = play(lines, wants_auth);
	struct email_outcome o = email_session_outcome(&s, rc, "detail", 2000);

	assert_int_equal(o.verdict, EMAIL_AGAIN);
	assert_true(o.error[0] != '\0');
	return o.trouble;
}

static void trouble_with_the_server_is_told_apart(void **state)
{
	assert_int_equal(trouble_of(LINES("< 220 hello\r\n", "> EHLO me\r\n", "< 250 mail\r\n",
					    "> AUTH PLAIN\r\n", "< 535 no\r\n"),
				 CURLE_LOGIN_DENIED, true),
		EMAIL_TROUBLE_LOGIN);
	assert_int_equal(trouble_of(LINES("< 220 hello\r\n"), CURLE_LOGIN_DENIED, true), EMAIL_TROUBLE_LOGIN);
	assert_int_equal(trouble_of(LINES("< 220 hello\r\n"), CURLE_USE_SSL_FAILED, true), EMAIL_TROUBLE_TLS);
	assert_int_equal(
		trouble_of(LINES("< 220 hello\r\n", "> STARTTLS\r\n"), CURLE_PEER_FAILED_VERIFICATION, true),
		EMAIL_TROUBLE_TLS);
	assert_int_equal(
		trouble_of(LINES(TO_MAIL, "< 450 later\r\n"), CURLE_SEND_ERROR, true), EMAIL_TROUBLE_NONE);
}

/* A server that offers no AUTH and then refuses to relay says nothing about the mail. */
static void a_no_without_the_wanted_login_is_not_final(void **state)
{
	assert_int_equal(trouble_of(LINES(TO_RCPT, "< 554 relay access denied\r\n"), CURLE_SEND_ERROR, true),
		EMAIL_TROUBLE_LOGIN);
}

static void a_login_holds_for_the_connection(void **state)
{
	const char *const login[] = {
		"> EHLO me\r\n", "< 250 mail\r\n", "> AUTH PLAIN\r\n", "< 235 in\r\n", NULL};
	struct email_session s = play(login, true);

	assert_true(s.has_authenticated);
	email_session_sent(&s, slice_text("MAIL FROM:<a@b>\r\n"));
	assert_true(s.has_authenticated);
	email_session_sent(&s, slice_text("EHLO me\r\n"));
	assert_false(s.has_authenticated);
}

static void the_last_reply_is_kept_within_its_bound(void **state)
{
	struct email_session s =
		play(LINES(TO_RCPT, "< 550-first\r\n", "< 550-second\n", "< 550 third"), false);

	assert_true(slice_is_text(slice_of(s.reply, s.reply_len), "550-first\n550-second\n550 third"));
	for (size_t i = 0; i < 10000; i++)
		email_session_received(&s, slice_text("250-and another line\r\n"));
	assert_int_equal(s.reply_len, EMAIL_REPLY_MAX);
	assert_int_equal(s.code, 550);
	email_session_received(&s, slice_text("250 done\r\n"));
	assert_int_equal(s.code, 250);
}

/* Neither what is sent nor what is odd gets into what is kept. */
static void odd_lines_are_survived(void **state)
{
	static const char *const odd[] = {
		"", "\r\n", "2", "25", "250", "25x", "\xff\xff\xff\xff", "   ", "-250"};
	struct email_session s = {0};

	email_session_sent(&s, slice_text("AHBvc3RiYWNrAHNlY3JldA==\r\n"));
	assert_int_equal(s.step, EMAIL_STEP_CONNECT);
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		email_session_received(&s, slice_text(odd[i]));
		email_session_sent(&s, slice_text(odd[i]));
	}
	assert_int_equal(s.code, 250);
	assert_null(memmem(s.reply, s.reply_len, "AHBv", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_delivered),
		cmocka_unit_test(a_no_to_the_mail_is_final),
		cmocka_unit_test(a_not_now_is_tried_again),
		cmocka_unit_test(a_no_to_everybody_is_not_about_the_mail),
		cmocka_unit_test(no_answer_says_what_was_waited_for),
		cmocka_unit_test(trouble_with_the_server_is_told_apart),
		cmocka_unit_test(a_no_without_the_wanted_login_is_not_final),
		cmocka_unit_test(a_login_holds_for_the_connection),
		cmocka_unit_test(the_last_reply_is_kept_within_its_bound),
		cmocka_unit_test(odd_lines_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
