/*
 * GET /problems and /problems/{name}: what the types of problem documents point to.
 */
#ifndef GATEWAY_PROBLEM_PAGES_H
#define GATEWAY_PROBLEM_PAGES_H

#include "gateway/call.h"

call_handler problem_pages_list;
call_handler problem_pages_get;

#endif
