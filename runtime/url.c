#include "runtime/url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>

enum { HOST_MAX = 255 };

/* Parsed as the HTTP client will parse it. NULL when it is no URL or memory ran out. */
static CURLU *parse(struct slice url)
{
	char text[URL_MAX + 1];
	CURLU *u;

	if (url.len == 0 || url.len > URL_MAX || memchr(url.data, '\0', url.len))
		return NULL;
	memcpy(text, url.data, url.len);
	text[url.len] = '\0';
	u = curl_url();
	if (u && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK)
		return u;
	curl_url_cleanup(u);
	return NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
	char *value = NULL;
	bool has = curl_url_get(u, part, &value, 0) == CURLUE_OK;

	curl_free(value);
	return has;
}

static bool is_printable(struct slice url)
{
	for (size_t i = 0; i < url.len; i++)
		if (url.data[i] <= 0x20 || url.data[i] >= 0x7f)
			return false;
	return true;
}

static bool has_good_scheme(CURLU *u)
{
	char *scheme = NULL;
	bool is_good = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		       (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

	curl_free(scheme);
	return is_good;
}

static bool has_good_host(CURLU *u)
{
	char *host = NULL;
	bool is_good =
		curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host && strlen(host) <= HOST_MAX;

	curl_free(host);
	return is_good;
}

/* libcurl forgives "https:/a" and "https:a"; what a person left out there was hardly meant. */
static bool has_slashes(struct slice url)
{
	const uint8_t *colon = memchr(url.data, ':', url.len);

	return colon && url.len - (size_t)(colon - url.data) > 3 && memcmp(colon, "://", 3) == 0 &&
	       colon[3] != '/';
}

static const char *complaint(struct slice url, CURLU *u)
{
	if (!u || !has_good_scheme(u) || !has_slashes(url))
		return "must be an absolute http or https URL";
	if (!has_good_host(u))
		return "has no host, or one of more than 255 bytes";
	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		return "must not hold a user or a password";
	return NULL;
}

static int append_parts(CURLU *u, struct buf *out)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	int rc = -ENOMEM;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
		for (char *c = host; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		rc = buf_printf(out, "%s://%s:%s", scheme, host, port);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return rc;
}

int url_check_origin(struct slice url, struct buf *origin, const char **why)
{
	CURLU *u;
	int rc;

	if (url.len > URL_MAX) {
		*why = "longer than 2048 bytes";
		return -EINVAL;
	}
	if (!is_printable(url)) {
		*why = "must be printable ASCII; encode the rest with %";
		return -EINVAL;
	}
	u = parse(url);
	*why = complaint(url, u);
	rc = *why ? -EINVAL : 0;
	if (rc == 0 && origin)
		rc = append_parts(u, origin);
	curl_url_cleanup(u);
	return rc;
}

int url_check(struct slice url, const char **why)
{
	return url_check_origin(url, NULL, why);
}
