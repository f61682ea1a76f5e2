#include "processor/upstream.h"
#include "processor/url_fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void statuses_mean_what_the_table_says(void **state)
{
	for (int status = 100; status < 600; status++) {
		enum outcome_kind want = OUTCOME_FAILED;

		if (status / 100 == 2)
			want = OUTCOME_SUCCEEDED;
		if (status == 408 || status == 425 || status == 429 || status >= 500)
			want = OUTCOME_RETRY;
		assert_int_equal(upstream_outcome(status), want);
		assert_int_equal(upstream_is_redirect(status), status == 307 || status == 308);
	}
}

static void check_redirect(const char *location, int rc, const char *want)
{
	char *url = NULL;

	assert_int_equal(upstream_redirect("http://host:8000/a/b?c=d", slice_text(location), &url), rc);
	if (want)
		assert_string_equal(url, want);
	free(url);
}

static void redirects_stay_within_the_origin(void **state)
{
	check_redirect("/x?y=z", 0, "http://host:8000/x?y=z");
	check_redirect("x", 0, "http://host:8000/a/x");
	check_redirect("http://HOST:8000/x#part", 0, "http://HOST:8000/x");
	check_redirect("//host:8000/x", 0, "http://host:8000/x");
	check_redirect("https://host:8000/x", -EXDEV, NULL);
	check_redirect("http://host/x", -EXDEV, NULL);
	check_redirect("http://other:8000/x", -EXDEV, NULL);
	check_redirect("//other:8000/x", -EXDEV, NULL);
	check_redirect("", -EINVAL, NULL);
	check_redirect("http://", -EINVAL, NULL);
}

static void check_template(const char *template, int rc)
{
	const char *why;

	assert_int_equal(url_template_check(template, &why), rc);
}

static void templates_are_checked(void **state)
{
	check_template("http://x", 0);
	check_template("https://x/{a}/{b}?c={d}", 0);
	check_template("http://x?{a}", 0);
	check_template("ftp://x/", -EINVAL);
	check_template("x/y", -EINVAL);
	check_template("http://{h}/", -EINVAL);
	check_template("http://x:{p}/", -EINVAL);
	check_template("http://x/{", -EINVAL);
	check_template("http://x/}", -EINVAL);
	check_template("http://x/{}", -EINVAL);
	check_template("http://x/{a{b}}", -EINVAL);
	check_template("http://x/{a}}", -EINVAL);
}

static void check_fill(const char *template, const char *payload, const char *want)
{
	char why[200] = "";
	struct buf out;
	int rc;

	buf_init(&out, 8192);
	rc = url_fill(template, slice_text(payload), &out, why, sizeof why);
	assert_int_equal(rc, want ? 0 : -EINVAL);
	if (want)
		assert_string_equal(buf_text(&out), want);
	else
		assert_true(strlen(why) > 0);
	buf_done(&out);
}

static void values_cannot_leave_their_place(void **state)
{
	check_fill("http://x/plain", "no json", "http://x/plain");
	check_fill("http://x/{a}", "{\"a\":\"b\"}", "http://x/b");
	check_fill("http://x/{a}/{a}?q={b}", "{\"a\":1.10,\"b\":true}", "http://x/1.10/1.10?q=true");
	check_fill("http://x/{a}", "{\"a\":\"../../etc?x#y&z=%2f\"}",
		"http://x/..%2F..%2Fetc%3Fx%23y%26z%3D%252f");
	check_fill("http://x/{a}", "{\"a\":\"\\r\\nHost: evil\"}", "http://x/%0D%0AHost%3A%20evil");
	check_fill("http://x/{a}", "{\"a\":\"\\u00fc\"}", "http://x/%C3%BC");
	check_fill("http://x/{a}", "{\"\\u0061\":\"z\"}", "http://x/z");
	check_fill("http://x/{a}", "{\"a\":\"..\"}", NULL);
	check_fill("http://x/{a}", "{\"a\":\".\"}", NULL);
	check_fill("http://x/{a}", "{\"a\":\"\"}", NULL);
	check_fill("http://x/{a}", "{\"a\":null}", NULL);
	check_fill("http://x/{a}", "{\"a\":[1]}", NULL);
	check_fill("http://x/{a}", "{\"b\":1}", NULL);
	check_fill("http://x/{a}", "[1]", NULL);
	check_fill("http://x/{a}", "", NULL);
	check_fill("http://x/{a}", "{\"a\":", NULL);
}

static void a_url_that_grows_too_long_is_told(void **state)
{
	char why[200] = "";
	struct buf out;

	buf_init(&out, 12);
	assert_int_equal(
		url_fill("http://x/{a}", slice_text("{\"a\":\"123456\"}"), &out, why, sizeof why), -EMSGSIZE);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_mean_what_the_table_says),
		cmocka_unit_test(redirects_stay_within_the_origin),
		cmocka_unit_test(templates_are_checked),
		cmocka_unit_test(values_cannot_leave_their_place),
		cmocka_unit_test(a_url_that_grows_too_long_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
