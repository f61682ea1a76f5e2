/*
 * /v1/endpoints: receivers that a tenant registers once, instead of naming a URL with every task. Their secrets are shown
 * when they are made, and never again.
 */
#ifndef GATEWAY_ENDPOINTS_H
#define GATEWAY_ENDPOINTS_H

#include "gateway/call.h"

call_handler endpoints_post;
call_handler endpoints_list;
call_handler endpoints_get;
call_handler endpoints_patch;
call_handler endpoints_delete;
call_handler endpoints_rotate;

#endif
