#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "runtime/address.h"

static const struct {
	const char *address;
	bool is_public;
} table[] = {
	/* the first and the last of each range, and its neighbours */
	{"0.0.0.0", false},
	{"0.255.255.255", false},
	{"1.0.0.0", true},
	{"8.8.8.8", true},
	{"9.255.255.255", true},
	{"10.0.0.0", false},
	{"10.255.255.255", false},
	{"11.0.0.0", true},
	{"100.63.255.255", true},
	{"100.64.0.0", false},
	{"100.100.100.200", false},
	{"100.127.255.255", false},
	{"100.128.0.0", true},
	{"126.255.255.255", true},
	{"127.0.0.0", false},
	{"127.0.0.1", false},
	{"127.255.255.255", false},
	{"128.0.0.0", true},
	{"168.63.129.15", true},
	{"168.63.129.16", false},
	{"168.63.129.17", true},
	{"169.253.255.255", true},
	{"169.254.0.0", false},
	{"169.254.169.254", false},
	{"169.254.255.255", false},
	{"169.255.0.0", true},
	{"172.15.255.255", true},
	{"172.16.0.0", false},
	{"172.31.255.255", false},
	{"172.32.0.0", true},
	{"192.0.0.0", false},
	{"192.0.0.192", false},
	{"192.0.0.255", false},
	{"192.0.1.255", true},
	{"192.0.2.0", false},
	{"192.0.2.255", false},
	{"192.0.3.0", true},
	{"192.88.98.255", true},
	{"192.88.99.1", false},
	{"192.88.100.0", true},
	{"192.167.255.255", true},
	{"192.168.0.0", false},
	{"192.168.255.255", false},
	{"192.169.0.0", true},
	{"198.17.255.255", true},
	{"198.18.0.0", false},
	{"198.19.255.255", false},
	{"198.20.0.0", true},
	{"198.51.99.255", true},
	{"198.51.100.0", false},
	{"198.51.100.255", false},
	{"198.51.101.0", true},
	{"203.0.112.255", true},
	{"203.0.113.0", false},
	{"203.0.113.255", false},
	{"203.0.114.0", true},
	{"223.255.255.255", true},
	{"224.0.0.0", false},
	{"239.255.255.255", false},
	{"240.0.0.0", false},
	{"255.255.255.255", false},
	{"::", false},
	{"::1", false},
	{"::2", false},
	{"::8.8.8.8", false},
	{"::127.0.0.1", false},
	{"::ffff:8.8.8.8", true},
	{"::ffff:0.0.0.0", false},
	{"::ffff:10.1.2.3", false},
	{"::ffff:100.64.0.1", false},
	{"::ffff:127.0.0.1", false},
	{"::ffff:169.254.169.254", false},
	{"::ffff:172.16.0.1", false},
	{"::ffff:192.168.0.1", false},
	{"::ffff:255.255.255.255", false},
	{"::fffe:8.8.8.8", false},
	{"::ffff:0:8.8.8.8", false},
	{"64:ff9b::8.8.8.8", true},
	{"64:ff9b::127.0.0.1", false},
	{"64:ff9b::10.0.0.1", false},
	{"64:ff9b::169.254.169.254", false},
	{"64:ff9b::224.0.0.1", false},
	{"64:ff9b:0:0:0:1:808:808", false},
	{"64:ff9b:1::8.8.8.8", false},
	{"64:ff9b:1::127.0.0.1", false},
	{"100::", false},
	{"100::1", false},
	{"1fff:ffff::", false},
	{"2000::", true},
	{"2001::", false},
	{"2001:0:4136:e378:8000:63bf:3fff:fdd2", false},
	{"2001:2::1", false},
	{"2001:10::1", false},
	{"2001:1ff:ffff::", false},
	{"2001:200::", true},
	{"2001:4860:4860::8888", true},
	{"2001:db7:ffff::", true},
	{"2001:db8::", false},
	{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"2001:db9::", true},
	{"2002::", false},
	{"2002:7f00:1::1", false},
	{"2002:808:808::1", false},
	{"2003::", true},
	{"2606:4700:4700::1111", true},
	{"3ffe::1", true},
	{"3fff::", false},
	{"3fff:fff:ffff::", false},
	{"3fff:1000::", true},
	{"4000::", false},
	{"5f00::1", false},
	{"fbff::", false},
	{"fc00::", false},
	{"fc00::1", false},
	{"fd00:ec2::254", false},
	{"fdff::", false},
	{"fe00::", false},
	{"fe80::1", false},
	{"febf::", false},
	{"fec0::1", false},
	{"feff::", false},
	{"ff00::", false},
	{"ff02::1", false},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
};

