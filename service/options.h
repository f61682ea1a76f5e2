/*
 * The sections of the configuration that services share: amqp, store, log.
 */
#ifndef SERVICE_OPTIONS_H
#define SERVICE_OPTIONS_H

#include "runtime/config.h"

struct amqp_options {
	char *url;		     /* a secret: holds a password */
	int64_t consumer_timeout_ms; /* the broker's own value, for checks at start */
	int64_t max_message;	     /* bytes */
	bool declare;		     /* the shared exchanges and queues; else they are only looked for */
};

struct store_section {
	char *url; /* a secret: may hold a password */
	char *password;
	int64_t result_ttl_ms;
	int64_t task_ttl_ms;
};

struct log_options {
	int level; /* enum log_level */
};

struct service_options {
	struct amqp_options amqp;
	struct store_section store;
	struct log_options log;
};

extern const struct option amqp_option_table[];
extern const struct option store_option_table[];
extern const struct option log_option_table[];

/* The check of an `admin` option: an address to listen on, or nothing. */
int service_check_admin(const void *value, char *why, size_t why_len);

/*
 * The entries of a root table for the shared sections; `root` is the service's options struct, whose first member is
 * `struct service_options shared`.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a member stand bare in offsetof */
#define SERVICE_SECTION(root, section, text)                                                        \
	{                                                                                           \
		.name = #section, .type = OPTION_SECTION, .offset = offsetof(root, shared.section), \
		.fields = section##_option_table, .help = text                                      \
	}
/* NOLINTEND(bugprone-macro-parentheses) */
#define SERVICE_OPTIONS(root)                                                      \
	SERVICE_SECTION(root, amqp, "The connection to RabbitMQ."),                \
		SERVICE_SECTION(root, store, "Where tasks and results are kept."), \
		SERVICE_SECTION(root, log, "Logs on stderr.")

#endif
