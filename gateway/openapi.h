/*
 * GET /openapi.json: the description of the API for programs, docs/openapi.json as it was at build time; and GET /docs, a
 * page that shows it to people, without anything from elsewhere.
 */
#ifndef GATEWAY_OPENAPI_H
#define GATEWAY_OPENAPI_H

#include "base/buf.h"
#include "gateway/call.h"

call_handler openapi_get;
call_handler openapi_get_page;

/*
 * Appends a Content-Security-Policy under which a page runs its own <script> and shows its own <style>, known by their
 * hashes, asks its own origin, and does nothing else. It has one of each. 0, -EINVAL for a page that has not, -ENOMEM.
 * Pure.
 */
int openapi_page_policy(struct slice page, struct buf *out);

#endif
