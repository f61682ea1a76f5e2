#include "notifier/options.h"

static const struct option notifier_table[] = {
	{.name = "admin",
		.type = OPTION_STRING,
		.offset = offsetof(struct notifier_options, admin),
		.fallback = "127.0.0.1:8082",
		.help = "Where /livez, /readyz and /metrics are answered, host:port; empty: nowhere."},
	{.name = "webhook",
		.type = OPTION_SECTION,
		.offset = offsetof(struct notifier_options, webhook),
		.fields = webhook_option_table,
		.check = webhook_options_check,
		.help = "Outcomes pushed over HTTP."},
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
