/*
 * Task names: [A-Za-z0-9][A-Za-z0-9_.-]{0,99}.
 */
#ifndef PROTO_NAME_H
#define PROTO_NAME_H

#include "base/slice.h"

#define NAME_MAX_LEN 100

bool name_is_valid(struct slice name);

#endif
