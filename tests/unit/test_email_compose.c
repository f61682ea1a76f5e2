/*
 * From a task to its email; and the 1st, 2nd, … failed allocation on the way.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notifier/email_compose.h"
#include "tests/unit/torture.h"

static char from[] = "M\xc3\xbcller <no-reply@example.com>", nothing[] = "";
static char local[] = "smtp://127.0.0.1:25", localhost[] = "smtp://LOCALHOST", six[] = "smtp://[::1]:25";
static char remote[] = "smtp://mail.example.com", user[] = "user";

static struct email_options options(void)
{
	return (struct email_options){
		.url = local, .from = from, .username = nothing, .password = nothing, .attachment_max = 1000};
}

static struct store_task task(void)
{
	return (struct store_task){
		.presence = STORE_PRESENT,
		.id = {{1}},
		.task = slice_text("report"),
		.state = TASK_SUCCEEDED,
		.attempt = 1,
		.created_at_ms = 1795352500000,
		.finished_at_ms = 1795352500974,
		.metadata = slice_text("{\"title\":\"\xe4\xbd\xa0\xe5\xa5\xbd\"}"),
		.content_type = slice_text("image/png"),
		.result = slice_text("\x89PNG"),
		.result_len = 4,
	};
}

static int compose(const struct email_texts *texts, const struct store_task *t, struct buf *out)
{
	const struct email_options o = options();
	const struct email_wish wish = {*texts, {{2}}, slice_text("ann@example.org"), 1795352501000};

	buf_init(out, 1 << 20);
	return email_compose(&o, &wish, t, out);
}

static void expect_part(const char *text, const struct store_task *t, const char *wanted)
{
	const struct email_texts texts = {"s", text, ""};
	struct buf out;

	assert_int_equal(compose(&texts, t, &out), 0);
	if (!strstr(buf_text(&out), wanted))
		fail_msg("%s\nhas no %s", buf_text(&out), wanted);
	buf_done(&out);
}

static void placeholders_tell_of_the_task_and_the_mail(void **state)
{
	struct store_task t = task();

	expect_part("{task} {status} {to}", &t, "report succeeded ann@example.org\r\n");
	expect_part("see {attachment}", &t, "see report.png\r\n");
	expect_part("at {links.result}", &t, "at /v1/tasks/01000000-0000-0000-0000-000000000000/result\r\n");
}

static void only_small_results_that_are_no_json_go_along(void **state)
{
	const struct email_options o = options();
	struct store_task t = task();

	assert_true(email_attaches(&o, &t));
	t.result_len = 1000;
	assert_true(email_attaches(&o, &t));
	t.result_len = 1001;
	assert_false(email_attaches(&o, &t));
	t.result_len = 0;
	assert_false(email_attaches(&o, &t));
	t = task();
	t.result_is_json = true;
	assert_false(email_attaches(&o, &t));
	t = task();
	t.content_type = (struct slice){0};
	assert_false(email_attaches(&o, &t));
}

static void the_built_in_template_is_there_unless_replaced(void **state)
{
	struct email_options o = options();
	struct email_template own[] = {{.name = user, .subject = local, .text = six, .html = nothing}};
	struct email_texts texts = {0};

	assert_true(email_template_find(&o, "default", &texts));
	assert_non_null(strstr(texts.text, "{task}"));
	assert_false(email_template_find(&o, "user", &texts));
	o.templates = (struct option_list){own, 1};
	assert_true(email_template_find(&o, "user", &texts));
	assert_ptr_equal(texts.subject, local);
	assert_true(email_template_find(&o, "default", &texts));
}

static void starttls_follows_from_the_server_and_the_login(void **state)
{
	static const struct {
		char *url, *username;
		enum email_starttls said, wanted;
	} cases[] = {
		{local, nothing, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_NEVER},
		{localhost, nothing, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_NEVER},
		{six, nothing, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_NEVER},
		{remote, nothing, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_OPTIONAL},
		{local, user, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_REQUIRED},
		{remote, user, EMAIL_STARTTLS_AUTO, EMAIL_STARTTLS_REQUIRED},
		{remote, nothing, EMAIL_STARTTLS_NEVER, EMAIL_STARTTLS_NEVER},
		{local, nothing, EMAIL_STARTTLS_REQUIRED, EMAIL_STARTTLS_REQUIRED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct email_options o = options();

		o.url = cases[i].url;
		o.username = cases[i].username;
		o.starttls = cases[i].said;
		assert_int_equal(email_starttls_policy(&o), cases[i].wanted);
	}
}

static int check(char *url, enum email_starttls starttls)
{
	struct email_options o = options();
	char why[200];

	o.url = url;
	o.username = o.password = user;
	o.starttls = starttls;
	return email_options_check(&o, why, sizeof why);
}

static void no_password_goes_in_clear_to_another_machine(void **state)
{
	static char over_tls[] = "smtps://mail.example.com", near[] = "smtp://127.0.0.1.example.com";

	assert_int_equal(check(remote, EMAIL_STARTTLS_AUTO), 0);
	assert_int_equal(check(remote, EMAIL_STARTTLS_REQUIRED), 0);
	assert_int_equal(check(remote, EMAIL_STARTTLS_OPTIONAL), -EINVAL);
	assert_int_equal(check(remote, EMAIL_STARTTLS_NEVER), -EINVAL);
	assert_int_equal(check(near, EMAIL_STARTTLS_NEVER), -EINVAL);
	assert_int_equal(check(over_tls, EMAIL_STARTTLS_NEVER), 0);
	assert_int_equal(check(local, EMAIL_STARTTLS_NEVER), 0);
}

static int compose_all_parts(struct buf *out)
{
	const struct email_texts texts = {"{metadata.title}", "{task}\n{error.message?}\n{result_info}",
		"<p>{task}</p>\n<p>{error.message?}</p>"};
	struct store_task t = task();

	return compose(&texts, &t, out);
}

static struct buf whole;

static int compose_the_same(void)
{
	struct buf out;
	int rc = compose_all_parts(&out);

	if (rc == 0)
		assert_true(slice_is_equal(buf_slice(&out), buf_slice(&whole)));
	buf_done(&out);
	return rc;
}

static void every_failed_allocation_is_told(void **state)
{
	assert_int_equal(compose_all_parts(&whole), 0);
	assert_true(torture(compose_the_same) >= 10);
	buf_done(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placeholders_tell_of_the_task_and_the_mail),
		cmocka_unit_test(only_small_results_that_are_no_json_go_along),
		cmocka_unit_test(the_built_in_template_is_there_unless_replaced),
		cmocka_unit_test(starttls_follows_from_the_server_and_the_login),
		cmocka_unit_test(no_password_goes_in_clear_to_another_machine),
		cmocka_unit_test(every_failed_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
