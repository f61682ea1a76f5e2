/*
 * Any provider with an HTTP interface: URL, headers and body are templates. No value ever gets into the URL's scheme,
 * host or port: those are the configuration's alone.
 */
#include <errno.h>
#include <stdio.h>

#include "notifier/sms_provider.h"
#include "notifier/template.h"
#include "runtime/url.h"

enum { CREDENTIALS_MAX = 2048, URL_SAMPLE_MAX = 4096 };

static const struct format {
	enum template_kind kind;
	const char *content_type;
} formats[] = {
	[SMS_BODY_JSON] = {TEMPLATE_JSON, "application/json"},
	[SMS_BODY_FORM] = {TEMPLATE_URL, "application/x-www-form-urlencoded"},
	[SMS_BODY_TEXT] = {TEMPLATE_TEXT, "text/plain; charset=utf-8"},
};

/* ---- the configuration ---- */

static bool has_fixed_origin(const char *url)
{
	const char *host = strstr(url, "://");

	return host && strcspn(host + 3, "{") >= strcspn(host + 3, "/?#") &&
	       !memchr(url, '{', (size_t)(host - url));
}

/* Whoever calls it would take such a part for a step up the path, out of what is configured. */
static bool has_dots(struct slice url)
{
	size_t from = 0;

	for (size_t i = 0; i <= url.len; i++) {
		struct slice part;

		if (i < url.len && !strchr("/?#", url.data[i]))
			continue;
		part = slice_of(url.data + from, i - from);
		if (slice_is_text(part, ".") || slice_is_text(part, ".."))
			return true;
		if (i < url.len && url.data[i] != '/')
			break;
		from = i + 1;
	}
	return false;
}

static int check_url(const char *url, char *why, size_t why_len)
{
	const struct template_source empty = {0};
	const char *what = NULL;
	struct buf sample;
	char reason[120];
	int rc = 0;

	buf_init(&sample, URL_SAMPLE_MAX);
	if (template_check(slice_text(url), reason, sizeof reason) < 0)
		what = reason;
	else if (template_render(slice_text(url), TEMPLATE_URL, &empty, &sample) < 0)
		what = "too long";
	else if (!has_fixed_origin(url))
		what = "must be an absolute http or https URL, without placeholders before its path";
	else if (url_check(buf_slice(&sample), &what) == 0 && has_dots(buf_slice(&sample)))
		what = "must have no . or .. in its path";
	if (what) {
		snprintf(why, why_len, "url: %s", what);
		rc = -EINVAL;
	}
	buf_done(&sample);
	return rc;
}

/* The bytes of the name; 0: it has none. */
static size_t name_len(const char *header)
{
	size_t len = strspn(
		header, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return header[len] == ':' ? len : 0;
}

static bool is_header(const char *header, const char *name)
{
	return name_len(header) == strlen(name) && strncasecmp(header, name, strlen(name)) == 0;
}

static int check_header(const char *header, char *why, size_t why_len)
{
	if (name_len(header) == 0)
		snprintf(why, why_len, "must be \"Name: value\"");
	else if (is_header(header, "content-length") || is_header(header, "transfer-encoding"))
		snprintf(why, why_len, "is made by itself");
	else
		return template_check(slice_text(header), why, why_len);
	return -EINVAL;
}

static int check_headers(const struct option_strings *headers, char *why, size_t why_len)
{
	char reason[120];

	if (headers->len >= SMS_HEADERS_MAX) {
		snprintf(why, why_len, "headers: more than %d", SMS_HEADERS_MAX - 1);
		return -EINVAL;
	}
	for (size_t i = 0; i < headers->len; i++) {
		if (check_header(headers->items[i], reason, sizeof reason) == 0)
			continue;
		snprintf(why, why_len, "headers[%zu] %s", i, reason);
		return -EINVAL;
	}
	return 0;
}

static int check(const struct sms_options *o, char *why, size_t why_len)
{
	char reason[120];

	if (check_url(o->url, why, why_len) < 0 || check_headers(&o->headers, why, why_len) < 0)
		return -EINVAL;
	if (template_check(slice_text(o->body), reason, sizeof reason) == 0)
		return 0;
	snprintf(why, why_len, "body %s", reason);
	return -EINVAL;
}

/* ---- a request ---- */

static int add_headers(
	const struct sms_options *o, const struct template_source *source, struct sms_request *out)
{
	bool has_type = false;
	int rc = 0;

	for (size_t i = 0; i < o->headers.len && rc == 0; i++) {
		has_type |= is_header(o->headers.items[i], "content-type");
		rc = template_render(slice_text(o->headers.items[i]), TEMPLATE_LINE, source, &out->head);
		sms_request_end_header(out);
	}
	if (out->body.len > 0 && !has_type)
		sms_request_add_header(out, "Content-Type", slice_text(formats[o->body_format].content_type));
	return rc;
}

static int fill(const struct sms_options *o, const struct template_source *source, struct sms_request *out)
{
	int rc = template_render(slice_text(o->url), TEMPLATE_URL, source, &out->url);

	out->method = sms_method_name(o->method);
	if (rc == 0 && has_dots(buf_slice(&out->url)))
		rc = -EINVAL;
	if (rc == 0 && o->method != SMS_GET)
		rc = template_render(slice_text(o->body), formats[o->body_format].kind, source, &out->body);
	return rc < 0 ? rc : add_headers(o, source, out);
}

static int build(const struct sms_options *o, const struct sms_message *m, struct sms_request *out)
{
	struct buf credentials;
	int rc;

	buf_init(&credentials, CREDENTIALS_MAX);
	rc = sms_request_append_credentials(&credentials, o->username, o->password);
	if (rc == 0) {
		const struct template_value values[] = {
			{"to", m->to},
			{"from", slice_text(o->from)},
			{"text", m->text},
			{"delivery", m->delivery},
			{"username", slice_text(o->username)},
			{"password", slice_text(o->password)},
			{"credentials", buf_slice(&credentials)},
		};
		const struct template_source source = {.document = m->document,
			.values = values,
			.values_len = sizeof values / sizeof *values};

		rc = fill(o, &source, out);
		explicit_bzero(credentials.data, credentials.cap);
	}
	buf_done(&credentials);
	return rc;
}

const struct sms_provider sms_http = {"http", check, build, NULL};
