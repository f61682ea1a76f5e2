/*
 * Twilio's Messages resource: a form in, JSON out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "notifier/sms_provider.h"
#include "notifier/template.h"
#include "proto/json.h"
#include "runtime/url.h"

enum { NUMBER_MAX = 16 };

/* Codes that say more than their status, which is 400 for nearly all. */
static const struct code {
	int code;
	enum sms_verdict verdict;
	const char *meaning;
} codes[] = {
	{20003, SMS_AGAIN, "the account or its token is wrong"},
	{20005, SMS_AGAIN, "the account is not active"},
	{20429, SMS_AGAIN, "too many requests"},
	{21211, SMS_DEAD, "no valid number"},
	{21212, SMS_AGAIN, "`from` is no valid sender"},
	{21214, SMS_DEAD, "the number cannot be reached"},
	{21217, SMS_DEAD, "no valid number"},
	{21408, SMS_DEAD, "the account may not send to this country"},
	{21603, SMS_AGAIN, "`from` is missing"},
	{21606, SMS_AGAIN, "`from` is no sender of this account"},
	{21608, SMS_DEAD, "the number is not verified, as a trial account wants it"},
	{21610, SMS_DEAD, "the receiver does not want messages"},
	{21611, SMS_AGAIN, "the sender's queue is full"},
	{21612, SMS_DEAD, "the number cannot be reached from this sender"},
	{21614, SMS_DEAD, "no mobile number"},
	{21617, SMS_DEAD, "the text is too long"},
	{21635, SMS_DEAD, "the number is a landline"},
	{21659, SMS_AGAIN, "`from` is no sender of this account"},
	{30001, SMS_AGAIN, "the queue is full"},
	{63038, SMS_AGAIN, "the account's messages of the day are used up"},
};

static int check(const struct sms_options *o, char *why, size_t why_len)
{
	const char *what = NULL;

	if (url_check(slice_text(o->url), &what) < 0) {
		snprintf(why, why_len, "url: %s", what);
		return -EINVAL;
	}
	if (!*o->username || !*o->from) {
		snprintf(why, why_len, "%s is missing",
			*o->username ? "from" : "username (the account's SID)");
		return -EINVAL;
	}
	return 0;
}

/* "MG" and 32 hexadecimal digits name a messaging service, which has senders of its own. */
static bool is_service(const char *from)
{
	return strncmp(from, "MG", 2) == 0 && strspn(from + 2, "0123456789abcdef") == 32 && !from[34];
}

static int build(const struct sms_options *o, const struct sms_message *m, struct sms_request *out)
{
	static const char path[] = "/2010-04-01/Accounts/{sid}/Messages.json";
	static const char by_sender[] = "To={to}&From={from}&Body={text}";
	static const char by_service[] = "To={to}&MessagingServiceSid={from}&Body={text}";
	const struct template_value values[] = {{"sid", slice_text(o->username)}, {"to", m->to},
		{"from", slice_text(o->from)}, {"text", m->text}};
	const struct template_source source = {
		.values = values, .values_len = sizeof values / sizeof *values};
	size_t len = strlen(o->url);
	int rc;

	sms_request_add_basic(out, o->username, o->password);
	sms_request_add_header(out, "Content-Type", slice_text("application/x-www-form-urlencoded"));
	buf_append(&out->url, o->url, len - (o->url[len - 1] == '/'));
	rc = template_render(slice_text(path), TEMPLATE_URL, &source, &out->url);
	if (rc < 0)
		return rc;
	return template_render(
		slice_text(is_service(o->from) ? by_service : by_sender), TEMPLATE_URL, &source, &out->body);
}

/* The member "code" of an error; 0: none. */
static int code_of(struct slice body)
{
	struct json_member m = {0};
	struct json_error ignored;
	char text[NUMBER_MAX];

	if (json_check(body, &ignored) < 0)
		return 0;
	while (json_next_member(body, &m)) {
		if (!json_key_is(m.key, "code") || json_type_of(m.value) != JSON_NUMBER ||
			m.value.len >= sizeof text)
			continue;
		snprintf(text, sizeof text, "%.*s", SLICE_ARG(m.value));
		return (int)strtol(text, NULL, 10);
	}
	return 0;
}

static struct sms_word read_answer(int status, struct slice body)
{
	int code = code_of(body);

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (codes[i].code == code)
			return (struct sms_word){true, codes[i].verdict, code, codes[i].meaning};
	return (struct sms_word){.code = code};
}

const struct sms_provider sms_twilio = {"twilio", check, build, read_answer};
