#include "gateway/cors.h"

#include <strings.h>

#include "runtime/listener.h"

bool cors_is_on(const struct gateway_cors *options)
{
	return options->origins.len > 0;
}

bool cors_allows(const struct gateway_cors *options, struct slice origin)
{
	for (size_t i = 0; i < options->origins.len; i++) {
		const char *allowed = options->origins.items[i];

		if (strcmp(allowed, "*") == 0 ||
			(strlen(allowed) == origin.len &&
				strncasecmp(allowed, (const char *)origin.data, origin.len) == 0))
			return true;
	}
	return false;
}

/* What follows "http://" or "https://"; unset: something else. */
static struct slice authority_of(struct slice origin)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		size_t len = strlen(schemes[i]);

		if (origin.len > len && strncasecmp((const char *)origin.data, schemes[i], len) == 0)
			return slice_of(origin.data + len, origin.len - len);
	}
	return (struct slice){0};
}

bool cors_origin_is_valid(const char *text)
{
	struct slice authority = authority_of(slice_text(text));

	if (strcmp(text, "*") == 0)
		return true;
	for (size_t i = 0; i < authority.len; i++)
		if (authority.data[i] <= 0x20 || authority.data[i] >= 0x7f ||
			strchr("/?#@\\", authority.data[i]))
			return false;
	return authority.len > 0;
}

/* Without the port and without the brackets of an IPv6 address. */
static size_t host_name_len(struct slice host, size_t *start)
{
	const uint8_t *end;

	*start = host.len > 0 && host.data[0] == '[';
	end = host.len > 0 ? memchr(host.data, *start ? ']' : ':', host.len) : NULL;
	return (end ? (size_t)(end - host.data) : host.len) - *start;
}

bool host_is_loopback(struct slice host)
{
	char name[LISTEN_HOST_MAX];
	size_t start;
	size_t len = host_name_len(host, &start);

	if (len == 0 || len >= sizeof name)
		return false;
	memcpy(name, host.data + start, len);
	name[len] = '\0';
	if (name[len - 1] == '.' && len > 1)
		name[len - 1] = '\0';
	return listen_is_loopback(name);
}

bool origin_is_loopback(struct slice origin)
{
	struct slice authority = authority_of(origin);

	return slice_is_set(authority) && host_is_loopback(authority);
}

bool origin_is_host(struct slice origin, struct slice host)
{
	struct slice authority = authority_of(origin);

	return authority.len > 0 && authority.len == host.len &&
	       strncasecmp((const char *)authority.data, (const char *)host.data, host.len) == 0;
}
