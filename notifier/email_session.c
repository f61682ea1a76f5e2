#include "notifier/email_session.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum {
	CODE_DIGITS = 3,
	REPLY_GO_ON = 354,
	REPLY_AUTH_DONE = 235,
	REPLY_NO_AUTH = 530, /* AUTH or TLS is wanted first */
};

static const struct {
	const char *verb;
	const char *called; /* in error texts */
} steps[] = {
	[EMAIL_STEP_CONNECT] = {NULL, "the connection"},
	[EMAIL_STEP_EHLO] = {"EHLO", "EHLO"},
	[EMAIL_STEP_STARTTLS] = {"STARTTLS", "STARTTLS"},
	[EMAIL_STEP_AUTH] = {"AUTH", "AUTH"},
	[EMAIL_STEP_MAIL] = {"MAIL", "MAIL"},
	[EMAIL_STEP_RCPT] = {"RCPT", "RCPT"},
	[EMAIL_STEP_DATA] = {"DATA", "DATA"},
	[EMAIL_STEP_CONTENT] = {NULL, "the message"},
};

static struct slice without_end(struct slice line)
{
	while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
		line.len--;
	return line;
}

static bool is_verb(struct slice line, const char *verb)
{
	size_t len = verb ? strlen(verb) : 0;

	return len > 0 && line.len >= len && strncasecmp((const char *)line.data, verb, len) == 0 &&
	       (line.len == len || line.data[len] == ' ');
}

void email_session_sent(struct email_session *s, struct slice line)
{
	struct slice command = without_end(line);

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (is_verb(command, steps[i].verb))
			s->step = (enum email_step)i;
	s->is_quitting = is_verb(command, "QUIT");
	if (s->step == EMAIL_STEP_EHLO)
		s->has_authenticated = false;
}

/* 0: no code stands there. */
static int code_of(struct slice line)
{
	int code = 0;

	if (line.len < CODE_DIGITS)
		return 0;
	for (size_t i = 0; i < CODE_DIGITS; i++) {
		if (!isdigit(line.data[i]))
			return 0;
		code = code * 10 + (line.data[i] - '0');
	}
	return code;
}

static void keep(struct email_session *s, struct slice line)
{
	size_t room = sizeof s->reply - s->reply_len;
	size_t len;

	if (s->reply_len > 0 && room > 0) {
		s->reply[s->reply_len++] = '\n';
		room--;
	}
	len = line.len < room ? line.len : room;
	memcpy(s->reply + s->reply_len, line.data, len);
	s->reply_len += len;
}

void email_session_received(struct email_session *s, struct slice line)
{
	struct slice text = without_end(line);
	int code = code_of(text);

	if (s->is_quitting)
		return;
	if (s->is_reply_whole)
		s->reply_len = 0;
	keep(s, text);
	s->is_reply_whole = code > 0 && (text.len == CODE_DIGITS || text.data[CODE_DIGITS] != '-');
	if (!s->is_reply_whole)
		return;
	s->code = code;
	if (s->step == EMAIL_STEP_DATA && code == REPLY_GO_ON)
		s->step = EMAIL_STEP_CONTENT;
	if (s->step == EMAIL_STEP_AUTH && code == REPLY_AUTH_DONE)
		s->has_authenticated = true;
}

/* ---- outcomes ---- */

static struct email_outcome outcome_of(
	enum email_verdict verdict, enum email_trouble trouble, int status, const char *error)
{
	bool is_telling = verdict == EMAIL_DELIVERED || status >= 400;
	struct email_outcome o = {.verdict = verdict, .trouble = trouble, .status = is_telling ? status : 0};

	snprintf(o.error, sizeof o.error, "%s", error);
	return o;
}

static bool is_tls_error(CURLcode rc)
{
	switch ((int)rc) {
	case CURLE_USE_SSL_FAILED:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS: return true;
	default: return false;
	}
}

static struct email_outcome tls_failed(const struct email_session *s, CURLcode rc, const char *detail)
{
	char error[160];

	if (rc == CURLE_USE_SSL_FAILED)
		return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_TLS, s->code,
			s->step == EMAIL_STEP_STARTTLS ? "the server refused STARTTLS"
						       : "the server does not offer STARTTLS");
	snprintf(error, sizeof error, "TLS with the server failed: %.120s", detail);
	return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_TLS, 0, error);
}

static struct email_outcome login_failed(const struct email_session *s)
{
	char error[160];

	if (s->step != EMAIL_STEP_AUTH)
		return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_LOGIN, s->code,
			"the server offers no AUTH, or none that is understood");
	snprintf(error, sizeof error, "the server refused the username and password (%d)", s->code);
	return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_LOGIN, s->code, error);
}

static struct email_outcome refused(const struct email_session *s)
{
	bool is_about_mail = s->step >= EMAIL_STEP_MAIL && s->code != REPLY_NO_AUTH;
	enum email_verdict verdict = is_about_mail && s->code >= 500 ? EMAIL_DEAD : EMAIL_AGAIN;
	char error[160];

	if (verdict == EMAIL_DEAD && s->wants_auth && !s->has_authenticated)
		return login_failed(s);
	snprintf(error, sizeof error, "the server answered %d to %s", s->code, steps[s->step].called);
	return outcome_of(verdict, EMAIL_TROUBLE_NONE, s->code, error);
}

static struct email_outcome failed(const struct email_session *s, CURLcode rc, const char *detail)
{
	char error[160];

	if (s->step == EMAIL_STEP_CONNECT)
		snprintf(error, sizeof error, "%.150s", *detail ? detail : curl_easy_strerror(rc));
	else
		snprintf(error, sizeof error, "the connection broke after %s: %.100s", steps[s->step].called,
			*detail ? detail : curl_easy_strerror(rc));
	return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_NONE, 0, error);
}

struct email_outcome email_session_outcome(
	const struct email_session *s, CURLcode rc, const char *detail, int64_t timeout_ms)
{
	char error[160];

	if (rc == CURLE_OK)
		return outcome_of(EMAIL_DELIVERED, EMAIL_TROUBLE_NONE, s->code, "");
	if (is_tls_error(rc))
		return tls_failed(s, rc, detail);
	if (rc == CURLE_LOGIN_DENIED)
		return login_failed(s);
	if (rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_ABORTED_BY_CALLBACK) {
		snprintf(error, sizeof error, "timed out after %" PRId64 " ms, waiting for an answer to %s",
			timeout_ms, steps[s->step].called);
		return outcome_of(EMAIL_AGAIN, EMAIL_TROUBLE_NONE, 0, error);
	}
	return s->is_reply_whole && s->code >= 400 ? refused(s) : failed(s, rc, detail);
}
