#include "service/arguments.h"

#include <errno.h>
#include <getopt.h>

static const struct {
	const char *name;
	const char *value;
	const char *help;
} flags[] = {
	[ACTION_RUN] = {"config", "FILE", "the YAML configuration; without it the defaults hold"},
	[ACTION_CHECK] = {"check", "", "read the configuration, tell all that is wrong with it, and exit"},
	[ACTION_REFERENCE] = {"reference", "", "print every option and metric as Markdown, and exit"},
	[ACTION_VERSION] = {"version", "", "print the version, and exit"},
	[ACTION_HELP] = {"help", "", "print this, and exit"},
};
#define FLAGS (sizeof flags / sizeof *flags)

int arguments_parse(int argc, char **argv, struct arguments *out)
{
	struct option longs[FLAGS + 1] = {{0}};
	struct arguments got = {.action = ACTION_RUN};
	int flag;

	for (size_t i = 0; i < FLAGS; i++) {
		longs[i].name = flags[i].name;
		longs[i].has_arg = *flags[i].value ? required_argument : no_argument;
		longs[i].val = (int)i;
	}
	while ((flag = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (flag == '?')
			return -EINVAL;
		if (flag == ACTION_RUN)
			got.config_path = optarg;
		else
			got.action = (enum action)flag;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind]);
		return -EINVAL;
	}
	*out = got;
	return 0;
}

void arguments_print(FILE *out)
{
	for (size_t i = 0; i < FLAGS; i++)
		fprintf(out, "  --%-9s %-5s %s\n", flags[i].name, flags[i].value, flags[i].help);
}
