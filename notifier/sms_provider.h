/*
 * Those who carry short messages: how a message becomes an HTTP request, and what the answer means. A new provider is
 * one file and one row of the table in sms_provider.c. Pure.
 */
#ifndef NOTIFIER_SMS_PROVIDER_H
#define NOTIFIER_SMS_PROVIDER_H

#include "notifier/options_sms.h"
#include "notifier/sms_request.h"
#include "notifier/sms_text.h"
#include "runtime/http_client.h"

/* What is to be sent. All is borrowed. */
struct sms_message {
	struct slice to; /* E.164 */
	struct slice text;
	enum sms_alphabet alphabet;
	struct slice delivery; /* the delivery's id, the same for every attempt */
	struct slice document; /* the task's status document */
};

enum sms_verdict {
	SMS_DELIVERED, /* the provider has taken it */
	SMS_AGAIN,     /* perhaps later, or when the configuration is mended */
	SMS_DEAD,      /* never */
};

/* What the provider's own words say beyond the status; zeroed: nothing. */
struct sms_word {
	bool is_known;
	enum sms_verdict verdict;
	int code;	     /* the provider's; 0: none */
	const char *meaning; /* a phrase of ours; NULL: none */
};

struct sms_provider {
	const char *name;
	/* Of options with a URL. 0, or -EINVAL with `why` written. */
	int (*check)(const struct sms_options *o, char *why, size_t why_len);
	/* Fills a request that was initialized with POST. 0 or -EINVAL; buffers' errors may stay in the buffers. */
	int (*build)(const struct sms_options *o, const struct sms_message *m, struct sms_request *out);
	/* Reads an answer that is no 2xx; NULL: its status says all. */
	struct sms_word (*read)(int status, struct slice body);
};

extern const struct sms_provider sms_kannel, sms_twilio, sms_http;
/* By enum sms_provider_kind. */
const struct sms_provider *sms_provider_of(int kind);

/* 0; -EINVAL: this message cannot be sent by this configuration; -EMSGSIZE; -ENOMEM. Initializes and ends `out`. */
int sms_provider_build(const struct sms_options *o, const struct sms_message *m, struct sms_request *out);

#define SMS_ERROR_MAX 200

struct sms_answer {
	enum sms_verdict verdict;
	bool is_throttled;	   /* it has too much of us: others had better wait, too */
	int64_t asked_ms;	   /* how long it wants to be left alone; 0: it does not say */
	char error[SMS_ERROR_MAX]; /* unless DELIVERED; no secrets, no text, no number */
};

/* `retry_after`: the header's value; unset: none. `now_ms`: wall clock. */
void sms_provider_judge(const struct sms_provider *p, const struct http_response *r, struct slice retry_after,
	int64_t now_ms, struct sms_answer *out);

#endif
