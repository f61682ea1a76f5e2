/*
 * The command line of a service: --config FILE, --check, --version, --help, --reference.
 */
#ifndef SERVICE_COMMAND_H
#define SERVICE_COMMAND_H

#include "service/service.h"

/* Runs a service whose options were read; returns the exit code. */
int service_run(const struct service_definition *def, const char *config_path, void *options);
/* Appends the reference of all its metrics as a Markdown table. */
int service_metrics_reference(const struct service_definition *def, struct buf *out);

#endif
