/*
 * The notifier's section of the configuration, as read. Table and checks in options.c.
 */
#ifndef NOTIFIER_OPTIONS_H
#define NOTIFIER_OPTIONS_H

#include "service/options.h"

struct notifier_options {
	char *admin; /* "host:port"; "": none */
};

struct notifier_root {
	struct service_options shared;
	struct notifier_options notifier;
};

extern const struct option notifier_root_table[];

#endif
