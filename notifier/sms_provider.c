#include "notifier/sms_provider.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

static const struct sms_provider *const providers[SMS_PROVIDERS] = {
	[SMS_KANNEL] = &sms_kannel,
	[SMS_TWILIO] = &sms_twilio,
	[SMS_HTTP] = &sms_http,
};

const struct sms_provider *sms_provider_of(int kind)
{
	assert(kind >= 0 && kind < SMS_PROVIDERS);
	return providers[kind];
}

int sms_provider_build(const struct sms_options *o, const struct sms_message *m, struct sms_request *out)
{
	int rc;

	sms_request_init(out, "POST");
	rc = sms_provider_of(o->provider)->build(o, m, out);
	return rc < 0 ? rc : sms_request_end(out);
}

/*
 * Statuses that speak of this message. All others that are no 2xx may be of the provider's trouble or of a mistake in the
 * configuration (401, 403, 404), which somebody will mend: the message is worth another try.
 */
static bool is_about_message(int status)
{
	static const int statuses[] = {400, 410, 413, 414, 422};

	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
		if (status == statuses[i])
			return true;
	return false;
}

static enum sms_verdict verdict_of(int status)
{
	if (status >= 200 && status < 300)
		return SMS_DELIVERED;
	return is_about_message(status) ? SMS_DEAD : SMS_AGAIN;
}

static void say_error(int status, const struct sms_word *word, char error[SMS_ERROR_MAX])
{
	char code[24] = "";

	if (word->code)
		snprintf(code, sizeof code, ", code %d", word->code);
	snprintf(error, SMS_ERROR_MAX, "the provider answered %d%s%s%s", status, code,
		word->meaning ? ": " : "", word->meaning ? word->meaning : "");
}

void sms_provider_judge(const struct sms_provider *p, const struct http_response *r, struct slice retry_after,
	int64_t now_ms, struct sms_answer *out)
{
	struct sms_word word = {0};

	*out = (struct sms_answer){.verdict = SMS_AGAIN};
	if (r->result != HTTP_ANSWERED && r->result != HTTP_TOO_LARGE) {
		snprintf(out->error, sizeof out->error, "%s", r->error);
		return;
	}
	out->verdict = verdict_of(r->status);
	if (out->verdict == SMS_DELIVERED)
		return;
	if (p->read)
		word = p->read(r->status, r->body);
	if (word.is_known)
		out->verdict = word.verdict;
	out->is_throttled = r->status == 429;
	out->asked_ms = http_retry_after_ms(retry_after, now_ms);
	say_error(r->status, &word, out->error);
}
