/*
 * The notifier's section of the configuration, as read. Tables and checks in options.c, and a file for each channel.
 */
#ifndef NOTIFIER_OPTIONS_H
#define NOTIFIER_OPTIONS_H

#include "notifier/options_email.h"
#include "notifier/options_sms.h"
#include "service/options.h"

struct webhook_secret {
	char *secret; /* "whsec_…" */
};

struct webhook_tenant {
	char *tenant;
	struct option_list secrets; /* of struct webhook_secret */
};

struct webhook_circuit {
	int64_t failures;
	int64_t open_ms, open_max_ms;
};

struct webhook_options {
	struct option_list secrets; /* of struct webhook_secret */
	struct option_list tenants; /* of struct webhook_tenant */
	char *signing_key;	    /* "whsk_…"; "": none */
	struct option_strings allow;
	struct option_strings schedule;
	int64_t timeout_ms;
	int64_t concurrency, host_concurrency;
	struct webhook_circuit circuit;
	int64_t disable_after_ms; /* 0: never */
	bool cloudevents;
	char *proxy;   /* "": none */
	char *ca_file; /* "": the system's */
};

struct notifier_options {
	char *admin; /* "host:port"; "": none */
	struct webhook_options webhook;
	struct email_options email;
	struct sms_options sms;
};

struct notifier_root {
	struct service_options shared;
	struct notifier_options notifier;
};

extern const struct option webhook_option_table[];
/* As struct option's check, of the whole section. */
int webhook_options_check(const void *value, char *why, size_t why_len);
extern const struct option notifier_root_table[];

/* Checks of options that several channels have, as struct option's check. */
int options_check_schedule(const void *value, char *why, size_t why_len);
int options_check_ca_file(const void *value, char *why, size_t why_len);
int options_check_proxy(const void *value, char *why, size_t why_len);

/* True when two items of a list, each of which begins with its name (a char *), have the same one. */
bool options_has_twice(const struct option_list *list, size_t item_size);

#endif
