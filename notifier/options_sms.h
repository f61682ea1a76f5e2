/*
 * notifier.sms, as read.
 */
#ifndef NOTIFIER_OPTIONS_SMS_H
#define NOTIFIER_OPTIONS_SMS_H

#include "runtime/config.h"

/* Indices into the provider option's choices and into the table in sms_provider.c. */
enum sms_provider_kind { SMS_KANNEL, SMS_TWILIO, SMS_HTTP, SMS_PROVIDERS };

enum sms_method { SMS_POST, SMS_PUT, SMS_GET };

/* How values are escaped in `body`, and what content type it has unless `headers` say. */
enum sms_body_format { SMS_BODY_JSON, SMS_BODY_FORM, SMS_BODY_TEXT };

struct sms_options {
	int provider; /* enum sms_provider_kind */
	char *url;    /* "": nothing is sent */
	char *username, *password;
	char *from;
	char *text; /* template */
	int64_t segments;
	struct option_strings allow_to;
	int64_t rate; /* a minute and tenant; 0: no limit */
	struct option_strings schedule;
	int64_t timeout_ms;
	int64_t concurrency;
	int method;		       /* enum sms_method; of the provider http, as the three below */
	struct option_strings headers; /* templates */
	char *body;		       /* template; "": none */
	int body_format;	       /* enum sms_body_format */
	char *proxy, *ca_file;	       /* "": none, the system's */
};

const char *sms_method_name(int method);

extern const struct option sms_option_table[];
/* As struct option's check, of the whole section. */
int sms_options_check(const void *value, char *why, size_t why_len);

#endif
