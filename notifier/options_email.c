#include "notifier/options_email.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#include "notifier/options.h"
#include "notifier/template.h"
#include "proto/name.h"
#include "runtime/email_address.h"

enum { SECOND = 1000, MEBIBYTE = 1 << 20, PATTERN_MAX = 300 };

static const char *const starttls_choices[] = {[EMAIL_STARTTLS_AUTO] = "auto",
	[EMAIL_STARTTLS_REQUIRED] = "required",
	[EMAIL_STARTTLS_OPTIONAL] = "optional",
	[EMAIL_STARTTLS_NEVER] = "never",
	NULL};

static const struct email_texts built_in = {
	.subject = "{task}: {status}",
	.text = "The task {task} has ended: {status}.\n"
		"\n"
		"Result: {result?}\n"
		"Result: see the attachment {attachment?}\n"
		"Error: {error.message?}\n"
		"\n"
		"Task: {id}\n"
		"Ended: {finished_at}\n",
	.html = "<p>The task <b>{task}</b> has ended: <b>{status}</b>.</p>\n"
		"<p>Result:</p><pre>{result?}</pre>\n"
		"<p>Result: see the attachment {attachment?}</p>\n"
		"<p>Error: {error.message?}</p>\n"
		"<p>Task: {id}<br>\n"
		"Ended: {finished_at}</p>\n",
};

bool email_template_find(const struct email_options *o, const char *name, struct email_texts *out)
{
	const struct email_template *items = o->templates.items;
	bool is_default = strcmp(name, EMAIL_DEFAULT_TEMPLATE) == 0;

	if (is_default)
		*out = built_in;
	for (size_t i = 0; i < o->templates.len; i++) {
		if (strcmp(items[i].name, name) != 0)
			continue;
		*out = (struct email_texts){items[i].subject, items[i].text, items[i].html};
		return true;
	}
	return is_default;
}

/* ---- the server ---- */

struct server {
	bool has_implicit_tls;
	bool is_loopback;
};

static bool is_loopback(const char *host)
{
	struct in6_addr six;
	struct in_addr four;
	char inside[64];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (host[0] != '[' || strlen(host) >= sizeof inside)
		return false;
	snprintf(inside, sizeof inside, "%.*s", (int)strlen(host) - 2, host + 1);
	return inet_pton(AF_INET6, inside, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* True when the part is there and not empty. */
static bool has_part(CURLU *u, CURLUPart part)
{
	char *value = NULL;
	bool has = curl_url_get(u, part, &value, 0) == CURLUE_OK && *value;

	curl_free(value);
	return has;
}

/* 0 or -EINVAL. */
static int read_parts(CURLU *u, struct server *out)
{
	char *scheme = NULL, *host = NULL;
	int rc = -EINVAL;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host &&
		(strcmp(scheme, "smtp") == 0 || strcmp(scheme, "smtps") == 0)) {
		*out = (struct server){strcmp(scheme, "smtps") == 0, is_loopback(host)};
		rc = 0;
	}
	curl_free(scheme);
	curl_free(host);
	return rc;
}

static int read_server(const char *url, struct server *out)
{
	CURLU *u = curl_url();
	int rc = -EINVAL;

	if (u && strstr(url, "://") && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
		rc = read_parts(u, out);
	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD) ||
		has_part(u, CURLUPART_OPTIONS) || has_part(u, CURLUPART_QUERY) ||
		has_part(u, CURLUPART_FRAGMENT))
		rc = -EINVAL;
	curl_url_cleanup(u);
	return rc;
}

enum email_starttls email_starttls_policy(const struct email_options *o)
{
	struct server server;

	if (o->starttls != EMAIL_STARTTLS_AUTO)
		return (enum email_starttls)o->starttls;
	if (*o->username)
		return EMAIL_STARTTLS_REQUIRED;
	if (read_server(o->url, &server) < 0 || !server.is_loopback)
		return EMAIL_STARTTLS_OPTIONAL;
	return EMAIL_STARTTLS_NEVER;
}

/* ---- checks ---- */

static int check_url(const void *value, char *why, size_t why_len)
{
	const char *url = *(char *const *)value;
	struct server ignored;

	if (!*url || read_server(url, &ignored) == 0)
		return 0;
	snprintf(why, why_len, "must be smtp://HOST:PORT or smtps://HOST:PORT, without user and password");
	return -EINVAL;
}

static int check_from(const void *value, char *why, size_t why_len)
{
	const char *from = *(char *const *)value;
	struct slice name, address;
	const char *reason;

	if (!*from || email_mailbox_parse(slice_text(from), &name, &address, &reason) == 0)
		return 0;
	snprintf(why, why_len, "%s", reason);
	return -EINVAL;
}

/* Without its @ a pattern like "*example.com" lets more in than was meant: "ann@badexample.com". */
static int check_allow_to(const void *value, char *why, size_t why_len)
{
	const struct option_strings *allow = value;

	for (size_t i = 0; i < allow->len; i++) {
		const char *pattern = allow->items[i];

		if ((strchr(pattern, '@') || strcmp(pattern, "*") == 0) && strlen(pattern) <= PATTERN_MAX)
			continue;
		snprintf(why, why_len, "entry %zu is neither * nor a pattern of addresses like *@example.com",
			i);
		return -EINVAL;
	}
	return 0;
}

static int check_text(const void *value, char *why, size_t why_len)
{
	return template_check(slice_text(*(char *const *)value), why, why_len);
}

static int check_name(const void *value, char *why, size_t why_len)
{
	if (name_is_valid(slice_text(*(char *const *)value)))
		return 0;
	snprintf(why, why_len, "must be letters, digits, \"_\", \".\" and \"-\", a letter or digit first");
	return -EINVAL;
}

