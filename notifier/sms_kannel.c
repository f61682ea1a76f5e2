/*
 * Kannel's sendsms: a POST whose parameters are headers and whose body is the text, so that neither a password nor a text
 * is in a URL that its logs keep.
 */
#include <errno.h>
#include <stdio.h>

#include "notifier/sms_provider.h"
#include "runtime/url.h"

static int check(const struct sms_options *o, char *why, size_t why_len)
{
	const char *what;

	if (url_check(slice_text(o->url), &what) == 0)
		return 0;
	snprintf(why, why_len, "url: %s", what);
	return -EINVAL;
}

/* Kannel converts: what is said here is the UTF-8 that it is given, and the alphabet that it is to make of it. */
static int build(const struct sms_options *o, const struct sms_message *m, struct sms_request *out)
{
	buf_append_text(&out->url, o->url);
	sms_request_add_header(out, "Content-Type", slice_text("text/plain; charset=UTF-8"));
	sms_request_add_header(out, "X-Kannel-Coding", slice_text(m->alphabet == SMS_GSM ? "0" : "2"));
	sms_request_add_header(out, "X-Kannel-To", m->to);
	if (*o->from)
		sms_request_add_header(out, "X-Kannel-From", slice_text(o->from));
	if (*o->username)
		sms_request_add_header(out, "X-Kannel-Username", slice_text(o->username));
	if (*o->password)
		sms_request_add_header(out, "X-Kannel-Password", slice_text(o->password));
	buf_append_slice(&out->body, m->text);
	return 0;
}

/* It answers 403 for two things that have nothing in common. */
static struct sms_word read_answer(int status, struct slice body)
{
	static const char unroutable[] = "Not routable";

	if (status != 403)
		return (struct sms_word){0};
	if (body.len >= sizeof unroutable - 1 && memcmp(body.data, unroutable, sizeof unroutable - 1) == 0)
		return (struct sms_word){true, SMS_DEAD, 0, "no route to this number"};
	return (struct sms_word){true, SMS_AGAIN, 0, "the username or the password is wrong"};
}

const struct sms_provider sms_kannel = {"kannel", check, build, read_answer};
