/*
 * The child process that a plug-in runs in: loads it and speaks the frames of a worker on stdin and stdout.
 */
#ifndef PROCESSOR_PLUGIN_HOST_H
#define PROCESSOR_PLUGIN_HOST_H

#define PLUGIN_HOST_FLAG "--plugin-host"

/* main() of `postback-processor --plugin-host LIBRARY CONFIG LIMIT`; the exit code. */
int plugin_host_main(int argc, char **argv);

#endif