/* AUTH hands the password to whoever listens, unless the way is encrypted or does not leave this machine. */
static bool may_show_password(const struct email_options *o)
{
	enum email_starttls policy = email_starttls_policy(o);
	struct server server;

	if (!*o->username || read_server(o->url, &server) < 0 || server.has_implicit_tls ||
		server.is_loopback)
		return false;
	return policy == EMAIL_STARTTLS_OPTIONAL || policy == EMAIL_STARTTLS_NEVER;
}

int email_options_check(const void *value, char *why, size_t why_len)
{
	const struct email_options *o = value;
	const char *what = NULL;

	if (*o->url && !*o->from)
		what = "has a url but no from";
	else if (*o->username && !*o->password)
		what = "has a username but neither password nor password_file";
	else if (!*o->username && *o->password)
		what = "has a password but no username";
	else if (may_show_password(o))
		what = "would send the password in clear to another machine: use smtps:// or starttls: required";
	else if (options_has_twice(&o->templates, sizeof(struct email_template)))
		what = "has two templates of one name";
	else if (options_has_twice(&o->tenants, sizeof(struct email_tenant)))
		what = "names a tenant twice";
	if (!what)
		return 0;
	snprintf(why, why_len, "%s", what);
	return -EINVAL;
}

/* ---- tables ---- */

static const struct option tenant_table[] = {
	{.name = "tenant",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_tenant, tenant),
		.required = true,
		.help = "The tenant."},
	{.name = "allow_to",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct email_tenant, allow_to),
		.check = check_allow_to,
		.help = "Its patterns, instead of the general ones."},
	{0},
};

static const struct option template_table[] = {
	{.name = "name",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_template, name),
		.fallback = EMAIL_DEFAULT_TEMPLATE,
		.check = check_name,
		.help = "What `deliver` calls it; `default` stands for deliveries that name none."},
	{.name = "subject",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_template, subject),
		.fallback = "{task}: {status}",
		.check = check_text,
		.help = "The subject, with placeholders."},
	{.name = "text",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_template, text),
		.required = true,
		.check = check_text,
		.help = "The plain text, with placeholders."},
	{.name = "html",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_template, html),
		.fallback = "",
		.check = check_text,
		.help = "The same as HTML, values escaped; empty: the mail has only the text."},
	{0},
};

const struct option email_option_table[] = {
	{.name = "url",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_options, url),
		.fallback = "",
		.check = check_url,
		.help = "The mail server: smtp://HOST:PORT, or smtps:// for TLS from the first byte; a path is the name given "
			"in EHLO. Empty: no email is sent."},
	{.name = "from",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_options, from),
		.fallback = "",
		.check = check_from,
		.help = "Who writes, as \"Postback <no-reply@example.com>\"; failures of delivery go there, too."},
	{.name = "username",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_options, username),
		.fallback = "",
		.help = "For AUTH; empty: without."},
	{.name = "password",
		.type = OPTION_SECRET,
		.offset = offsetof(struct email_options, password),
		.fallback = "",
		.help = "For AUTH."},
	{.name = "starttls",
		.type = OPTION_CHOICE,
		.offset = offsetof(struct email_options, starttls),
		.fallback = "auto",
		.choices = starttls_choices,
		.help = "For smtp://. `auto` is `required` with a username, else `never` toward a loopback address and "
			"`optional` toward others. Certificates are verified wherever TLS is used."},
	{.name = "ca_file",
		.type = OPTION_STRING,
		.offset = offsetof(struct email_options, ca_file),
		.fallback = "",
		.check = options_check_ca_file,
		.help = "Certificates to trust, PEM; empty: the system's."},
	{.name = "allow_to",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct email_options, allow_to),
		.check = check_allow_to,
		.help = "Who may be written to: patterns of addresses, as \"*@example.com\"; \"*\" is everybody, none nobody."},
	{.name = "tenants",
		.type = OPTION_LIST,
		.offset = offsetof(struct email_options, tenants),
		.fields = tenant_table,
		.item_size = sizeof(struct email_tenant),
		.help = "Tenants with patterns of their own."},
	{.name = "rate",
		.type = OPTION_INT,
		.offset = offsetof(struct email_options, rate),
		.fallback = "600",
		.min = 0,
		.max = 1000000,
		.help = "Mails a minute for each tenant; what passes it is put off. 0: no limit."},
	{.name = "attachment_max",
		.type = OPTION_SIZE,
		.offset = offsetof(struct email_options, attachment_max),
		.fallback = "1MiB",
		.min = 0,
		.max = (int64_t)10 * MEBIBYTE,
		.help = "Results that are not JSON are attached up to this size; 0: none."},
	{.name = "templates",
		.type = OPTION_LIST,
		.offset = offsetof(struct email_options, templates),
		.fields = template_table,
		.item_size = sizeof(struct email_template),
		.help = "Texts of mails. One called `default` replaces the built-in one."},
	{.name = "schedule",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct email_options, schedule),
		.fallback = "[0s, 1m, 5m, 15m, 1h, 2h, 4h, 8h, 12h, 24h]",
		.check = options_check_schedule,
		.help = "Wait before the first attempt and after each that failed, +-20 %; one for each attempt."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		.offset = offsetof(struct email_options, timeout_ms),
		.fallback = "30s",
		.min = 1,
		.max = 40 * SECOND,
		.help = "For one attempt, from looking the name up to the server's last word."},
	{.name = "concurrency",
		.type = OPTION_INT,
		.offset = offsetof(struct email_options, concurrency),
		.fallback = "4",
		.min = 1,
		.max = 64,
		.help = "Connections to the server at the same time."},
	{0},
};
