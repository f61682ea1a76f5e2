/*
 * Where the gateway's id keys come from: the store, and id_key_file before it.
 */
#ifndef GATEWAY_KEYS_H
#define GATEWAY_KEYS_H

#include "proto/id.h"

/* The file holds 32 bytes, or 64 hex digits with or without a line end. 0; -errno of reading; -EINVAL for another content. */
int keys_read_file(const char *path, struct id_key *out);
/* The content itself. Pure. */
int keys_parse(struct slice content, struct id_key *out);

#endif
