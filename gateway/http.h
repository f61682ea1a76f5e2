/*
 * Small facts of HTTP that the guard and the calls share.
 */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include "base/slice.h"
#include "gateway/call.h"

/* The phrase of a status code. */
const char *http_reason(int status);
/* "GET" */
const char *http_method_name(enum call_method method);
/* "GET, HEAD, POST", for Allow. */
#define HTTP_METHODS_LEN 64
void http_method_list(unsigned set, char text[HTTP_METHODS_LEN]);

/* "Sun, 06 Nov 1994 08:49:37 GMT", of now. */
#define HTTP_DATE_LEN 29
void http_date(char text[HTTP_DATE_LEN + 1]);

/* Random lower-case hexadecimal digits. */
#define REQUEST_ID_LEN	   16
#define REQUEST_ID_MAX_LEN 128
void request_id_make(char id[REQUEST_ID_LEN + 1]);
/* What a client may call its request: 1 to REQUEST_ID_MAX_LEN of letters, digits and "._:/+=@-". */
bool request_id_is_sane(struct slice id);

#endif
