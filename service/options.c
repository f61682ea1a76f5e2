#include "service/options.h"

#include <errno.h>
#include <stdio.h>

#include "runtime/broker.h"
#include "runtime/listener.h"
#include "store/store.h"

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define DAY (24LL * HOUR)
#define MIB (1024LL * 1024)

static int check_amqp_url(const void *value, char *why, size_t why_len)
{
	int rc = broker_check_url(*(char *const *)value);

	if (rc == -EINVAL)
		snprintf(why, why_len,
			"must be amqp://user:password@host:port/vhost, or amqps://; a / and other signs in user, password "
			"and vhost as %%2F and the like");
	return rc;
}

int service_check_admin(const void *value, char *why, size_t why_len)
{
	const char *admin = *(char *const *)value;
	char host[LISTEN_HOST_MAX];
	unsigned port;

	if (!*admin || listen_parse(admin, host, &port) == 0)
		return 0;
	snprintf(why, why_len,
		"must be host:port, as 127.0.0.1:8081 or [::1]:8081, or :port; empty for nowhere");
	return -EINVAL;
}

const struct option amqp_option_table[] = {
	{.name = "url",
		.type = OPTION_SECRET,
		.offset = offsetof(struct amqp_options, url),
		.fallback = "amqp://guest:guest@127.0.0.1:5672/",
		.check = check_amqp_url,
		.help = "amqp:// or amqps:// with user, password, host, port and vhost."},
	{.name = "consumer_timeout",
		.type = OPTION_DURATION,
		.offset = offsetof(struct amqp_options, consumer_timeout_ms),
		.fallback = "30m",
		.min = MINUTE,
		.max = 365 * DAY,
		.help = "The broker's own consumer_timeout; handlers that could pass it are refused at start."},
	{.name = "max_message",
		.type = OPTION_SIZE,
		.offset = offsetof(struct amqp_options, max_message),
		.fallback = "15MiB",
		.min = 64 * 1024,
		.max = 128 * MIB,
		.help = "Largest message published; keep it below the broker's max_message_size."},
	{.name = "declare",
		.type = OPTION_BOOL,
		.offset = offsetof(struct amqp_options, declare),
		.fallback = "true",
		.help = "Make the exchanges and queues that all services share; false: they were imported, and the user "
			"has no permission to make them."},
	{0},
};

static int check_store_url(const void *value, char *why, size_t why_len)
{
	return store_check(*(char *const *)value, why, why_len);
}

const struct option store_option_table[] = {
	{.name = "url",
		.type = OPTION_SECRET,
		.offset = offsetof(struct store_section, url),
		.fallback = "sqlite:var/postback.db",
		.check = check_store_url,
		.help = "sqlite:PATH, or postgresql://user:password@host:port/database with libpq's parameters behind a "
			"question mark (sslmode=verify-full and the like)."},
	{.name = "password",
		.type = OPTION_SECRET,
		.offset = offsetof(struct store_section, password),
		.fallback = "",
		.help = "The password for PostgreSQL, in place of one in the URL."},
	{.name = "result_ttl",
		.type = OPTION_DURATION,
		.offset = offsetof(struct store_section, result_ttl_ms),
		.fallback = "24h",
		.min = SECOND,
		.max = 3650 * DAY,
		.help = "How long a finished task and its result can be fetched, from its finish."},
	{.name = "task_ttl",
		.type = OPTION_DURATION,
		.offset = offsetof(struct store_section, task_ttl_ms),
		.fallback = "7d",
		.min = SECOND,
		.max = 365 * DAY,
		.help = "How long an unfinished task may take from the moment it became due; it is also the time to live "
			"of its queue, so change it only together with the queues."},
	{0},
};

const struct option log_option_table[] = {
	{.name = "level",
		.type = OPTION_CHOICE,
		.offset = offsetof(struct log_options, level),
		.fallback = "info",
		.choices = levels,
		.help = "The least level that is written."},
	{0},
};
