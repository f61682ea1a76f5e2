#include "runtime/url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>

enum { HOST_MAX = 255, LABEL_MAX = 63 };

/* Parsed as the HTTP client will parse it. NULL when it is no URL or memory ran out. */
static CURLU *parse(struct slice url, unsigned flags)
{
	char text[URL_MAX + 1];
	CURLU *u;

	if (url.len == 0 || url.len > URL_MAX || memchr(url.data, '\0', url.len))
		return NULL;
	memcpy(text, url.data, url.len);
	text[url.len] = '\0';
	u = curl_url();
	if (u && curl_url_set(u, CURLUPART_URL, text, flags) == CURLUE_OK)
		return u;
	curl_url_cleanup(u);
	return NULL;
}

/* What is asked of a URL, each part fetched once; NULL: it has none. */
struct parts {
	char *scheme, *host, *port, *user, *password;
};

static char *part(CURLU *u, CURLUPart which, unsigned flags)
{
	char *value = NULL;

	return curl_url_get(u, which, &value, flags) == CURLUE_OK ? value : NULL;
}

static struct parts parts_of(CURLU *u)
{
	return (struct parts){
		.scheme = part(u, CURLUPART_SCHEME, 0),
		.host = part(u, CURLUPART_HOST, 0),
		.port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT),
		.user = part(u, CURLUPART_USER, 0),
		.password = part(u, CURLUPART_PASSWORD, 0),
	};
}

static void parts_done(struct parts *p)
{
	curl_free(p->scheme);
	curl_free(p->host);
	curl_free(p->port);
	curl_free(p->user);
	curl_free(p->password);
}

static bool is_printable(struct slice url)
{
	for (size_t i = 0; i < url.len; i++)
		if (url.data[i] <= 0x20 || url.data[i] >= 0x7f)
			return false;
	return true;
}

static bool is_good_scheme(const char *scheme)
{
	return scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
}

/* libcurl forgives "https:/a" and "https:a"; what a person left out there was hardly meant. */
static bool has_slashes(struct slice url)
{
	const uint8_t *colon = memchr(url.data, ':', url.len);

	return colon && url.len - (size_t)(colon - url.data) > 3 && memcmp(colon, "://", 3) == 0 &&
	       colon[3] != '/';
}

/* Such as a look-up may find: libcurl has decoded it, and read an address in brackets. One dot may end it. */
static bool is_good_host(const char *host)
{
	size_t label = 0;

	if (*host == '[')
		return true;
	for (const char *c = host; *c; c++) {
		if ((unsigned char)*c >= 0x80 || (*c == '.' && label == 0) || label > LABEL_MAX)
			return false;
		label = *c == '.' ? 0 : label + 1;
	}
	return label <= LABEL_MAX;
}

static const char *complaint(struct slice url, const struct parts *p)
{
	if (!is_good_scheme(p->scheme) || !has_slashes(url))
		return "must be an absolute http or https URL";
	if (!p->host || !*p->host || strlen(p->host) > HOST_MAX)
		return "has no host, or one of more than 255 bytes";
	if (!is_good_host(p->host))
		return "has a host that cannot be: of ASCII, foreign letters in their xn-- form, in parts of 1 to 63 bytes";
	if (p->port && strcmp(p->port, "0") == 0)
		return "has the port 0";
	if (p->user || p->password)
		return "must not hold a user or a password";
	return NULL;
}

static int append_origin(const struct parts *p, struct buf *out)
{
	if (!p->port)
		return -ENOMEM;
	for (char *c = p->host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	buf_append_text(out, p->scheme);
	buf_append_text(out, "://");
	buf_append_text(out, p->host);
	buf_append_byte(out, ':');
	return buf_append_text(out, p->port);
}

int url_check_origin(struct slice url, struct buf *origin, const char **why)
{
	struct parts parts = {0};
	CURLU *u;
	int rc;

	if (url.len > URL_MAX) {
		*why = "longer than 2048 bytes";
		return -EINVAL;
	}
	if (!is_printable(url)) {
		*why = "must be printable ASCII: foreign letters of the host in their xn-- form, the rest encoded with %";
		return -EINVAL;
	}
	u = parse(url, 0);
	if (u)
		parts = parts_of(u);
	curl_url_cleanup(u);
	*why = complaint(url, &parts);
	rc = *why ? -EINVAL : 0;
	if (rc == 0 && origin)
		rc = append_origin(&parts, origin);
	parts_done(&parts);
	return rc;
}

int url_check(struct slice url, const char **why)
{
	return url_check_origin(url, NULL, why);
}

/* ---- proxies ---- */

static bool is_proxy_scheme(const char *scheme)
{
	static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};

	for (size_t i = 0; scheme && i < sizeof schemes / sizeof schemes[0]; i++)
		if (strcmp(scheme, schemes[i]) == 0)
			return true;
	return false;
}

int url_check_proxy(struct slice url)
{
	CURLU *u = is_printable(url) && has_slashes(url) ? parse(url, CURLU_NON_SUPPORT_SCHEME) : NULL;
	char *scheme = u ? part(u, CURLUPART_SCHEME, 0) : NULL;
	char *host = u ? part(u, CURLUPART_HOST, 0) : NULL;
	char *port = u ? part(u, CURLUPART_PORT, 0) : NULL;
	bool is_good = is_proxy_scheme(scheme) && host && *host && port;

	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return is_good ? 0 : -EINVAL;
}
