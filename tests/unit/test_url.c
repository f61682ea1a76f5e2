#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/url.h"

static void good_urls_pass(void **state)
{
	static const char *const good[] = {"http://example.com", "https://example.com/",
		"HTTP://EXAMPLE.COM/x?y=1#z", "https://example.com:8443/hook?token=a%40b",
		"http://127.0.0.1/", "http://[::1]:80/", "http://2130706433/",
		"https://xn--bcher-kva.example/", "http://a/@b", "https://example.com/a:b@c",
		"http://example.com./", "http://a_b.example/", "http://%65xample.com/",
		("http://012345678901234567890123456789012345678901234567890123456789012"
		 ".example/")};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		const char *why = NULL;

		if (url_check(slice_text(good[i]), &why) != 0)
			fail_msg("%s: %s", good[i], why);
	}
}

static void others_are_refused_with_a_reason(void **state)
{
	static const char *const wrong[] = {"", " ", "example.com", "//example.com/", "/hook",
		"ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)",
		"https:/a.example", "https:a.example", "http:///a.example", "http://", "http://:80/",
		"http://user@example.com/", "http://user:secret@example.com/", "http://:secret@example.com/",
		"http://exam ple.com/", "http://example.com/\r\nX: y", "http://example.com/\t",
		("http://b\xc3\xbc"
		 "cher.example/"),
		"http://example.com:99999/", "http://example.com:http/", "http://[::1/",
		"http://b%C3%BCcher.example/", "http://a..b/", "http://.a/", "http://./", "http://a../",
		"http://example.com:0/", "http://example.com:000/",
		("http://0123456789012345678901234567890123456789012345678901234567890123"
		 ".example/"),
		"http://0123456789012345678901234567890123456789012345678901234567890123/"};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const char *why = NULL;

		if (url_check(slice_text(wrong[i]), &why) != -EINVAL || !why)
			fail_msg("\"%s\" was taken for a URL to call", wrong[i]);
	}
}

static void a_url_has_a_bound_and_no_nul(void **state)
{
	char text[URL_MAX + 2];
	const char *why;

	memset(text, 'a', sizeof text);
	memcpy(text, "http://host/", 12);
	assert_int_equal(url_check(slice_of(text, URL_MAX), &why), 0);
	assert_int_equal(url_check(slice_of(text, URL_MAX + 1), &why), -EINVAL);
	text[20] = '\0';
	assert_int_equal(url_check(slice_of(text, 40), &why), -EINVAL);
}

static void expect_origin(const char *url, const char *wanted)
{
	const char *why;
	struct buf out;

	buf_init(&out, 1000);
	assert_int_equal(url_check_origin(slice_text(url), &out, &why), 0);
	assert_null(why);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void the_origin_is_the_same_however_it_is_written(void **state)
{
	const char *why;
	struct buf out;

	expect_origin("https://Example.COM/a?b", "https://example.com:443");
	expect_origin("https://example.com:443/", "https://example.com:443");
	expect_origin("HTTP://example.com", "http://example.com:80");
	expect_origin("http://[::1]:8080/x", "http://[::1]:8080");
	expect_origin("http://0x7f000001/", "http://127.0.0.1:80");
	buf_init(&out, 1000);
	assert_int_equal(url_check_origin(slice_text("nonsense"), &out, &why), -EINVAL);
	assert_non_null(why);
	assert_int_equal(out.len, 0);
	buf_done(&out);
	buf_init(&out, 5);
	assert_int_equal(url_check_origin(slice_text("http://a/"), &out, &why), -EMSGSIZE);
	buf_done(&out);
}

static void a_proxy_has_a_scheme_a_host_and_a_port(void **state)
{
	static const char *const good[] = {"http://proxy.example.com:3128", "http://ann:s%40cret@proxy:3128/",
		"https://10.0.0.1:443", "socks5h://[::1]:1080", "socks4://p:1", "socks5://p:1",
		"socks4a://p:1"};
	static const char *const wrong[] = {"", "nonsense", "nonsense value", "proxy:3128", "http://proxy",
		"http://", "http://:3128", "ftp://proxy:21", "http:/proxy:3128", "http://pro xy:3128",
		"http://proxy:99999", "//proxy:3128", "http:///proxy:3128"};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		if (url_check_proxy(slice_text(good[i])) != 0)
			fail_msg("%s is no proxy", good[i]);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (url_check_proxy(slice_text(wrong[i])) != -EINVAL)
			fail_msg("\"%s\" was taken for a proxy", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_urls_pass),
		cmocka_unit_test(others_are_refused_with_a_reason),
		cmocka_unit_test(a_url_has_a_bound_and_no_nul),
		cmocka_unit_test(the_origin_is_the_same_however_it_is_written),
		cmocka_unit_test(a_proxy_has_a_scheme_a_host_and_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
