/*
 * notifier.email, as read.
 */
#ifndef NOTIFIER_OPTIONS_EMAIL_H
#define NOTIFIER_OPTIONS_EMAIL_H

#include "runtime/config.h"

/* Indices into the option's choices. */
enum email_starttls {
	EMAIL_STARTTLS_AUTO, /* see email_starttls_policy */
	EMAIL_STARTTLS_REQUIRED,
	EMAIL_STARTTLS_OPTIONAL,
	EMAIL_STARTTLS_NEVER,
};

struct email_tenant {
	char *tenant;
	struct option_strings allow_to;
};

struct email_template {
	char *name;
	char *subject, *text;
	char *html; /* "": none */
};

struct email_options {
	char *url; /* "": nothing is sent */
	char *from;
	char *username; /* "": no AUTH */
	char *password;
	int starttls;  /* enum email_starttls */
	char *ca_file; /* "": the system's */
	struct option_strings allow_to;
	struct option_list tenants; /* of struct email_tenant */
	int64_t rate;		    /* a minute and tenant; 0: no limit */
	int64_t attachment_max;
	struct option_list templates; /* of struct email_template */
	struct option_strings schedule;
	int64_t timeout_ms;
	int64_t concurrency;
};

#define EMAIL_DEFAULT_TEMPLATE "default"

/* What `auto` stands for: required with AUTH; else never toward a loopback address, and optional toward any other. */
enum email_starttls email_starttls_policy(const struct email_options *o);

/* A template's texts, which live as long as the options. */
struct email_texts {
	const char *subject, *text, *html;
};
/* False: no template of that name; "default" always is one, built in unless the options have it. */
bool email_template_find(const struct email_options *o, const char *name, struct email_texts *out);

extern const struct option email_option_table[];
/* As struct option's check, of the whole section. */
int email_options_check(const void *value, char *why, size_t why_len);

#endif
