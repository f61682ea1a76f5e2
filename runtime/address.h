/*
 * Network addresses: ranges of them, and which of them a stranger may make us call. Pure.
 */
#ifndef RUNTIME_ADDRESS_H
#define RUNTIME_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "10.0.0.0/8", "fd00::/8", or a single address. */
struct address_range {
	int family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
	unsigned bits;
};

/* 0, or -EINVAL: no such range, or bits set behind the prefix. */
int address_range_parse(const char *text, struct address_range *out);

/*
 * True for what is reachable on the public internet as far as anybody can tell by the address: not private, loopback,
 * link-local (clouds' metadata among it), shared (100.64.0.0/10), multicast, unspecified, broadcast, reserved, for
 * documentation or benchmarks; of IPv6 only global unicast. Forms that hold an IPv4 address are judged by it
 * (::ffff:0:0/96, and NAT64's 64:ff9b::/96); tunnels (6to4, Teredo) and the deprecated ::/96 are not public.
 */
bool address_is_public(const struct sockaddr *addr);

/* True when it is public, or within one of the ranges, as it stands or by the IPv4 address that it holds. */
bool address_may_be_called(const struct sockaddr *addr, const struct address_range *allow, size_t len);

#endif
