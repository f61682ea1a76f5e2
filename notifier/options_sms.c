#include "notifier/options_sms.h"

#include <errno.h>
#include <stdio.h>

#include "notifier/options.h"
#include "notifier/sms_provider.h"
#include "notifier/template.h"
#include "runtime/e164.h"

enum { SECOND = 1000, PLAIN_MAX = 512 };

static const char *const providers[] = {
	[SMS_KANNEL] = "kannel", [SMS_TWILIO] = "twilio", [SMS_HTTP] = "http", NULL};
static const char *const methods[] = {[SMS_POST] = "POST", [SMS_PUT] = "PUT", [SMS_GET] = "GET", NULL};
static const char *const formats[] = {
	[SMS_BODY_JSON] = "json", [SMS_BODY_FORM] = "form", [SMS_BODY_TEXT] = "text", NULL};

const char *sms_method_name(int method)
{
	return methods[method];
}

static int check_plain(const void *value, char *why, size_t why_len)
{
	const char *text = *(char *const *)value;

	for (const char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f) {
			snprintf(why, why_len, "has control characters");
			return -EINVAL;
		}
	if (strlen(text) <= PLAIN_MAX)
		return 0;
	snprintf(why, why_len, "has more than %d bytes", PLAIN_MAX);
	return -EINVAL;
}

static int check_text(const void *value, char *why, size_t why_len)
{
	return template_check(slice_text(*(char *const *)value), why, why_len);
}

static int check_allow_to(const void *value, char *why, size_t why_len)
{
	const struct option_strings *allow = value;

	for (size_t i = 0; i < allow->len; i++) {
		if (e164_is_prefix(slice_text(allow->items[i])))
			continue;
		snprintf(why, why_len,
			"entry %zu is neither + nor + and the first digits of numbers, as +49151", i);
		return -EINVAL;
	}
	return 0;
}

int sms_options_check(const void *value, char *why, size_t why_len)
{
	const struct sms_options *o = value;

	return *o->url ? sms_provider_of(o->provider)->check(o, why, why_len) : 0;
}

const struct option sms_option_table[] = {
	{.name = "provider",
		.type = OPTION_CHOICE,
		.offset = offsetof(struct sms_options, provider),
		.fallback = "kannel",
		.choices = providers,
		.help = "Who carries them: kannel (its sendsms), twilio, or http, any other with an HTTP interface."},
	{.name = "url",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, url),
		.fallback = "",
		.help = "Of Kannel's sendsms, of Twilio's API (https://api.twilio.com), or a template of the http provider's; "
			"empty: nothing is sent."},
	{.name = "username",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, username),
		.fallback = "",
		.check = check_plain,
		.help = "Kannel's sendsms-user; of twilio the SID of the account."},
	{.name = "password",
		.type = OPTION_SECRET,
		.offset = offsetof(struct sms_options, password),
		.fallback = "",
		.check = check_plain,
		.help = "Its password; of twilio the token."},
	{.name = "from",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, from),
		.fallback = "",
		.check = check_plain,
		.help = "Sender: a number, a short code or a name; of twilio also the SID of a messaging service."},
	{.name = "text",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, text),
		.fallback = "{task} {status} ({id}) {error.message}",
		.check = check_text,
		.help = "Template of the text; placeholders are members of the status document."},
	{.name = "segments",
		.type = OPTION_INT,
		.offset = offsetof(struct sms_options, segments),
		.fallback = "1",
		.min = 1,
		.max = SMS_TEXT_SEGMENTS_MAX,
		.help = "Messages that one text may take; the rest of it is cut off."},
	{.name = "allow_to",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct sms_options, allow_to),
		.fallback = "[\"+\"]",
		.check = check_allow_to,
		.help = "What numbers may begin with, as [\"+49\", \"+4366\"]; \"+\": all; [] none."},
	{.name = "rate",
		.type = OPTION_INT,
		.offset = offsetof(struct sms_options, rate),
		.fallback = "60",
		.max = 1000000,
		.help = "Texts a minute for each tenant, of each notifier; what is more waits. 0: no limit."},
	{.name = "schedule",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct sms_options, schedule),
		.fallback = "[0s, 10s, 1m, 5m, 15m, 1h, 3h]",
		.check = options_check_schedule,
		.help = "Wait before the first attempt and after each that failed, +-20 %; one for each attempt."},
	{.name = "timeout",
		.type = OPTION_DURATION,
		.offset = offsetof(struct sms_options, timeout_ms),
		.fallback = "20s",
		.min = 1,
		.max = 40 * SECOND,
		.help = "For one attempt, from looking the name up to the end of the answer."},
	{.name = "concurrency",
		.type = OPTION_INT,
		.offset = offsetof(struct sms_options, concurrency),
		.fallback = "16",
		.min = 1,
		.max = 1000,
		.help = "Calls to the provider at the same time."},
	{.name = "method",
		.type = OPTION_CHOICE,
		.offset = offsetof(struct sms_options, method),
		.fallback = "POST",
		.choices = methods,
		.help = "Of the http provider: its method; GET has no body."},
	{.name = "headers",
		.type = OPTION_STRINGS,
		.offset = offsetof(struct sms_options, headers),
		.help = "Of the http provider: templates of headers, \"Name: value\". {credentials} is what Basic "
			"authentication wants of username and password."},
	{.name = "body",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, body),
		.fallback = "{\"to\":\"{to}\",\"from\":\"{from}\",\"text\":\"{text}\"}",
		.check = check_text,
		.help = "Of the http provider: template of the body; also {delivery}, an id that stays the same when it is "
			"tried again, {username}, {password} and the members of the status document."},
	{.name = "body_format",
		.type = OPTION_CHOICE,
		.offset = offsetof(struct sms_options, body_format),
		.fallback = "json",
		.choices = formats,
		.help = "Of the http provider: how values are escaped in the body, and its content type unless a header says."},
	{.name = "proxy",
		.type = OPTION_SECRET,
		.offset = offsetof(struct sms_options, proxy),
		.fallback = "",
		.check = options_check_proxy,
		.help = "URL of a proxy for all calls, as http://proxy.example.com:3128."},
	{.name = "ca_file",
		.type = OPTION_STRING,
		.offset = offsetof(struct sms_options, ca_file),
		.fallback = "",
		.check = options_check_ca_file,
		.help = "Certificates to trust, PEM; empty: the system's."},
	{0},
};
