#include "processor/upstream.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { URL_MAX = 8192 };

enum outcome_kind upstream_outcome(int status)
{
	if (status >= 200 && status < 300)
		return OUTCOME_SUCCEEDED;
	if (status == 408 || status == 425 || status == 429 || status >= 500)
		return OUTCOME_RETRY;
	return OUTCOME_FAILED;
}

bool upstream_is_redirect(int status)
{
	return status == 307 || status == 308;
}

static bool is_same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL;
	char *y = NULL;
	bool is_same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		       curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return is_same;
}

static int resolve(CURLU *from, CURLU *to, const char *base, const char *location, char **out)
{
	char *url = NULL;

	if (!from || !to)
		return -ENOMEM;
	if (curl_url_set(from, CURLUPART_URL, base, 0) != CURLUE_OK ||
		curl_url_set(to, CURLUPART_URL, base, 0) != CURLUE_OK ||
		curl_url_set(to, CURLUPART_URL, location, 0) != CURLUE_OK)
		return -EINVAL;
	if (!is_same_part(from, to, CURLUPART_SCHEME) || !is_same_part(from, to, CURLUPART_HOST) ||
		!is_same_part(from, to, CURLUPART_PORT))
		return -EXDEV;
	curl_url_set(to, CURLUPART_FRAGMENT, NULL, 0);
	if (curl_url_get(to, CURLUPART_URL, &url, 0) != CURLUE_OK)
		return -EINVAL;
	*out = strdup(url);
	curl_free(url);
	return *out ? 0 : -ENOMEM;
}

int upstream_redirect(const char *base, struct slice location, char **out)
{
	char text[URL_MAX];
	CURLU *from;
	CURLU *to;
	int rc;

	if (location.len == 0 || location.len >= sizeof text || memchr(location.data, 0, location.len))
		return -EINVAL;
	memcpy(text, location.data, location.len);
	text[location.len] = '\0';
	from = curl_url();
	to = curl_url();
	rc = resolve(from, to, base, text, out);
	curl_url_cleanup(from);
	curl_url_cleanup(to);
	return rc;
}
