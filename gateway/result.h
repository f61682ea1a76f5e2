/*
 * GET /v1/tasks/{id}/result: the bare result in the handler's content type, or why there is none.
 */
#ifndef GATEWAY_RESULT_H
#define GATEWAY_RESULT_H

#include "gateway/poll.h"

extern const struct poll_view result_view;

#endif
