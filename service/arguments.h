/*
 * The command line of a service, parsed. In a file of its own because <getopt.h> and runtime/config.h both have a
 * struct option.
 */
#ifndef SERVICE_ARGUMENTS_H
#define SERVICE_ARGUMENTS_H

#include <stdio.h>

enum action { ACTION_RUN, ACTION_CHECK, ACTION_REFERENCE, ACTION_VERSION, ACTION_HELP };

struct arguments {
	enum action action;
	const char *config_path; /* NULL: none given; borrows argv */
};

/* 0, or -EINVAL after what is wrong was written to stderr. */
int arguments_parse(int argc, char **argv, struct arguments *out);
/* One line for each flag. */
void arguments_print(FILE *out);

#endif
