#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "notifier/sms_provider.h"

#define TO	  "+4915112345678"
#define KANNEL_TO "X-Kannel-To: +4915112345678"

static char empty[] = "", url[] = "https://sms.example/send", username[] = "me", password[] = "secret",
	    from[] = "Us";
static char body_template[] = "{\"to\":\"{to}\",\"text\":\"{text}\"}";

static struct sms_options options_of(int provider)
{
	return (struct sms_options){
		.provider = provider,
		.url = url,
		.username = username,
		.password = password,
		.from = from,
		.body = body_template,
		.proxy = empty,
		.ca_file = empty,
	};
}

static struct sms_message message_of(const char *text, enum sms_alphabet alphabet)
{
	return (struct sms_message){
		.to = slice_text(TO),
		.text = slice_text(text),
		.alphabet = alphabet,
		.delivery = slice_text("an-id"),
		.document = slice_text("{\"task\":\"echo\",\"result\":{\"n\":[1,2]}}"),
	};
}

static void expect_headers(const struct sms_request *r, const char *const *wanted)
{
	size_t i = 0;

	for (; wanted[i]; i++) {
		assert_non_null(r->lines[i]);
		assert_string_equal(r->lines[i], wanted[i]);
	}
	assert_null(r->lines[i]);
}

static void expect(const struct sms_options *o, const struct sms_message *m, const char *method,
	const char *wanted_url, const char *const *headers, const char *body)
{
	struct sms_request r;

	assert_int_equal(sms_provider_build(o, m, &r), 0);
	assert_string_equal(r.method, method);
	assert_string_equal((const char *)r.url.data, wanted_url);
	expect_headers(&r, headers);
	assert_true(slice_is_text(buf_slice(&r.body), body));
	sms_request_done(&r);
}

/* ---- what is asked ---- */

static void kannel_is_asked_by_headers_and_gets_the_text_alone(void **state)
{
	static const char *const gsm[] = {"Content-Type: text/plain; charset=UTF-8", "X-Kannel-Coding: 0",
		KANNEL_TO, "X-Kannel-From: Us", "X-Kannel-Username: me", "X-Kannel-Password: secret", NULL};
	static const char *const bare[] = {
		"Content-Type: text/plain; charset=UTF-8", "X-Kannel-Coding: 2", KANNEL_TO, NULL};
	struct sms_options o = options_of(SMS_KANNEL);
	struct sms_message m = message_of("a&b {c} \xe2\x82\xac", SMS_GSM);

	expect(&o, &m, "POST", url, gsm, "a&b {c} \xe2\x82\xac");
	o.username = o.password = o.from = empty;
	m = message_of("\xe4\xbd\xa0", SMS_UCS2);
	expect(&o, &m, "POST", url, bare, "\xe4\xbd\xa0");
}

static void twilio_is_asked_by_a_form(void **state)
{
	static const char *const headers[] = {
		"Authorization: Basic bWU6c2VjcmV0", "Content-Type: application/x-www-form-urlencoded", NULL};
	static char slash[] = "http://127.0.0.1:1/", service[] = "MG0123456789abcdef0123456789abcdef";
	struct sms_options o = options_of(SMS_TWILIO);
	struct sms_message m = message_of("a&b=c d+\n\xc3\xa4", SMS_GSM);

	expect(&o, &m, "POST", "https://sms.example/send/2010-04-01/Accounts/me/Messages.json", headers,
		"To=%2B4915112345678&From=Us&Body=a%26b%3Dc%20d%2B%0A%C3%A4");
	o.url = slash;
	o.from = service;
	expect(&o, &m, "POST", "http://127.0.0.1:1/2010-04-01/Accounts/me/Messages.json", headers,
		"To=%2B4915112345678&MessagingServiceSid=MG0123456789abcdef0123456789abcdef"
		"&Body=a%26b%3Dc%20d%2B%0A%C3%A4");
}