union any {
	struct sockaddr base;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_un local;
};

static union any address_of(const char *text)
{
	union any a = {0};

	if (inet_pton(AF_INET, text, &a.four.sin_addr) == 1)
		a.base.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.six.sin6_addr) == 1)
		a.base.sa_family = AF_INET6;
	else
		fail_msg("%s is no address", text);
	return a;
}

static void only_public_addresses_are_public(void **state)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		union any a = address_of(table[i].address);

		if (address_is_public(&a.base) != table[i].is_public)
			fail_msg("%s: public should be %d", table[i].address, table[i].is_public);
		assert_int_equal(address_may_be_called(&a.base, NULL, 0), table[i].is_public);
	}
}

static void another_family_is_never_public(void **state)
{
	union any a = {.local = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"}};
	const struct address_range all = {.family = AF_UNIX};

	assert_false(address_is_public(&a.base));
	assert_false(address_may_be_called(&a.base, &all, 1));
}

static bool may(const char *address, const char *allow)
{
	union any a = address_of(address);
	struct address_range range;

	assert_int_equal(address_range_parse(allow, &range), 0);
	return address_may_be_called(&a.base, &range, 1);
}

static void what_is_allowed_may_be_called(void **state)
{
	assert_true(may("127.0.0.1", "127.0.0.0/8"));
	assert_true(may("127.255.255.255", "127.0.0.0/8"));
	assert_false(may("10.0.0.1", "127.0.0.0/8"));
	assert_true(may("10.1.2.3", "10.1.2.3"));
	assert_false(may("10.1.2.4", "10.1.2.3"));
	assert_true(may("10.1.2.4", "10.1.2.4/31"));
	assert_false(may("10.1.2.6", "10.1.2.4/31"));
	assert_true(may("169.254.169.254", "0.0.0.0/0"));
	assert_true(may("8.8.8.8", "10.0.0.0/8"));
	assert_true(may("::1", "::1"));
	assert_false(may("::2", "::1"));
	assert_true(may("fd00:1::5", "fd00::/8"));
	assert_true(may("fe80::1", "::/0"));
	assert_false(may("10.0.0.1", "::/0"));
	assert_false(may("fd00::1", "0.0.0.0/0"));
}

static void an_address_within_another_is_allowed_by_either(void **state)
{
	assert_true(may("::ffff:127.0.0.1", "127.0.0.0/8"));
	assert_true(may("::ffff:127.0.0.1", "::ffff:0:0/96"));
	assert_true(may("64:ff9b::10.0.0.1", "10.0.0.0/8"));
	assert_true(may("64:ff9b::10.0.0.1", "64:ff9b::/96"));
	assert_false(may("2002:a00:1::1", "10.0.0.0/8"));
	assert_true(may("2002:a00:1::1", "2002::/16"));
}

static void what_is_no_range_is_refused(void **state)
{
	static const char *const wrong[] = {"", "/", "/8", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33",
		"10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/ 8", "10.0.0.0/0008", "10.0.0.1/8", "::/129",
		"::1/127", "fd00::/8/8", "localhost", "example.com/8", "10.0.0.0 /8", "[::1]", "0x7f.0.0.1",
		"127.1",
		"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"};
	struct address_range r;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (address_range_parse(wrong[i], &r) != -EINVAL)
			fail_msg("\"%s\" was taken for a range", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_public_addresses_are_public),
		cmocka_unit_test(another_family_is_never_public),
		cmocka_unit_test(what_is_allowed_may_be_called),
		cmocka_unit_test(an_address_within_another_is_allowed_by_either),
		cmocka_unit_test(what_is_no_range_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
