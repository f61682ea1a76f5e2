#include "service/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/arguments.h"

enum { EXIT_USAGE = 2 };
#define ERRORS_MAX    (256 * 1024)
#define REFERENCE_MAX (1024 * 1024)

static int print_help(const struct service_definition *def)
{
	printf("Usage: postback-%s [--config FILE] [--check]\n\n%s\n\n", def->name, def->summary);
	arguments_print(stdout);
	printf("\nScalars of the configuration can be overridden by the environment, as in\n"
	       "POSTBACK_AMQP_URL or POSTBACK_STORE_URL. Every option: postback-%s --reference.\n"
	       "Exit codes: 0 ended in order, 1 could not start, 2 wrong command line or configuration.\n",
		def->name);
	return 0;
}

static int print_version(const struct service_definition *def)
{
	printf("postback-%s %s\n", def->name, POSTBACK_VERSION);
	return 0;
}

static int print_reference(const struct service_definition *def)
{
	struct buf text;
	int rc;

	buf_init(&text, REFERENCE_MAX);
	buf_append_text(&text, "## Options\n\n");
	config_reference(def->options, &text);
	buf_append_text(&text, "\n## Metrics\n\n");
	rc = service_metrics_reference(def, &text);
	if (rc == 0)
		fwrite(text.data, 1, text.len, stdout);
	buf_done(&text);
	return rc < 0;
}

static int read_options(const struct service_definition *def, const char *path, void *options)
{
	const char *name = path ? path : "defaults";
	struct buf errors;
	int rc;

	buf_init(&errors, ERRORS_MAX);
	rc = path ? config_read(path, "POSTBACK", def->options, options, &errors)
		  : config_parse(name, slice_text(""), "POSTBACK", def->options, options, &errors);
	if (rc == 0 && def->check && def->check(options, name, &errors) > 0) {
		config_free(def->options, options);
		rc = -EINVAL;
	}
	if (errors.len)
		fwrite(errors.data, 1, errors.len, stderr);
	buf_done(&errors);
	return rc;
}

static int with_options(const struct service_definition *def, const struct arguments *args)
{
	void *options = calloc(1, def->options_size);
	int code = EXIT_USAGE;

	if (!options)
		return 1;
	if (read_options(def, args->config_path, options) == 0) {
		log_init(def->name, (enum log_level)((struct service_options *)options)->log.level);
		code = 0;
		if (args->action == ACTION_CHECK)
			printf("%s: ok\n", args->config_path ? args->config_path : "defaults");
		else
			code = service_run(def, args->config_path, options);
		config_free(def->options, options);
	}
	free(options);
	return code;
}

int service_main(int argc, char **argv, const struct service_definition *def)
{
	struct arguments args;

	if (def->extra_flag && argc > 1 && strcmp(argv[1], def->extra_flag) == 0)
		return def->extra(argc, argv);
	if (arguments_parse(argc, argv, &args) < 0) {
		fprintf(stderr, "Try '%s --help'.\n", argv[0]);
		return EXIT_USAGE;
	}
	switch (args.action) {
	case ACTION_HELP: return print_help(def);
	case ACTION_VERSION: return print_version(def);
	case ACTION_REFERENCE: return print_reference(def);
	case ACTION_RUN:
	case ACTION_CHECK: break;
	}
	return with_options(def, &args);
}