static void http_is_asked_as_the_templates_say(void **state)
{
	static char template_url[] = "https://x/{to}/{task}?n={result.n.1}&d={delivery}";
	static char authorization[] = "Authorization: Basic {credentials}", trace[] = "X-Text: {text}";
	static char own_type[] = "content-type: application/vnd.x";
	static const char *const json[] = {"Content-Type: application/json", NULL};
	static const char *const own[] = {"Authorization: Basic bWU6c2VjcmV0", "X-Text: a\"  b",
		"content-type: application/vnd.x", NULL};
	static const char *const get[] = {"Authorization: Basic bWU6c2VjcmV0", "X-Text: a\"  b", NULL};
	static char *headers[] = {authorization, trace, own_type};
	struct sms_options o = options_of(SMS_HTTP);
	struct sms_message m = message_of("a\"\r\nb", SMS_GSM);

	expect(&o, &m, "POST", url, json, "{\"to\":\"" TO "\",\"text\":\"a\\\"\\u000d\\u000ab\"}");
	o.url = template_url;
	o.headers = (struct option_strings){headers, 3};
	o.method = SMS_PUT;
	expect(&o, &m, "PUT", "https://x/%2B4915112345678/echo?n=2&d=an-id", own,
		"{\"to\":\"" TO "\",\"text\":\"a\\\"\\u000d\\u000ab\"}");
	o.headers.len = 2;
	o.method = SMS_GET;
	expect(&o, &m, "GET", "https://x/%2B4915112345678/echo?n=2&d=an-id", get, "");
}

static void no_value_leads_out_of_the_path(void **state)
{
	static char in_path[] = "https://x/{text}/send?t={text}", in_query[] = "https://x/send?/{text}/t";
	static const char *const steps[] = {".", ".."};

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct sms_options o = options_of(SMS_HTTP);
		struct sms_message m = message_of(steps[i], SMS_GSM);
		struct sms_request r;

		o.url = in_path;
		assert_int_equal(sms_provider_build(&o, &m, &r), -EINVAL);
		sms_request_done(&r);
		o.url = in_query;
		assert_int_equal(sms_provider_build(&o, &m, &r), 0);
		sms_request_done(&r);
		m.text = slice_text("...");
		o.url = in_path;
		assert_int_equal(sms_provider_build(&o, &m, &r), 0);
		sms_request_done(&r);
	}
}

static void what_is_too_large_is_told(void **state)
{
	static char long_text[SMS_REQUEST_BODY_MAX + 1];
	struct sms_options o = options_of(SMS_HTTP);
	struct sms_message m;
	struct sms_request r;

	memset(long_text, 'x', sizeof long_text - 1);
	m = message_of(long_text, SMS_GSM);
	assert_int_equal(sms_provider_build(&o, &m, &r), -EMSGSIZE);
	sms_request_done(&r);
	o.provider = SMS_TWILIO;
	o.password = long_text;
	m = message_of("x", SMS_GSM);
	assert_int_equal(sms_provider_build(&o, &m, &r), -EMSGSIZE);
	sms_request_done(&r);
}

/* ---- what is answered ---- */

static struct sms_answer judge(int provider, int status, const char *body)
{
	const struct http_response r = {.result = HTTP_ANSWERED, .status = status, .body = slice_text(body)};
	struct sms_answer answer;

	sms_provider_judge(sms_provider_of(provider), &r, slice_text("7"), 0, &answer);
	return answer;
}

static void every_status_has_its_meaning(void **state)
{
	for (int provider = 0; provider < SMS_PROVIDERS; provider++) {
		for (int status = 100; status < 600; status++) {
			struct sms_answer a = judge(provider, status, "");
			bool is_dead = status == 400 || status == 410 || status == 413 || status == 414 ||
				       status == 422;
			bool is_good = status / 100 == 2;

			assert_int_equal(a.verdict, is_good ? SMS_DELIVERED : is_dead ? SMS_DEAD : SMS_AGAIN);
			assert_int_equal(a.is_throttled, status == 429);
			assert_int_equal(a.asked_ms, is_good ? 0 : 7000);
			assert_int_equal(*a.error == '\0', is_good);
		}
	}
}

static void no_answer_is_tried_again(void **state)
{
	static const enum http_result results[] = {HTTP_TIMED_OUT, HTTP_REFUSED, HTTP_FAILED};

	for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
		const struct http_response r = {.result = results[i], .error = "host: why"};
		struct sms_answer a;

		sms_provider_judge(&sms_kannel, &r, (struct slice){0}, 0, &a);
		assert_int_equal(a.verdict, SMS_AGAIN);
		assert_int_equal(a.asked_ms, 0);
		assert_string_equal(a.error, "host: why");
	}
}

