#include "notifier/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "notifier/schedule.h"
#include "runtime/url.h"

static const char *name_at(const struct option_list *list, size_t i, size_t item_size)
{
	return *(char *const *)((const char *)list->items + i * item_size);
}

bool options_has_twice(const struct option_list *list, size_t item_size)
{
	for (size_t i = 0; i < list->len; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(name_at(list, i, item_size), name_at(list, k, item_size)) == 0)
				return true;
	return false;
}

int options_check_schedule(const void *value, char *why, size_t why_len)
{
	const struct option_strings *schedule = value;
	struct schedule ignored;

	if (schedule_parse(schedule->items, schedule->len, &ignored) == 0)
		return 0;
	snprintf(why, why_len, "must be 1 to %d durations of at most 7d", SCHEDULE_MAX);
	return -EINVAL;
}

int options_check_ca_file(const void *value, char *why, size_t why_len)
{
	const char *path = *(char *const *)value;

	if (!*path || access(path, R_OK) == 0)
		return 0;
	snprintf(why, why_len, "cannot be read");
	return -EINVAL;
}

int options_check_proxy(const void *value, char *why, size_t why_len)
{
	const char *url = *(char *const *)value;

	if (!*url || url_check_proxy(slice_text(url)) == 0)
		return 0;
	snprintf(why, why_len,
		"must be http://HOST:PORT, perhaps https, socks5 or socks5h for http, and USER:PASSWORD@");
	return -EINVAL;
}

static const struct option notifier_table[] = {
	{.name = "admin",
		.type = OPTION_STRING,
		.offset = offsetof(struct notifier_options, admin),
		.fallback = "127.0.0.1:8082",
		.check = service_check_admin,
		.help = "Where /livez, /readyz and /metrics are answered, host:port; empty: nowhere."},
	{.name = "webhook",
		.type = OPTION_SECTION,
		.offset = offsetof(struct notifier_options, webhook),
		.fields = webhook_option_table,
		.check = webhook_options_check,
		.help = "Outcomes pushed over HTTP."},
	{.name = "email",
		.type = OPTION_SECTION,
		.offset = offsetof(struct notifier_options, email),
		.fields = email_option_table,
		.check = email_options_check,
		.help = "Outcomes pushed as emails."},
	{.name = "sms",
		.type = OPTION_SECTION,
		.offset = offsetof(struct notifier_options, sms),
		.fields = sms_option_table,
		.check = sms_options_check,
		.help = "Outcomes pushed as short messages."},
	{0},
};

const struct option notifier_root_table[] = {
	SERVICE_OPTIONS(struct notifier_root),
	{.name = "notifier",
		.type = OPTION_SECTION,
		.offset = offsetof(struct notifier_root, notifier),
		.fields = notifier_table,
		.help = "Keeps replies, publishes and pushes what became due."},
	{.name = "gateway", .type = OPTION_IGNORED, .help = "See postback-gateway --reference."},
	{.name = "processor", .type = OPTION_IGNORED, .help = "See postback-processor --reference."},
	{0},
};
