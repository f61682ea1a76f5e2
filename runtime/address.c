#include "runtime/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64 };

struct plain {
	int family;
	uint8_t bytes[16];
};

static const struct address_range not_public_4[] = {
	{AF_INET, {0}, 8},		   /* "this network", the unspecified address */
	{AF_INET, {10}, 8},		   /* private */
	{AF_INET, {100, 64}, 10},	   /* shared by carriers; some clouds' metadata */
	{AF_INET, {127}, 8},		   /* loopback */
	{AF_INET, {168, 63, 129, 16}, 32}, /* a cloud's own services at a public address */
	{AF_INET, {169, 254}, 16},	   /* link-local; the clouds' metadata */
	{AF_INET, {172, 16}, 12},	   /* private */
	{AF_INET, {192, 0, 0}, 24},	   /* protocol assignments */
	{AF_INET, {192, 0, 2}, 24},	   /* documentation */
	{AF_INET, {192, 88, 99}, 24},	   /* 6to4 relays */
	{AF_INET, {192, 168}, 16},	   /* private */
	{AF_INET, {198, 18}, 15},	   /* benchmarks */
	{AF_INET, {198, 51, 100}, 24},	   /* documentation */
	{AF_INET, {203, 0, 113}, 24},	   /* documentation */
	{AF_INET, {224}, 4},		   /* multicast */
	{AF_INET, {240}, 4},		   /* reserved, broadcast */
};

static const struct address_range global_6 = {AF_INET6, {0x20}, 3};

static const struct address_range not_public_6[] = {
	{AF_INET6, {0x20, 0x01}, 23},		  /* protocol assignments: Teredo, benchmarks, ORCHID */
	{AF_INET6, {0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{AF_INET6, {0x20, 0x02}, 16},		  /* 6to4 */
	{AF_INET6, {0x3f, 0xff}, 20},		  /* documentation */
};

static const struct address_range holds_4[] = {
	{AF_INET6, {[10] = 0xff, [11] = 0xff}, 96},	    /* IPv4-mapped */
	{AF_INET6, {0x00, 0x64, 0xff, 0x9b, [11] = 0}, 96}, /* NAT64 */
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool is_within(const struct plain *a, const struct address_range *r)
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;

	if (a->family != r->family || memcmp(a->bytes, r->bytes, whole) != 0)
		return false;
	return rest == 0 || (a->bytes[whole] ^ r->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_within_any(const struct plain *a, const struct address_range *ranges, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_within(a, &ranges[i]))
			return true;
	return false;
}

static bool take_plain(const struct sockaddr *addr, struct plain *out)
{
	*out = (struct plain){.family = addr->sa_family};
	if (addr->sa_family == AF_INET) {
		struct sockaddr_in four;

		memcpy(&four, addr, sizeof four);
		memcpy(out->bytes, &four.sin_addr, 4);
		return true;
	}
	if (addr->sa_family == AF_INET6) {
		struct sockaddr_in6 six;

		memcpy(&six, addr, sizeof six);
		memcpy(out->bytes, &six.sin6_addr, 16);
		return true;
	}
	return false;
}

/* The IPv4 address within, or the address itself. */
static struct plain innermost(const struct plain *a)
{
	struct plain four = {.family = AF_INET};

	if (!is_within_any(a, holds_4, COUNT(holds_4)))
		return *a;
	memcpy(four.bytes, a->bytes + 12, 4);
	return four;
}

static bool is_public(const struct plain *a)
{
	if (a->family == AF_INET)
		return !is_within_any(a, not_public_4, COUNT(not_public_4));
	return is_within(a, &global_6) && !is_within_any(a, not_public_6, COUNT(not_public_6));
}

bool address_is_public(const struct sockaddr *addr)
{
	return address_may_be_called(addr, NULL, 0);
}

bool address_may_be_called(const struct sockaddr *addr, const struct address_range *allow, size_t len)
{
	struct plain whole, inner;

	if (!take_plain(addr, &whole))
		return false;
	inner = innermost(&whole);
	return is_public(&inner) || is_within_any(&whole, allow, len) || is_within_any(&inner, allow, len);
}

/* ---- ranges ---- */

static bool has_bits_behind(const struct address_range *r, unsigned width)
{
	for (unsigned bit = r->bits; bit < width; bit++)
		if (r->bytes[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

static int parse_bits(const char *text, unsigned width, unsigned *out)
{
	unsigned bits = 0;

	if (!*text || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		bits = bits * 10 + (unsigned)(*text - '0');
	}
	*out = bits;
	return bits > width ? -EINVAL : 0;
}

int address_range_parse(const char *text, struct address_range *out)
{
	struct address_range r = {0};
	char address[TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned width;

	if (len >= sizeof address)
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	r.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	width = r.family == AF_INET6 ? 128 : 32;
	r.bits = width;
	if (inet_pton(r.family, address, r.bytes) != 1 ||
		(slash && parse_bits(slash + 1, width, &r.bits) < 0))
		return -EINVAL;
	if (has_bits_behind(&r, width))
		return -EINVAL;
	*out = r;
	return 0;
}