static void providers_say_more_than_their_status(void **state)
{
	static const struct {
		int provider, status;
		const char *body;
		enum sms_verdict verdict;
		const char *word;
	} table[] = {
		{SMS_KANNEL, 403, "Not routable. Do not try again.", SMS_DEAD, "no route"},
		{SMS_KANNEL, 403, "Authorization failed for sendsms", SMS_AGAIN, "password"},
		{SMS_KANNEL, 403, "Not", SMS_AGAIN, "password"},
		{SMS_KANNEL, 202, "3: Queued for later delivery", SMS_DELIVERED, ""},
		{SMS_TWILIO, 400, "{\"code\":21211,\"message\":\"x\"}", SMS_DEAD, "21211: no valid number"},
		{SMS_TWILIO, 400, "{\"code\": 21606}", SMS_AGAIN, "`from`"},
		{SMS_TWILIO, 401, "{\"code\":20003}", SMS_AGAIN, "token"},
		{SMS_TWILIO, 429, "{\"code\":20429}", SMS_AGAIN, "too many"},
		{SMS_TWILIO, 403, "{\"code\":21610}", SMS_DEAD, "does not want"},
		{SMS_TWILIO, 400, "{\"code\":77777}", SMS_DEAD, "400, code 77777"},
		{SMS_TWILIO, 500, "{\"code\":99999999999999999999}", SMS_AGAIN, "500"},
		{SMS_TWILIO, 400, "{\"code\":\"21606\"}", SMS_DEAD, "400"},
		{SMS_TWILIO, 400, "{\"code\":21606", SMS_DEAD, "400"},
		{SMS_TWILIO, 400, "[21606]", SMS_DEAD, "400"},
		{SMS_TWILIO, 502, "<html>", SMS_AGAIN, "502"},
		{SMS_HTTP, 403, "Not routable", SMS_AGAIN, "403"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sms_answer a = judge(table[i].provider, table[i].status, table[i].body);

		assert_int_equal(a.verdict, table[i].verdict);
		if (!strstr(a.error, table[i].word))
			fail_msg("%s: %s", table[i].body, a.error);
	}
}

/* Every beginning of an answer: nothing but its status is believed. */
static void an_answer_that_breaks_off_is_judged_by_its_status(void **state)
{
	static const char body[] = "{\"code\":21606,\"status\":400}";
	char cut[sizeof body];

	for (size_t len = 0; len < sizeof body - 1; len++) {
		memcpy(cut, body, len);
		cut[len] = '\0';
		assert_int_equal(judge(SMS_TWILIO, 400, cut).verdict, SMS_DEAD);
	}
	assert_int_equal(judge(SMS_TWILIO, 400, body).verdict, SMS_AGAIN);
}

/* ---- the configuration ---- */

static void urls_hold_no_placeholder_before_their_path(void **state)
{
	static const struct {
		const char *url;
		int rc;
	} table[] = {
		{"https://x/", 0},
		{"https://x", 0},
		{"https://x/{to}", 0},
		{"https://x?to={to}", 0},
		{"https://x/%7Bto%7D", 0},
		{"https://{to}", -EINVAL},
		{"https://x{to}/", -EINVAL},
		{"https://x:{to}/", -EINVAL},
		{"https://a:{password}@x/", -EINVAL},
		{"{to}://x/", -EINVAL},
		{"{url}", -EINVAL},
		{"https://x/{to", -EINVAL},
		{"/x", -EINVAL},
		{"ftp://x/", -EINVAL},
		{"https:x/://", -EINVAL},
		{"https://x/../{to}", -EINVAL},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sms_options o = options_of(SMS_HTTP);
		char text[64], why[200] = "";

		strcpy(text, table[i].url);
		o.url = text;
		if (sms_http.check(&o, why, sizeof why) != table[i].rc)
			fail_msg("%s: %s", text, why);
		assert_int_equal(*why != '\0', table[i].rc != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kannel_is_asked_by_headers_and_gets_the_text_alone),
		cmocka_unit_test(twilio_is_asked_by_a_form),
		cmocka_unit_test(http_is_asked_as_the_templates_say),
		cmocka_unit_test(no_value_leads_out_of_the_path),
		cmocka_unit_test(what_is_too_large_is_told),
		cmocka_unit_test(every_status_has_its_meaning),
		cmocka_unit_test(no_answer_is_tried_again),
		cmocka_unit_test(providers_say_more_than_their_status),
		cmocka_unit_test(an_answer_that_breaks_off_is_judged_by_its_status),
		cmocka_unit_test(urls_hold_no_placeholder_before_their_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
